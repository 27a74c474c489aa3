"""Rows about seals: what a forwarder's genuine seal is made to say, chains with something wrong, and results that a sender writes."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable

from tests.attacks.forgeries import ANN, BOUND, CODES, by_acme, code, link, sealed
from tests.attacks.rows import MAILBOX, SHARED, Row, Rows, Way
from tests.attacks.rows_mailboxes import add, without_to
from tests.peers import signer
from tests.trust.mails import mail

HIS = "m@gmail.com"
GOOGLE = ("from", "to", "cc", "reply-to", "subject", "date", "message-id", "mime-version", "dkim-signature")
"""What Google's seal covers where it is there, and so also what somebody has added before."""

DELIVERED = (*GOOGLE, "delivered-to")
FOUND = "mx.google.com; dkim=pass header.i=@acme.example; spf=pass smtp.mailfrom=acme.example; dmarc={} header.from=acme.example"
PASS = FOUND.format("pass")


def google(
    content: bytes,
    *,
    results: str = PASS,
    instance: int = 1,
    headers: tuple[str, ...] = GOOGLE,
    cv: str | None = None,
    darn: str = "",
    ago: int | None = 0,
) -> bytes:
    """Sealed by Google, genuinely, so many seconds ago; None: it does not say when."""
    return signer.arc(
        content,
        "google.com",
        results=results,
        instance=instance,
        private=signer.key("google"),
        headers=headers,
        cv=cv,
        darn=darn,
        at=int(time.time()) - (ago or 0),
        is_timed=ago is not None,
    )


def forwarded(content: bytes, account: str = HIS, *, headers: tuple[str, ...] = GOOGLE) -> bytes:
    """Received for an account of Gmail's, and forwarded from there to us, as Google does both."""
    stamped = f"X-Forwarded-For: {account} {CODES}\r\nDelivered-To: {account}\r\n".encode() + google(content, headers=headers)
    return google(stamped, instance=2, headers=(*headers, "delivered-to"), darn="bridge.example")


LAUNDERED = {
    "Cc": f"Cc: {ANN}",
    "Cc with both": f"Cc: {HIS}, {ANN}",
    "Reply-To": f"Reply-To: {ANN}",
    "Delivered-To": f"Delivered-To: {ANN}",
    "X-Original-To": f"X-Original-To: {ANN}",
    "Resent-To": f"Resent-To: {ANN}",
    "X-Forwarded-For": f"X-Forwarded-For: {ANN} {CODES}",
    "X-Gm-Original-To": f"X-Gm-Original-To: {ANN}",
    "X-MS-Exchange-ForwardingLoop": f"X-MS-Exchange-ForwardingLoop: {ANN};0b1f",
}


def laundered() -> Rows:
    """A genuine mail to the attacker, with a header added, forwarded to us through his own account and sealed there."""
    for name, line in LAUNDERED.items():
        for rcpt in (BOUND, CODES):
            for kind, content in (("code", code), ("link", link)):
                yield Row(
                    kind="laundered",
                    name=f"{name}, {kind}, to {rcpt}",
                    says="Google seals what it was given, and what it was given names Ann in a header that anybody could write",
                    attack=lambda line=line, content=content: forwarded(add(by_acme(content(to=HIS)), line, "above")),
                    twin=lambda content=content: forwarded(by_acme(content()), "ann@corp.example"),
                    way=Way(rcpt=rcpt),
                )
    for service, selected in (("microsoft.com", ("from", "to", "cc", "subject", "date")), ("zohomail.com", GOOGLE)):
        for rcpt in (BOUND, CODES):
            yield Row(
                kind="laundered",
                name=f"Cc, by {service}, to {rcpt}",
                says="the same through another listed forwarder whose seal covers Cc",
                attack=lambda service=service, selected=selected: by(
                    service, add(by_acme(code(to=HIS)), f"Cc: {ANN}", "above"), selected
                ),
                twin=lambda service=service, selected=selected: by(service, by_acme(code()), selected),
                way=Way(rcpt=rcpt),
            )
    short = ("from", "subject", "date", "message-id")
    for rcpt in (BOUND, CODES):
        yield Row(
            kind="laundered",
            name=f"To that the author does not sign, to {rcpt}",
            says="To is changed to Ann's before Google receives it, and Google's seal covers it",
            attack=lambda: forwarded(by_acme(code(to=HIS), headers=short).replace(HIS.encode(), ANN.encode())),
            twin=lambda: forwarded(by_acme(code(), headers=(*short, "to")), ANN),
            way=Way(rcpt=rcpt),
        )
        yield Row(
            kind="laundered",
            name=f"a To where there was none, to {rcpt}",
            says="a blind copy to the attacker gets a To before Google receives it",
            attack=lambda: forwarded(f"To: {ANN}\r\n".encode() + by_acme(without_to(code()), headers=short)),
            twin=lambda: forwarded(by_acme(without_to(code()), headers=short), ANN),
            way=Way(rcpt=rcpt),
        )
        yield Row(
            kind="laundered",
            name=f"Delivered-To below Google's, to {rcpt}",
            says="a Delivered-To that was in the mail before Google's own; the newest seal covers one of the two",
            attack=lambda: forwarded(f"Delivered-To: {ANN}\r\n".encode() + by_acme(without_to(code()), headers=short)),
            twin=lambda: forwarded(by_acme(without_to(code()), headers=short), ANN),
            way=Way(rcpt=rcpt),
        )
    for rcpt in (BOUND, CODES):
        yield Row(
            kind="laundered",
            name=f"Delivered-To where the forwarder writes none, to {rcpt}",
            says="a Delivered-To written by the attacker goes through routing that adds none; the newest seal covers it",
            attack=lambda: google(
                google(add(by_acme(code(to=HIS)), f"Delivered-To: {ANN}", "above")), instance=2, headers=DELIVERED
            ),
            twin=lambda: twice_sealed(by_acme(code())),
            way=Way(rcpt=rcpt),
        )
        yield Row(
            kind="laundered",
            name=f"Delivered-To of a blind copy where the forwarder writes none, to {rcpt}",
            says="the same with a mail that names nobody, and stamps that agree",
            attack=lambda: google(
                google(
                    add(by_acme(without_to(code()), headers=short), f"X-Gm-Original-To: {ANN}\r\nDelivered-To: {ANN}", "above")
                ),
                instance=2,
                headers=DELIVERED,
            ),
            twin=lambda: twice_sealed(by_acme(without_to(code()), headers=short)),
            way=Way(rcpt=rcpt),
        )
    yield Row(
        kind="laundered",
        name="a recipient above the newest seal",
        says="a Delivered-To for Ann written above a genuine seal that covers none",
        attack=lambda: f"Delivered-To: {ANN}\r\n".encode() + google(by_acme(code(to=HIS))),
        twin=lambda: google(by_acme(code())),
        way=Way(rcpt=BOUND),
    )


def by(service: str, content: bytes, headers: tuple[str, ...] = GOOGLE) -> bytes:
    """Sealed once by a listed service."""
    return signer.arc(content, service, results=PASS, instance=1, private=signer.key("google"), headers=headers)


VERDICTS = {
    "fail, and pass in a comment": "mx.google.com; dmarc=fail (dmarc=pass header.from=acme.example) header.from=acme.example",
    "fail, and pass in a nested comment": "mx.google.com; dmarc=fail (a (dmarc=pass) header.from=acme.example) header.from=acme.example",
    "none, and pass in a quoted string": 'mx.google.com; spf=pass smtp.mailfrom="; dmarc=pass header.from=acme.example; "@evil.example; dmarc=none header.from=acme.example',
    "none, and pass in an escaped string": 'mx.google.com; spf=pass smtp.mailfrom="\\"; dmarc=pass header.from=acme.example; "@evil.example',
    "pass and fail": "mx.google.com; dmarc=pass header.from=acme.example; dmarc=fail header.from=acme.example",
    "fail and pass": "mx.google.com; dmarc=fail header.from=acme.example; dmarc=pass header.from=acme.example",
    "of another From": "mx.google.com; dmarc=pass header.from=evil.example",
    "of two Froms": "mx.google.com; dmarc=pass header.from=evil.example header.from=acme.example",
    "of a longer From": "mx.google.com; dmarc=pass header.from=acme.example.evil.example",
    "of a From below": "mx.google.com; dmarc=pass header.from=sub.acme.example",
    "of no From": "mx.google.com; dmarc=pass",
    "of DKIM alone": "mx.google.com; dkim=pass header.i=@acme.example",
    "of SPF alone": "mx.google.com; spf=pass smtp.mailfrom=acme.example header.from=acme.example",
    "a guess": "mx.google.com; dmarc=bestguesspass header.from=acme.example",
    "under another name": "mx.google.com; x-dmarc=pass header.from=acme.example",
    "a property": "mx.google.com; spf=fail policy.dmarc=pass header.from=acme.example",
    "cut by a comment": "mx.google.com; dm(x)arc=pass header.from=acme.example",
    "an open comment": "mx.google.com; spf=fail (x; dmarc=pass header.from=acme.example",
    "an open string": 'mx.google.com; spf=fail "x; dmarc=pass header.from=acme.example',
    "temperror": FOUND.format("temperror"),
    "nothing": "mx.google.com; none",
}
"""What a first hop may have sealed; none of it is DMARC passing for acme.example. The sender chose parts of it."""


def verdicts() -> Rows:
    """A forgery that Google received, judged and sealed: the seal is genuine, and its results hold the sender's own words."""
    for name, results in VERDICTS.items():
        for hops in (1, 2):
            yield Row(
                kind="verdicts",
                name=f"{name}, {hops} hop{'s' if hops > 1 else ''}",
                says="Google's seal is genuine; what it says of this From is not that DMARC passed",
                attack=lambda results=results, hops=hops: hopped(code(), results, hops),
                twin=lambda hops=hops: hopped(code(), PASS, hops),
                way=Way(rcpt=BOUND),
            )
    yield Row(
        kind="verdicts",
        name="the second hop finds what the first did not",
        says="the first seal found no DMARC; the second says that it passes",
        attack=lambda: twice_sealed(code(), first=VERDICTS["nothing"]),
        twin=lambda: twice_sealed(code()),
        way=Way(rcpt=BOUND),
    )


def hopped(content: bytes, results: str, hops: int) -> bytes:
    """Sealed by Google as often, with the same results."""
    if hops == 2:
        return twice_sealed(content, first=results, second=results)
    content = own(content)
    for instance in range(1, hops + 1):
        content = google(content, results=results, instance=instance, headers=DELIVERED, darn="bridge.example")
    return content


def own(content: bytes) -> bytes:
    """As Google has taken it in and delivered it to Ann: the trace of its arrival, and the stamp above that."""
    arrival = f"Received: from out1.acme.example (out1.acme.example. [192.0.2.10])\r\n by mx.google.com with ESMTPS id a6\r\n for <{ANN}>"
    return f"Delivered-To: {ANN}\r\n{arrival}; Wed, 25 Nov 2026 09:57:25 +0000\r\n".encode() + content


def once(
    content: bytes,
    *,
    results: str = PASS,
    headers: tuple[str, ...] = DELIVERED,
    cv: str | None = None,
    darn: str = "bridge.example",
    ago: int | None = 0,
) -> bytes:
    """Delivered to Ann by Google, and sealed once."""
    return google(own(content), results=results, headers=headers, cv=cv, darn=darn, ago=ago)


def twice_sealed(content: bytes, *, first: str = PASS, second: str = PASS, cv: str | None = None) -> bytes:
    """Sealed by Google when it came and, delivered to Ann, when it went on."""
    return google(
        own(google(content, results=first)), results=second, instance=2, headers=DELIVERED, cv=cv, darn="bridge.example"
    )


def chains() -> Rows:
    """Chains that are not whole, not in order, not of listed forwarders, or not for us."""
    whole = twice_sealed(code())
    made: dict[str, tuple[str, Callable[[], bytes]]] = {
        "the first set taken away": ("a chain begins with its second set", lambda: drop(twice_sealed(code()), 1)),
        "instance 3 for 2": ("a chain has a gap", lambda: whole.replace(b"i=2;", b"i=3;")),
        "instance 0": ("a set says i=0", lambda: once(code()).replace(b"i=1;", b"i=0;")),
        "instance 51": ("a set says i=51", lambda: once(code()).replace(b"i=1;", b"i=51;")),
        "instance -1": ("a set says i=-1", lambda: once(code()).replace(b"i=1;", b"i=-1;")),
        "instance 01": ("a set says i=01", lambda: once(code()).replace(b"i=1;", b"i=01;")),
        "results twice": ("two sets of results for one seal, the forged one on top", lambda: twice(b"ARC-Authentication-Results")),
        "seal twice": ("one seal stands twice", lambda: twice(b"ARC-Seal")),
        "message signature twice": ("one message signature stands twice", lambda: twice(b"ARC-Message-Signature")),
        "no message signature": ("a set lacks its message signature", lambda: without(once(code()), b"ARC-Message-Signature")),
        "no seal": ("a set lacks its seal", lambda: without(once(code()), b"ARC-Seal")),
        "no results": ("a set lacks its results", lambda: without(once(code()), b"ARC-Authentication-Results")),
        "cv=fail at the end": ("the newest seal says that the chain was broken", lambda: twice_sealed(code(), cv="fail")),
        "cv=none at the end": ("the second seal says that there was none before", lambda: twice_sealed(code(), cv="none")),
        "cv=pass at the start": ("the first seal says that there was one before", lambda: once(code(), cv="pass")),
        "a subdomain of a forwarder": ("sealed by a host below Google's, with the attacker's key", lambda: sealed(own(code()), "mail.google.com")),
        "a domain that ends as a forwarder's": ("sealed by xgoogle.com, with the attacker's key", lambda: sealed(own(code()), "xgoogle.com")),
        "a domain that begins as a forwarder's": ("sealed by google.com.evil.example, with the attacker's key", lambda: sealed(own(code()), "google.com.evil.example")),
        "a domain with a dot behind it": ("sealed as google.com., with the attacker's key", lambda: sealed(own(code()), "google.com.")),
        "the attacker first": ("the attacker's seal, and Google's on top of it", lambda: google(sealed(own(code()), "evil.example"), instance=2)),
        "the attacker last": ("Google's seal, and the attacker's on top of it", lambda: sealed(once(code()), "evil.example", instance=2)),
        "the attacker in the middle": (
            "the attacker's seal between two of Google's",
            lambda: google(sealed(once(code()), "evil.example", instance=2), instance=3),
        ),
        "From changed behind the seal": (
            "a mail of the attacker's that Google sealed, From changed to Acme's",
            lambda: once(code(sender="x@evil.example"), results=PASS).replace(b"x@evil.example", b"no-reply@acme.example"),
        ),
        "From not covered": ("the seal does not cover From", lambda: once(code(), headers=("to", "subject", "date"))),
        "Subject not covered": ("the seal does not cover Subject", lambda: once(code(), headers=("to", "from", "date"))),
        "Subject changed": ("Subject is changed behind the seal", lambda: once(code()).replace(b"sign-in code", b"code is 999999")),
        "a second Subject": ("a second Subject stands on top", lambda: b"Subject: Your code is 999999\r\n" + once(code())),
        "To changed": ("To is changed behind the seal", lambda: once(code(to=HIS)).replace(HIS.encode(), ANN.encode())),
        "seal of another mail": ("the set of one mail on top of another", lambda: moved()),
        "for another domain": ("sealed by Google for evil.example", lambda: once(code(), darn="evil.example")),
        "for a domain below ours": ("sealed by Google for x.bridge.example", lambda: once(code(), darn="x.bridge.example")),
        "for the domain above ours": ("sealed by Google for example", lambda: once(code(), darn="example")),
        "seven hops": ("a chain that is longer than any that is followed", lambda: hopped(code(), PASS, 7)),
        "body changed": ("the code is changed behind the seal", lambda: once(code()).replace(b"713928", b"999999")),
        "bh changed": ("code and body hash are changed behind the seal", lambda: rehashed(once(code()))),
        "sha1": ("the seal's algorithm is changed to rsa-sha1", lambda: once(code()).replace(b"a=rsa-sha256", b"a=rsa-sha1")),
        "h= twice": ("the message signature has h= twice", lambda: once(code()).replace(b"; h=", b"; h=from; h=", 1)),
        "l=": ("the message signature has l=", lambda: once(code()).replace(b"; h=", b"; l=0; h=", 1)),
    }  # fmt: skip
    for name, (says, attack) in made.items():
        yield Row(kind="chains", name=name, says=says, attack=attack, twin=lambda: once(code()), way=Way(rcpt=BOUND))
    for name, at in {"a year old": 31_536_000, "two days old": 172_800, "an hour ahead": -3_600}.items():
        for hops in (1, 2):
            yield Row(
                kind="chains",
                name=f"sealed {name}, {hops}",
                says="a genuine mail of Ann's that was sealed at another time is sent again",
                attack=lambda at=at, hops=hops: aged(code(), at, hops),
                twin=lambda hops=hops: aged(code(), 0, hops),
                way=Way(rcpt=BOUND),
            )
    yield Row(
        kind="chains",
        name="sealed without a time, old Date",
        says="a genuine mail of Ann's of last year whose seals say no time is sent again",
        attack=lambda: google(mail("Your verification code is 713928.").replace(b"25 Nov 2026", b"25 Nov 2025"), ago=None),
        twin=lambda: once(code()),
        way=Way(rcpt=BOUND),
    )


def aged(content: bytes, seconds: int, hops: int) -> bytes:
    """Sealed so long ago."""
    if hops == 1:
        return once(content, ago=seconds)
    return google(own(google(content, ago=seconds)), instance=2, headers=DELIVERED, ago=seconds, darn="bridge.example")


def without(content: bytes, name: bytes) -> bytes:
    """The mail without the topmost header of a name."""
    return re.sub(rb"(?m)^%b:.*\r\n" % name, b"", content, count=1)


def drop(content: bytes, instance: int) -> bytes:
    """The mail without one set."""
    return re.sub(rb"(?m)^ARC-[A-Za-z-]+: ?i=%d;.*\r\n" % instance, b"", content)


def twice(name: bytes) -> bytes:
    """A sealed forgery with one of its headers twice: the results say that DMARC failed, and on top that it passed."""
    content = once(code(), results=FOUND.format("fail"))
    found = re.search(rb"(?m)^%b:.*\r\n" % name, content)
    assert found is not None
    return found.group().replace(b"dmarc=fail", b"dmarc=pass") + content


def moved() -> bytes:
    """Another mail's set on top of a forgery."""
    other = once(mail("Welcome to Acme."))
    return b"".join(re.findall(rb"(?m)^ARC-.*\r\n", other)) + own(code())


def rehashed(content: bytes) -> bytes:
    """The body changed, and its hash with it."""
    changed = content.replace(b"713928", b"999999")
    body = changed.partition(b"\r\n\r\n")[2]
    new = base64.b64encode(hashlib.sha256(body.rstrip(b"\r\n") + b"\r\n").digest())
    return re.sub(rb"bh=[^;]+", b"bh=" + new, changed)


OURS = "mx.mailbox.example"
FAILED = f"Authentication-Results: {OURS}; dkim=none; dmarc=fail header.from=acme.example"
TRUE = f"Authentication-Results: {OURS}; dkim=pass header.d=acme.example; dmarc=pass (p=reject) header.from=acme.example"

CLAIMS = {
    "below the server's own": f"{FAILED}\n{TRUE}",
    "far below the server's own": f"{FAILED}\nReceived: from a by b; Wed, 25 Nov 2026 09:57:25 +0000\n{TRUE}",
    "of an id that goes on": TRUE.replace(OURS, f"{OURS}.evil.example"),
    "of an id that looks alike": TRUE.replace(OURS, "mx.mai1box.example"),
    "of an id with a letter beyond ASCII": TRUE.replace(OURS, "mx.mаilbox.example"),
    "of an id below": TRUE.replace(OURS, f"x.{OURS}"),
    "of an id in a comment": TRUE.replace(OURS, f"({OURS}) mx.evil.example"),
    "of an id in quotes that goes on": TRUE.replace(OURS, f'"{OURS}" mx.evil.example'),
    "of an id behind another": TRUE.replace(OURS, f"mx.evil.example {OURS}"),
    "of no id": TRUE.replace(f" {OURS};", ""),
    "of another From": TRUE.replace("acme.example", "evil.example"),
    "of a From that goes on": TRUE.replace("acme.example", "acme.example.evil.example"),
    "of two Froms": f"Authentication-Results: {OURS}; dmarc=pass header.from=evil.example header.from=acme.example",
    "of another signer, i= of Acme's": f"Authentication-Results: {OURS}; dkim=pass header.d=evil.example header.i=@acme.example",
    "of a signer in a quoted reason": f'Authentication-Results: {OURS}; dkim=pass reason="header.d=acme.example" header.d=evil.example',
    "of a signer in a comment": f"Authentication-Results: {OURS}; dkim=pass (header.d=acme.example) header.d=evil.example",
    "of a signer whose i= goes on": f"Authentication-Results: {OURS}; dkim=pass header.i=@acme.example@evil.example header.d=evil.example",
    "of a signature that failed": f"Authentication-Results: {OURS}; dkim=fail header.d=acme.example; dkim=pass header.d=evil.example",
    "of SPF": f"Authentication-Results: {OURS}; spf=pass smtp.mailfrom=acme.example",
    "of SPF whose sender is quoted": f'Authentication-Results: {OURS}; spf=pass smtp.mailfrom="; dmarc=pass header.from=acme.example;"@evil.example',
    "of a chain": f"Authentication-Results: {OURS}; arc=pass header.oldest-pass=1 header.from=acme.example",
    "of DMARC that failed, pass in a comment": f"Authentication-Results: {OURS}; dmarc=fail (dmarc=pass) header.from=acme.example",
    "of DMARC under another name": f"Authentication-Results: {OURS}; xdmarc=pass header.from=acme.example",
    "of DMARC that passed, and did not": f"Authentication-Results: {OURS}; dmarc=fail header.from=acme.example; dmarc=passed header.from=acme.example",
    "under another name": TRUE.replace("Authentication-Results", "X-Authentication-Results"),
    "under the seal's name": TRUE.replace("Authentication-Results: ", "ARC-Authentication-Results: i=1; "),
    "with a blank before the colon": f"{FAILED}\n{TRUE.replace('Results:', 'Results :')}",
    "in the body": "X: y",
}  # fmt: skip
"""What stands above a forgery in a mailbox whose server has found nothing good, or has written nothing."""


def claims() -> Rows:
    """A forgery in a mailbox that we read: the server's own results are bad, not there, or somebody else's."""
    for name, lines in CLAIMS.items():
        yield Row(
            kind="claims",
            name=f"results {name}",
            says="results that the mailbox's server has not found of this mail, in words that look as if it had",
            attack=lambda lines=lines: code(to=MAILBOX, above=lines) + TRUE.encode(),
            twin=lambda: code(to=MAILBOX, above=TRUE),
            way=Way(rcpt=MAILBOX, ingress="imap"),
        )
    for name, way in {
        "over SMTP": Way(rcpt=BOUND),
        "over LMTP": Way(rcpt=BOUND, ingress="lmtp"),
        "over HTTP": Way(rcpt=BOUND, ingress="http"),
    }.items():
        yield Row(
            kind="claims",
            name=f"the server's good results, {name}",
            says="the same words in a mail that is sent to us, where no server of the mailbox has written anything",
            attack=lambda: code(above=TRUE),
            twin=lambda: by_acme(code()),
            way=way,
        )


def resent_to_a_mailbox() -> Rows:
    """Somebody else's genuine mail, sent on to a mailbox that we read: its server finds it genuine, and it is not Ann's."""
    short = ("from", "subject", "date", "message-id")
    stamp = f"X-MS-Exchange-ForwardingLoop: {ANN};1"
    for name, content in {
        "to the attacker": lambda: by_acme(code(to="m@evil.example")),
        "to the attacker, Cc added": lambda: add(by_acme(code(to="m@evil.example")), f"Cc: {ANN}", "below"),
        "to the attacker, Cc of the mailbox added": lambda: add(by_acme(code(to="m@evil.example")), f"Cc: {SHARED}", "below"),
        "to the attacker, To changed": lambda: by_acme(code(to="m@evil.example"), headers=short).replace(b"m@evil.example", ANN.encode()),
        "to the attacker, a link": lambda: by_acme(link(to="m@evil.example")),
        "to nobody, a stamp added": lambda: add(by_acme(code(to="undisclosed:;")), stamp, "above"),
        "to the attacker and a list, a stamp added": lambda: add(by_acme(code(to="m@evil.example, x@evil.example")), stamp, "above"),
        "to the attacker, Ann's mailbox in his name": lambda: by_acme(code(to=f'"{ANN}" <m@evil.example>')),
        "to the attacker, the mailbox in his name": lambda: by_acme(code(to=f'"{SHARED}" <m@evil.example>')),
        "to the attacker, Delivered-To below the results": lambda: add(by_acme(code(to="m@evil.example")), f"Delivered-To: {SHARED}", "above"),
    }.items():  # fmt: skip
        for rcpt in (SHARED, MAILBOX):
            yield Row(
                kind="resent to a mailbox",
                name=f"{name}, {rcpt}",
                says="a genuine mail that was not written to Ann, re-sent to the mailbox; its server's results are good",
                attack=lambda content=content: add(
                    content(), TRUE.replace("dmarc", "spf=fail smtp.mailfrom=evil.example; dmarc"), "above"
                ),
                twin=lambda rcpt=rcpt: add(by_acme(code(to=rcpt)), TRUE, "above"),
                way=Way(rcpt=rcpt, ingress="imap"),
            )


GROUPS = (laundered, verdicts, chains, claims, resent_to_a_mailbox)
