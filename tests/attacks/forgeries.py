"""The attack set's mails: each is what somebody could send who knows an address of ours and owns a domain, a mailbox and time.

``evil.example`` is theirs, with keys and a zone of its own; ``acme.example`` is a sender whose mails people wait for; ``google.com``
and ``microsoft.com`` are listed forwarders, whose private keys they have not.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.attacks.gathering import gathered
from tests.peers import signer
from tests.trust.mails import mail

CODES = "codes@bridge.example"
BOUND = "otp@bridge.example"
TOKEN = "otp-7m3k9q2wxy8vhtnc@bridge.example"
TOKEN_BOUND = "otp-h4d8s2jk9w7q3vzn@bridge.example"
STRICT = "strict@bridge.example"
ANN = "ann@corp.example"
ACME = "Acme <no-reply@acme.example>"
PASS = "mx.google.com; dkim=pass header.i=@acme.example; spf=pass smtp.mailfrom=acme.example; dmarc=pass header.from=acme.example"
SAYS = "Your verification code is 713928."
LINK = "Sign in to Acme with this link:\n\nhttps://{}/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ\n\nIt works once."
Build = Callable[[], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One mail of an attacker's, and where it goes."""

    build: Build
    rcpt: str
    mail_from: str = "bounces@evil.example"


def code(**more: str) -> bytes:
    """A mail of Acme's shape with a code, unsigned."""
    return mail(SAYS, **more)


def link(host: str = "acme.example", **more: str) -> bytes:
    """A mail of Acme's shape with a link to sign in, unsigned."""
    return mail(LINK.format(host), **{"subject": "Sign in to Acme", **more})


def by_acme(content: bytes, **more: object) -> bytes:
    """Genuinely signed by Acme, as it reached the attacker."""
    return signer.dkim(content, "acme.example", **more)  # type: ignore[arg-type]


def by_evil(content: bytes, **more: object) -> bytes:
    """Signed by the attacker's own domain, which is all that they can sign."""
    return signer.dkim(content, "evil.example", private=signer.key("evil"), **more)  # type: ignore[arg-type]


def sealed(
    content: bytes,
    domain: str,
    *,
    private: str = "evil",
    instance: int = 1,
    results: str = PASS,
    cv: str | None = None,
    darn: str = "",
) -> bytes:
    """Sealed under a name, with the attacker's key unless another is named."""
    return signer.arc(content, domain, results=results, instance=instance, private=signer.key(private), cv=cv, darn=darn)


def every() -> dict[str, Attack]:
    """The whole set by name."""
    return gathered(
        (
            spoofed,
            stamped,
            extended,
            replayed,
            headed,
            alike,
            strangers,
            seals,
            claims,
            injected,
            linked,
            confirmations,
            bombs,
            vouched,
        )
    )


def spoofed() -> Iterator[tuple[str, Attack]]:
    """Acme's From and nothing else."""
    for rcpt in (CODES, BOUND, STRICT):
        yield f"code to {rcpt}", Attack(build=code, rcpt=rcpt)
    for rcpt in (CODES, BOUND, STRICT, TOKEN, TOKEN_BOUND):
        yield f"link to {rcpt}", Attack(build=link, rcpt=rcpt)
    yield "code, envelope of Acme", Attack(build=code, rcpt=CODES, mail_from="bounces@acme.example")
    yield "code, empty envelope", Attack(build=code, rcpt=CODES, mail_from="")
    yield "code, envelope of ours", Attack(build=code, rcpt=CODES, mail_from="codes@bridge.example")


STAMPS = {
    "Gmail's pair": f"X-Forwarded-For: {ANN} {CODES}\nDelivered-To: {ANN}\nX-Forwarded-To: {CODES}",
    "X-Gm-Original-To": f"X-Gm-Original-To: {ANN}",
    "ForwardingLoop": f"X-MS-Exchange-ForwardingLoop: {ANN};0b1f",
    "Inbox-Rules-Loop": f"X-MS-Exchange-Inbox-Rules-Loop: {ANN}",
    "Resent-From": f"Resent-From: <{ANN}>",
    "X-Pm-Forwarded-From": f"X-Pm-Forwarded-From: {ANN}",
    "SimpleLogin": f"X-SimpleLogin-Envelope-To: {ANN}",
    "Yahoo": f"X-Yahoo-Forwarded: from {ANN} to {CODES}",
    "X-Original-To": f"X-Original-To: {ANN}",
    "Envelope-To": f"Envelope-To: {ANN}",
    "Received": f"Received: from mail.google.com by mx.google.com for <{ANN}>; Wed, 25 Nov 2026 09:57:25 +0000",
}


def stamped() -> Iterator[tuple[str, Attack]]:
    """Stamps by hand: on a mail of one's own, and on a genuine one that was written to the attacker."""
    envelope = "ann+caf_=codes=bridge.example@gmail.com"
    for name, stamp in STAMPS.items():
        yield f"{name}, unsigned", Attack(build=lambda stamp=stamp: code(above=stamp, to="list@acme.example"), rcpt=CODES)
        yield (
            f"{name}, over a genuine mail to somebody else",
            Attack(
                build=lambda stamp=stamp: (
                    f"{stamp}\r\n".replace("\n", "\r\n").replace("\r\r", "\r").encode()
                    + by_acme(code(to="m@evil.example, list@acme.example"))
                ),
                rcpt=CODES,
            ),
        )
    yield "a listed account's envelope, not from Google", Attack(build=code, rcpt=CODES, mail_from=envelope)
    yield "the same, a link", Attack(build=link, rcpt=CODES, mail_from=envelope)
    other = "ann+caf_=other=bridge.example@gmail.com"
    yield "a listed account's envelope for another recipient", Attack(build=code, rcpt=CODES, mail_from=other)
    yield "an account that is not listed", Attack(build=code, rcpt=CODES, mail_from=envelope.replace("ann", "mallory"))


def extended() -> Iterator[tuple[str, Attack]]:
    """``l=``: genuine as far as it goes, and then the attacker's."""
    for rcpt in (CODES, BOUND):
        for size in ("0", "20"):
            yield (
                f"code behind l={size} to {rcpt}",
                Attack(
                    build=lambda size=size: by_acme(mail("Welcome to Acme, Ann."), more={"l": size}) + f"{SAYS}\r\n".encode(),
                    rcpt=rcpt,
                ),
            )
    yield (
        "link behind l=",
        Attack(
            build=lambda: (
                by_acme(mail("Welcome.", subject="Sign in to Acme"), more={"l": "8"}) + LINK.format("acme.example").encode()
            ),
            rcpt=CODES,
        ),
    )
    yield (
        "code appended without l=",
        Attack(build=lambda: by_acme(mail("Welcome to Acme, Ann.")) + f"{SAYS}\r\n".encode(), rcpt=CODES),
    )


def replayed() -> Iterator[tuple[str, Attack]]:
    """A genuine mail that Acme wrote to the attacker, sent on to us; and an old one."""
    yield "code", Attack(build=lambda: by_acme(code(to="m@evil.example", above=STAMPS["ForwardingLoop"])), rcpt=BOUND)
    for rcpt in (BOUND, TOKEN_BOUND):
        yield f"link to {rcpt}", Attack(build=lambda: by_acme(link(to="m@evil.example")), rcpt=rcpt)
    short = ("from", "subject", "date", "message-id")
    for rcpt in (CODES, BOUND):
        yield (
            f"To not covered, and changed, to {rcpt}",
            Attack(
                build=lambda: by_acme(code(to="m@evil.example"), headers=short).replace(b"m@evil.example", ANN.encode()),
                rcpt=rcpt,
            ),
        )
    yield (
        "To covered, and changed",
        Attack(build=lambda: by_acme(code(to="m@evil.example")).replace(b"m@evil.example", ANN.encode()), rcpt=CODES),
    )
    yield "a second To on top", Attack(build=lambda: f"To: {ANN}\r\n".encode() + by_acme(code(to="m@evil.example")), rcpt=BOUND)
    yield "a Cc on top", Attack(build=lambda: f"Cc: {ANN}\r\n".encode() + by_acme(code(to="m@evil.example")), rcpt=BOUND)
    yield "expired", Attack(build=lambda: by_acme(code(), more={"x": "1700000000"}), rcpt=CODES)
    yield "a year old", Attack(build=lambda: by_acme(code(), more={"t": "1732500000"}), rcpt=CODES)
    yield "from the future", Attack(build=lambda: by_acme(code(), more={"t": "2732500000"}), rcpt=CODES)
    yield "body changed", Attack(build=lambda: by_acme(code()).replace(b"713928", b"713929"), rcpt=CODES)
    yield (
        "subject not covered, and changed",
        Attack(
            build=lambda: by_acme(mail("Thank you."), headers=("from", "to")).replace(
                b"Your sign-in code", b"Your code is 713928"
            ),
            rcpt=CODES,
        ),
    )
    yield (
        "weak key",
        Attack(build=lambda: signer.dkim(code(sender="a@weak.example"), "weak.example", private=signer.key()), rcpt=CODES),
    )
    yield "sha1", Attack(build=lambda: by_acme(code(), is_sha1=True), rcpt=CODES)


def headed() -> Iterator[tuple[str, Attack]]:
    """More than one author, or one that is written to be misread. All signed by the attacker."""
    two = {
        "two Froms, Acme's first": lambda: b"From: no-reply@acme.example\r\n" + by_evil(code(sender="x@evil.example")),
        "two Froms, Acme's last": lambda: by_evil(code()).replace(b"From:", b"From: x@evil.example\r\nFrom:", 1),
        "two Subjects on a genuine mail": lambda: f"Subject: {SAYS}\r\n".encode() + by_acme(mail("Thank you.")),
        "two Content-Types on a genuine mail": lambda: b"Content-Type: text/html\r\n" + by_acme(code()),
        "two encodings on a genuine mail": lambda: (
            b"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n" + by_acme(code())
        ),
        "a blank before the colon": lambda: f"Subject : {SAYS}\r\n".encode() + by_acme(mail("Thank you.")),
        "From folded to nothing": lambda: by_evil(code(sender="\r\n no-reply@acme.example,\r\n x@evil.example")),
        "Sender of Acme's": lambda: by_evil(
            code(sender="x@evil.example, no-reply@acme.example", below="Sender: no-reply@acme.example")
        ),
    }
    for name, build in two.items():
        yield name, Attack(build=build, rcpt=CODES)
    for name, sender in {
        "a list": "x@evil.example, no-reply@acme.example",
        "a list, other way": "no-reply@acme.example, x@evil.example",
        "a group": "Acme: no-reply@acme.example, x@evil.example;",
        "a route": "<@acme.example:x@evil.example>",
        "two at signs": "<no-reply@acme.example@evil.example>",
        "an encoded word": "=?utf-8?q?no-reply=40acme.example?= <x@evil.example>",
        "an encoded address": "=?utf-8?q?no-reply?=@acme.example",
        "a name": '"no-reply@acme.example" <x@evil.example>',
        "a comment": "x@evil.example (no-reply@acme.example)",
        "a quoted local part": '"no-reply@acme.example "@evil.example',
        "nothing": "",
        "no address": "Acme Security",
        "a NUL": "no-reply@acme.example\0@evil.example",
    }.items():
        yield f"From is {name}", Attack(build=lambda sender=sender: by_evil(code(sender=sender)), rcpt=STRICT)


def alike() -> Iterator[tuple[str, Attack]]:
    """Domains that look like Acme's, each with a good signature of its own, at an address that takes Acme's mails."""
    for domain in (
        "acme-example.evil.example",
        "acme.example.evil.example",
        "xn--cme-6cd.example",
        "acrne.example",
        "acme.examp1e",
        "notacme.example",
        "acme.example.",
        "acme..example",
    ):
        sender = f"Acme <no-reply@{domain}>"
        plain = domain.rstrip(".")
        yield (
            f"{domain}, code",
            Attack(
                build=lambda sender=sender, plain=plain: signer.dkim(
                    code(sender=sender), f"x.{plain}" if plain == "acme.example" else plain, private=signer.key("evil")
                ),
                rcpt=STRICT,
            ),
        )
        yield (
            f"{domain}, link",
            Attack(
                build=lambda sender=sender, plain=plain: signer.dkim(
                    link(plain, sender=sender),
                    f"x.{plain}" if plain == "acme.example" else plain,
                    private=signer.key("evil"),
                ),
                rcpt=STRICT,
            ),
        )
    for domain in ("аcme.example", "acmé.example"):
        yield f"{domain}, code", Attack(build=lambda domain=domain: by_evil(code(sender=f"no-reply@{domain}")), rcpt=STRICT)


def strangers() -> Iterator[tuple[str, Attack]]:
    """Acme's From, and a signature that is good and not Acme's."""
    for rcpt in (CODES, BOUND):
        yield f"code to {rcpt}", Attack(build=lambda: by_evil(code()), rcpt=rcpt)
    for rcpt in (CODES, TOKEN):
        yield f"link to {rcpt}", Attack(build=lambda: by_evil(link()), rcpt=rcpt)
    for name, tags in {
        "i= of Acme's": {"i": "@acme.example"},
        "d= in capitals of another": {"d": "EVIL.EXAMPLE"},
        "d= a suffix": {"d": "example"},
        "d= a name that ends in Acme's": {"d": "notacme.example"},
        "d= Acme's, evil's key": {"d": "acme.example"},
        "s= with a dot": {"d": "acme.example", "s": "s1._domainkey.evil.example"},
        "q= of another kind": {"q": "http"},
        "h= names From only": {"h": "from"},
    }.items():
        yield name, Attack(build=lambda tags=tags: by_evil(code(), more=tags), rcpt=CODES)
    yield (
        "forty strangers first",
        Attack(
            build=lambda: b"DKIM-Signature: v=1; d=x.example; s=a; b=AA; bh=AA; h=from\r\n" * 45 + by_evil(code()), rcpt=CODES
        ),
    )


def seals() -> Iterator[tuple[str, Attack]]:
    """Chains that say what an attacker wants them to."""
    stamp = f"Delivered-To: {ANN}\r\n".encode()
    for kind, content in (("code", code), ("link", link)):
        yield f"a stranger's, {kind}", Attack(build=lambda content=content: stamp + sealed(content(), "evil.example"), rcpt=CODES)
        yield (
            f"Google's name, evil's key, {kind}",
            Attack(build=lambda content=content: sealed(content(), "google.com"), rcpt=CODES),
        )
        yield (
            f"a stranger's, then Google's, {kind}",
            Attack(
                build=lambda content=content: sealed(
                    sealed(content(), "evil.example"), "google.com", private="google", instance=2
                ),
                rcpt=CODES,
            ),
        )
        yield (
            f"Google's of a failed mail, {kind}",
            Attack(
                build=lambda content=content: sealed(
                    content(), "google.com", private="google", results=PASS.replace("dmarc=pass", "dmarc=fail")
                ),
                rcpt=CODES,
            ),
        )
        yield (
            f"Google's of a mail from evil, {kind}",
            Attack(
                build=lambda content=content: sealed(
                    content(), "google.com", private="google", results=PASS.replace("header.from=acme", "header.from=evil")
                ),
                rcpt=CODES,
            ),
        )
        yield (
            f"Google's for evil.example, {kind}",
            Attack(
                build=lambda content=content: sealed(content(), "google.com", private="google", darn="evil.example"), rcpt=CODES
            ),
        )
    for name, change in {
        "body changed": (b"713928", b"713929"),
        "verdict changed": (b"dmarc=fail", b"dmarc=pass"),
        "recipient changed": (b"Delivered-To: m@evil", b"Delivered-To: ann@corp"),
    }.items():
        yield (
            f"Google's, {name}",
            Attack(
                build=lambda change=change: sealed(
                    b"Delivered-To: m@evil.example\r\n" + code(to="undisclosed:;"),
                    "google.com",
                    private="google",
                    results=PASS if change[0] != b"dmarc=fail" else PASS.replace("dmarc=pass", "dmarc=fail"),
                ).replace(*change),
                rcpt=BOUND,
            ),
        )
    yield (
        "Google's, of the attacker's own mailbox",
        Attack(
            build=lambda: sealed(b"Delivered-To: m@evil.example\r\n" + code(to="m@evil.example"), "google.com", private="google"),
            rcpt=BOUND,
        ),
    )
    yield "results alone", Attack(build=lambda: f"ARC-Authentication-Results: i=1; {PASS}\r\n".encode() + code(), rcpt=CODES)
    yield "cv=fail", Attack(build=lambda: sealed(code(), "google.com", private="google", cv="fail"), rcpt=CODES)


def claims() -> Iterator[tuple[str, Attack]]:
    """Results and marks that only a receiver may write, written by the sender."""
    for name, line in {
        "Authentication-Results of Google": "Authentication-Results: mx.google.com; dkim=pass header.d=acme.example; dmarc=pass header.from=acme.example",
        "Authentication-Results of ours": "Authentication-Results: bridge.example; dkim=pass header.d=acme.example; dmarc=pass header.from=acme.example",
        "Authentication-Results of the named server": "Authentication-Results: mx.mailbox.example; dmarc=pass header.from=acme.example",
        "X-Original-Authentication-Results": "X-Original-Authentication-Results: mx.google.com; dmarc=pass header.from=acme.example",
        "Received-SPF": "Received-SPF: pass (google.com: domain of acme.example designates 192.0.2.1) client-ip=192.0.2.1;",
        "X-Google-DKIM-Signature": "X-Google-DKIM-Signature: v=1; a=rsa-sha256; d=1e100.net; s=20230601; h=from; bh=AAAA; b=AAAA",
        "X-Spam": "X-Spam-Status: No, score=-100\nX-Trusted: yes",
        "Return-Path": "Return-Path: <ann+caf_=codes=bridge.example@gmail.com>",
    }.items():
        yield f"{name}, code", Attack(build=lambda line=line: code(above=line), rcpt=CODES)
        yield f"{name}, link", Attack(build=lambda line=line: link(above=line), rcpt=TOKEN)


def injected() -> Iterator[tuple[str, Attack]]:
    """Headers that come out of other headers, or out of line ends that readers disagree about."""
    for name, (old, new) in {
        "bare LF": (b"\r\nDate:", b"\nSubject: Your code is 713928\r\nDate:"),
        "bare CR": (b"\r\nDate:", b"\rSubject: Your code is 713928\r\nDate:"),
        "LF CR": (b"\r\nDate:", b"\n\rX: y\r\nDate:"),
        "NUL in a name": (b"\r\nDate:", b"\r\nSub\0ject: Your code is 713928\r\nDate:"),
        "NUL in the body": (b"713928", b"713\0928"),
        "an encoded line end": (b"Subject: ", b"Subject: =?utf-8?q?x=0D=0ADelivered-To=3A_ann=40corp.example=0D=0A?= "),
        "a line that is none": (b"\r\nDate:", b"\r\nTo ann@corp.example\r\nDate:"),
        "mbox's From in the middle": (b"\r\nDate:", b"\r\nFrom x@evil.example\r\nDate:"),
        "header without end": (b"\r\n\r\n", b"\r\n \r\n"),
    }.items():
        yield name, Attack(build=lambda old=old, new=new: by_acme(code()).replace(old, new, 1), rcpt=BOUND)


def linked() -> Iterator[tuple[str, Attack]]:
    """Genuine mails of Acme's whose link leads elsewhere: what somebody can have it write for them."""
    for host in (
        "evil.example",
        "acme.example.evil.example",
        "acme.example@evil.example",
        "acme-login.example",
        "xn--cme-6cd.example",
        "acme.example:8443",
        "127.0.0.1",
        "192.0.2.1",
        "2130706433",
        "click.mailer.example",
    ):
        yield f"https://{host}", Attack(build=lambda host=host: by_acme(link(host)), rcpt=CODES)
    yield "http", Attack(build=lambda: by_acme(link().replace(b"https://", b"http://")), rcpt=CODES)


CONFIRM = "ann@gmail.com has requested to automatically forward mail to your address.\n\nhttps://{}\n"
VF = "mail-settings.google.com/mail/vf-%5BANGjdJ-x%5D-abc"
TOKEN_HEADER = "X-Google-Address-Confirmation: abcdefghijklmnopqrstuvwxyz1"
TEAM = "Gmail Team <forwarding-noreply@google.com>"


def confirm(url: str = VF, sender: str = TEAM, to: str = CODES) -> bytes:
    """A mail of the shape of Gmail's forwarding confirmation."""
    return mail(
        CONFIRM.format(url),
        sender=sender,
        to=to,
        subject="Gmail Forwarding Confirmation - Receive Mail from ann@gmail.com",
        above=TOKEN_HEADER,
    )


def confirmations() -> Iterator[tuple[str, Attack]]:
    """Google's question, asked by somebody else."""
    team = "forwarding-noreply@google.com"
    yield "unsigned", Attack(build=confirm, rcpt=CODES, mail_from=team)
    yield "unsigned, to an unguessable address", Attack(build=lambda: confirm(to=TOKEN), rcpt=TOKEN, mail_from=team)
    yield "signed by evil", Attack(build=lambda: by_evil(confirm()), rcpt=CODES)
    yield "signed by evil, for evil", Attack(build=lambda: by_evil(confirm(sender="x@evil.example")), rcpt=CODES)
    yield "google.com's name, evil's key", Attack(build=lambda: by_evil(confirm(), more={"d": "google.com"}), rcpt=CODES)
    yield (
        "from a look-alike",
        Attack(build=lambda: by_evil(confirm(sender="forwarding-noreply@google.com.evil.example")), rcpt=CODES),
    )
    yield "sealed by a stranger", Attack(build=lambda: sealed(confirm(), "evil.example"), rcpt=CODES)
    yield (
        "Google's, changed",
        Attack(
            build=lambda: signer.dkim(confirm(), "google.com", private=signer.key("google")).replace(b"vf-", b"vf-x"), rcpt=CODES
        ),
    )
    yield (
        "Google's, for another address",
        Attack(build=lambda: signer.dkim(confirm(to="m@evil.example"), "google.com", private=signer.key("google")), rcpt=CODES),
    )
    for url in (
        "evil.example/mail/vf-x",
        "mail.google.com.evil.example/mail/vf-x",
        "mail.google.com@evil.example/mail/vf-x",
        "mail-settings.google.com/mail/uf-x",
        "mail-settings.google.com:8443/mail/vf-x",
        "mail-settings.google.com/other?/mail/vf-x",
    ):
        yield f"another link: {url}", Attack(build=lambda url=url: by_evil(confirm(url)), rcpt=CODES)


def bombs() -> Iterator[tuple[str, Attack]]:
    """Mails that want time or memory, with a code or a link in them."""
    yield (
        "1,000 signatures",
        Attack(
            build=lambda: (
                b"DKIM-Signature: v=1; a=rsa-sha256; d=acme.example; s=s1; h=from:subject; bh=AA; b=AA\r\n" * 1_000 + code()
            ),
            rcpt=CODES,
        ),
    )
    yield (
        "a signature of 200 kB",
        Attack(build=lambda: b"DKIM-Signature: v=1; d=acme.example; h=" + b"from:" * 40_000 + b"\r\n" + code(), rcpt=CODES),
    )
    yield (
        "60 seals",
        Attack(
            build=lambda: (
                b"".join(f"ARC-Seal: i={n}; cv=pass; a=rsa-sha256; d=google.com; s=arc; b=AA\r\n".encode() for n in range(1, 61))
                + code()
            ),
            rcpt=CODES,
        ),
    )
    yield "50,000 semicolons", Attack(build=lambda: b"ARC-Seal: " + b";" * 50_000 + b"\r\n" + code(), rcpt=CODES)
    yield (
        "10,000 parentheses",
        Attack(build=lambda: sealed(code(), "google.com", private="google", results="x; " + "(" * 10_000), rcpt=CODES),
    )
    yield (
        "nested parts",
        Attack(
            build=lambda: (
                code(below="Content-Disposition: inline") + b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n" * 3_000
            ),
            rcpt=CODES,
        ),
    )
    yield "a huge key", Attack(build=lambda: signer.dkim(code(sender="a@huge.example"), "huge.example"), rcpt=CODES)
    yield "a key that is not DER", Attack(build=lambda: signer.dkim(code(sender="a@junk.example"), "junk.example"), rcpt=CODES)
    yield (
        "a link among 20,000 links",
        Attack(
            build=lambda: link() + b"https://evil.example/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ\r\n" * 20_000, rcpt=TOKEN
        ),
    )


def vouched() -> Iterator[tuple[str, Attack]]:
    """The operator's seal, without the operator."""
    line = b"X-Mailbridge-Seal: n=%d; at=1795000000000000; made=1795000000000000; mac=" + b"0" * 64 + b"\r\n"
    for number in (0, 1):
        yield f"made up, n={number}", Attack(build=lambda number=number: line % number + code(), rcpt=CODES)
        yield f"made up, n={number}, link", Attack(build=lambda number=number: line % number + link(), rcpt=TOKEN)
    yield "malformed", Attack(build=lambda: b"X-Mailbridge-Seal: yes\r\n" + code(), rcpt=CODES)
