"""Rows about whom a mail is for: what only looks like Ann's mailbox, and headers that the attacker adds to a genuine mail of his own."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from tests.attacks.forgeries import ANN, BOUND, CODES, TOKEN, by_acme, by_evil, code, confirm, link
from tests.attacks.rows import EVIL, GMAIL, MAILBOX, Row, Rows, Way
from tests.peers import signer
from tests.trust.mails import mail

LOOKS = {
    "a quoted name": '"{ann}" <{m}>',
    "a bare name": "{ann} <{m}>",
    "a name in capitals": '"{ANN}" <{m}>',
    "a name among words": '"Ann, {ann}, of Corp" <{m}>',
    "an encoded name": "=?utf-8?q?{q}?= <{m}>",
    "an encoded name in base64": "=?utf-8?b?YW5uQGNvcnAuZXhhbXBsZQ==?= <{m}>",
    "a comment behind": "{m} ({ann})",
    "a comment in front": "({ann}) {m}",
    "a comment in brackets": "Ann ({ann}) <{m}>",
    "a comment inside the address": "m(<{ann}>)@evil.example",
    "a comment in a comment": "{m} (a (b {ann}) c)",
    "a comment with an escaped bracket": "{m} (a \\) {ann} b)",
    "a quoted local part": '"{ann}"@evil.example',
    "a quoted local part with blanks": '"m {ann} x"@evil.example',
    "a quoted local part with a quote": '"m\\" {ann}"@evil.example',
    "a quoted local part in brackets": '<"{ann}"@evil.example>',
    "a host that goes on with an underscore": "{ann}_x.evil.example",
    "a host that goes on with a letter beyond ASCII": "{ann}é.evil.example",
    "a host that goes on with a full-width dot": "{ann}．evil.example",
    "a host that goes on with an ideographic stop": "{ann}。evil.example",
    "a host that goes on with a hyphen": "{ann}-.evil.example",
    "a host that goes on with two dots": "{ann}..evil.example",
    "a host that goes on with a soft hyphen": "{ann}\u00ad.evil.example",
    "a host that goes on with a zero-width joiner": "{ann}\u200d.evil.example",
    "a host that goes on": "{ann}.evil.example",
    "two at signs": "{ann}@evil.example",
    "two at signs in brackets": "<{ann}@evil.example>",
    "a percent route": "{p}@evil.example",
    "a bang path": "evil.example!{ann} <{m}>",
    "a source route": "<@evil.example,@corp.example:{m}>",
    "a source route that is an address": "<{ann}:{m}>",
    "the name of a group": "{ann}: {m};",
    "a quoted name of a group": '"{ann}": {m};',
    "a domain literal": "m@[{ann}]",
    "words behind the brackets": "<{m}> {ann}",
    "words behind a semicolon": "{m}; {ann}",
    "two pairs of brackets": "<{ann}> <{m}>",
    "brackets in brackets": "<<{ann}>{m}>",
    "a parameter": "<{m}> ORCPT=rfc822;{ann}",
    "a scheme": "mailto:{ann} <{m}>",
    "a path": "{ann}/x@evil.example",
    "a full-width at sign": "ann＠corp.example <{m}>",
    "an unfinished quote": '"{ann} <{m}>',
    "an unfinished comment": "{m} ({ann}",
    "an unfinished bracket": "{m} <{ann}",
    "folded over lines": '"Ann\r\n {ann}\r\n of Corp" <{m}>',
}
"""What an attacker gives a site as his name or his address, so that Ann's stands in a header that the site signs."""


def look(form: str, ann: str = ANN, m: str = EVIL) -> str:
    """A form with Ann's mailbox and the attacker's in it."""
    return form.format(ann=ann, ANN=ann.upper(), m=m, q=ann.replace("@", "=40"), p=ann.replace("@", "%"))


def octets(text: str) -> bytes:
    """A header's text in the encoding in which such headers come."""
    return text.encode("utf-8", "surrogateescape")


def looks() -> Rows:
    """A genuine mail of Acme's to the attacker, who has signed up with a name or an address that holds Ann's."""
    for name, form in LOOKS.items():
        for rcpt in (BOUND, CODES):
            yield Row(
                kind="looks",
                name=f"To is {name}, to {rcpt}",
                says="the signed To of a mail to the attacker holds Ann's mailbox as a word, and not as a mailbox",
                attack=lambda form=form: by_acme(code(to=look(form))),
                twin=lambda: by_acme(code(to=f'"Ann" <{ANN}>')),
                way=Way(rcpt=rcpt),
            )
    for name in ("a quoted name", "a comment behind", "a quoted local part", "a host that goes on with an underscore"):
        yield Row(
            kind="looks",
            name=f"Cc is {name}",
            says="the signed Cc holds Ann's mailbox as a word, while To is the attacker's",
            attack=lambda name=name: by_acme(code(to=EVIL, below=f"Cc: {look(LOOKS[name])}"), headers=(*signer.USUAL, "cc")),
            twin=lambda: by_acme(code(to="list@acme.example", below=f"Cc: {ANN}"), headers=(*signer.USUAL, "cc")),
            way=Way(rcpt=BOUND),
        )
        yield Row(
            kind="looks",
            name=f"a link, To is {name}",
            says="the same with a link, to an address that nobody can guess and that is bound to Ann",
            attack=lambda name=name: by_acme(link(to=look(LOOKS[name]))),
            twin=lambda: by_acme(link()),
            way=Way(rcpt=BOUND),
        )


def questions() -> Rows:
    """Google's own question about an account of the attacker's whose name holds that of Ann's listed account."""
    for name, account in {
        "a host that goes on": f"{GMAIL}.evil.example",
        "a host that goes on with an underscore": f"{GMAIL}_x.evil.example",
        "a host that goes on with a letter beyond ASCII": f"{GMAIL}é.evil.example",
        "a quoted local part": f'"{GMAIL}"@evil.example',
        "a quoted local part with blanks": f'"x {GMAIL} y"@evil.example',
        "two at signs": f"{GMAIL}@evil.example",
        "a percent route": "ann%gmail.com@evil.example",
        "a longer local part": f"m.{GMAIL}",
        "a local part with a slash": f"m/{GMAIL}",
        "a local part with an apostrophe": f"m'{GMAIL}",
    }.items():
        yield Row(
            kind="questions",
            name=f"the account is {name}",
            says="Google asks, genuinely, whether an account of the attacker's may forward here; its name holds that of Ann's account",
            attack=lambda account=account: by_google(confirm().replace(GMAIL.encode(), octets(account))),
            twin=lambda: by_google(confirm()),
            is_question=True,
        )
    for name, form in LOOKS.items():
        if name.startswith(("a quoted", "a comment", "a host", "two at", "the name of a group")):
            yield Row(
                kind="questions",
                name=f"To is {name}",
                says="Google's question to an address of the attacker's, in whose name stands ours; sent on to us",
                attack=lambda form=form: by_google(confirm(to=look(form, CODES))),
                twin=lambda: by_google(confirm()),
                is_question=True,
            )
    yield Row(
        kind="questions",
        name="another mail of Google's with the header",
        says="Google's header for such questions, unsigned, on another genuine mail of Google's",
        attack=lambda: (
            b"X-Google-Address-Confirmation: abc\r\n"
            + by_google(
                mail(f"{GMAIL} has signed in: https://mail-settings.google.com/mail/vf-x", sender="no-reply@google.com", to=CODES)
            )
        ),
        twin=lambda: by_google(confirm()),
        is_question=True,
    )
    yield Row(
        kind="questions",
        name="a year old",
        says="the genuine question of a year ago, sent again",
        attack=lambda: signer.dkim(confirm(), "google.com", private=signer.key("google"), more={"t": "1760000000"}),
        twin=lambda: by_google(confirm()),
        is_question=True,
    )
    yield Row(
        kind="questions",
        name="envelope of Google's only",
        says="the question in the attacker's own name, with Google's address as the envelope's sender",
        attack=lambda: by_evil(confirm(sender="forwarding-noreply@evil.example")),
        twin=lambda: by_google(confirm()),
        way=Way(mail_from="forwarding-noreply@google.com"),
        is_question=True,
    )


def by_google(content: bytes) -> bytes:
    """Signed by google.com."""
    return signer.dkim(content, "google.com", private=signer.key("google"))


ADDED = {
    "Cc": f"Cc: {ANN}",
    "Bcc": f"Bcc: {ANN}",
    "Resent-To": f"Resent-To: {ANN}",
    "Resent-Cc": f"Resent-Cc: {ANN}",
    "a whole Resent block": f"Resent-From: {ANN}\r\nResent-To: {ANN}\r\nResent-Date: Wed, 25 Nov 2026 09:57:25 +0000",
    "Delivered-To": f"Delivered-To: {ANN}",
    "X-Original-To": f"X-Original-To: {ANN}",
    "X-Envelope-To": f"X-Envelope-To: {ANN}",
    "X-Envelope-To of an unguessable address": f"X-Envelope-To: {TOKEN}",
    "Apparently-To": f"Apparently-To: {ANN}",
    "X-Forwarded-For": f"X-Forwarded-For: {ANN} {CODES}\r\nX-Forwarded-To: {CODES}\r\nDelivered-To: {ANN}",
    "X-Forwarded-For of a listed account": f"X-Forwarded-For: {GMAIL} {CODES}\r\nDelivered-To: {GMAIL}",
    "X-MS-Exchange-ForwardingLoop": f"X-MS-Exchange-ForwardingLoop: {ANN};0b1f",
    "X-MS-Exchange-ForwardingLoop of a listed account": f"X-MS-Exchange-ForwardingLoop: {GMAIL};0b1f",
    "X-MS-Exchange-Inbox-Rules-Loop": f"X-MS-Exchange-Inbox-Rules-Loop: {ANN}",
    "X-Gm-Original-To": f"X-Gm-Original-To: {ANN}",
    "X-SimpleLogin-Envelope-To": f"X-SimpleLogin-Envelope-To: {ANN}",
    "X-Pm-Forwarded-From": f"X-Pm-Forwarded-From: {ANN}",
    "X-Yahoo-Forwarded": f"X-Yahoo-Forwarded: from {ANN} to {CODES}",
    "Received for": f"Received: from a by b for <{ANN}>; Wed, 25 Nov 2026 09:57:25 +0000",
    "List-Post": f"List-Post: <mailto:{ANN}>",
    "Return-Path": f"Return-Path: <ann+caf_={CODES.replace('@', '=')}@gmail.com>",
    "an operator's seal": "X-Mailbridge-Seal: n=1; at=1; made=1; mac=" + "0" * 64,
}
"""Headers that anybody can write above a mail that he was sent, or below its last."""


def added() -> Rows:
    """A genuine mail of Acme's to the attacker, sent on with one header more."""
    for name, line in ADDED.items():
        for place in ("above", "below"):
            for rcpt in (BOUND, CODES):
                yield Row(
                    kind="added",
                    name=f"{name}, {place}, to {rcpt}",
                    says="the attacker's own genuine mail, with an unsigned header that names Ann",
                    attack=lambda line=line, place=place: add(by_acme(code(to=EVIL)), line, place),
                    twin=lambda line=line, place=place: (
                        add(by_acme(code()), line.replace(GMAIL, ANN), place)
                        if line[:2] != "Cc" and not line.startswith(("X-MS", "X-Gm", "X-Pm", "X-Simple", "Resent", "X-Yahoo"))
                        else by_acme(code())
                    ),
                    way=Way(rcpt=rcpt),
                )
    for tag in ("wr_123", "w_9", "tsk_5", "wr_123+wr_456", "x"):
        yield Row(
            kind="added",
            name=f"a run's tag on the address: +{tag}",
            says="the attacker's own genuine mail, sent to Ann's address with the tag of a run",
            attack=lambda: by_acme(code(to=EVIL)),
            twin=lambda: by_acme(code()),
            way=Way(rcpt=BOUND.replace("@", f"+{tag}@")),
        )


def add(content: bytes, line: str, place: str) -> bytes:
    """The mail with header lines on top, or at the end of its header."""
    more = octets(line) + b"\r\n"
    if place == "above":
        return more + content
    head, _, body = content.partition(b"\r\n\r\n")
    return head + b"\r\n" + more + b"\r\n" + body


def unsigned_recipient() -> Rows:
    """A genuine mail whose To Acme does not sign, or of which it signs less than there is."""
    short = ("from", "subject", "date", "message-id")
    for name, headers in {
        "h= without To": short,
        "h= of From and Subject": ("from", "subject"),
        "h= with Cc for To": (*short, "cc"),
    }.items():
        for rcpt in (BOUND, CODES):
            yield Row(
                kind="unsigned recipient",
                name=f"{name}, to {rcpt}",
                says="To is changed to Ann's mailbox, which no signature covers",
                attack=lambda headers=headers: by_acme(code(to=EVIL), headers=headers).replace(EVIL.encode(), ANN.encode()),
                twin=lambda headers=headers: by_acme(code(), headers=(*headers, "to")),
                way=Way(rcpt=rcpt),
            )
    yield Row(
        kind="unsigned recipient",
        name="To signed, and none there",
        says="Acme signs that there is no To; the attacker writes one",
        attack=lambda: f"To: {ANN}\r\n".encode() + by_acme(without_to(code()), more={"h": "from:to:subject:date"}),
        twin=lambda: by_acme(code(), more={"h": "from:to:subject:date"}),
        way=Way(rcpt=BOUND),
    )
    yield Row(
        kind="unsigned recipient",
        name="To renamed",
        says="the signed To keeps its value under another name, and a new one stands above",
        attack=lambda: f"To: {ANN}\r\n".encode() + by_acme(code(to=EVIL)).replace(b"\r\nTo:", b"\r\nX-To:"),
        twin=lambda: by_acme(code()),
        way=Way(rcpt=BOUND),
    )
    yield Row(
        kind="unsigned recipient",
        name="a second To below",
        says="another To stands below the signed one",
        attack=lambda: add(by_acme(code(to=EVIL)), f"To: {ANN}", "below"),
        twin=lambda: by_acme(code()),
        way=Way(rcpt=BOUND),
    )


def without_to(content: bytes) -> bytes:
    """A mail without its To."""
    head, separator, body = content.partition(b"\r\n\r\n")
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"To:")) + separator + body


FORWARDED = (
    "---------- Forwarded message ---------\nFrom: Acme <no-reply@acme.example>\nDate: Wed, Nov 25, 2026 at 9:57 AM\n"
    f"Subject: Your sign-in code\nTo: <{ANN}>\n\nYour verification code is 999999.\n"
)


def retold() -> Rows:
    """The attacker's own mail, genuinely his, in which a mail to Ann is told again."""
    for name, content in {
        "inline": lambda: mail(FORWARDED, sender=EVIL, to=CODES, subject="Fwd: Your sign-in code"),
        "inline, Ann's mailbox in his name": lambda: mail(
            FORWARDED, sender=f'"{ANN}" <{EVIL}>', to=CODES, subject="Fwd: Your sign-in code"
        ),
        "inline, Ann's mailbox in a comment": lambda: mail(
            FORWARDED, sender=f"{EVIL} ({ANN})", to=CODES, subject="Fwd: Your sign-in code"
        ),
        "attached": lambda: attached(code(), EVIL),
        "attached, Ann's mailbox in his name": lambda: attached(code(), f'"{ANN}" <{EVIL}>'),
    }.items():
        for way in (Way(), Way(rcpt=MAILBOX, ingress="imap")):
            yield Row(
                kind="retold",
                name=f"{name}, {way.ingress}",
                says="a mail to Ann that only the attacker's own words tell of",
                attack=lambda content=content, way=way: by_evil(content().replace(CODES.encode(), way.rcpt.encode())),
                twin=lambda way=way: by_acme(code(to=ANN if way.ingress == "smtp" else MAILBOX)),
                way=way,
            )


def attached(inner: bytes, sender: str) -> bytes:
    """A mail with another in it."""
    head = mail("", sender=sender, to=CODES, subject="Fwd: Your sign-in code").partition(b"\r\n\r\n")[0]
    kind = b'Content-Type: multipart/mixed; boundary="b0"'
    return (
        head.replace(b"Content-Type: text/plain; charset=utf-8", kind)
        + b"\r\n\r\n--b0\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n--b0\r\nContent-Type: message/rfc822\r\n\r\n"
        + inner
        + b"\r\n--b0--\r\n"
    )


GROUPS = (looks, questions, added, unsigned_recipient, retold)
