"""Attacks on what a proof says of whom a mail was for, when it was written and how it is to be read.

Everybody's keys are real and nothing is broken: Acme's signatures are Acme's, Google's seals are Google's. What the attacker has is
genuine mail that Acme wrote to him (``m@gmail.com``, ``m@evil.example``), mailboxes, domains and servers of his own, and whatever
a signature leaves out.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from typing import Literal

from tests.attacks.forgeries import ANN, BOUND, CODES, TOKEN, by_acme, code, link
from tests.attacks.gathering import gathered
from tests.peers import signer

GOOGLES = "192.0.2.25"
"""A server of Google's, as its record says."""

OFFICE = "198.51.100.7"
"""A server that corp.example lets send for itself, and that is not Google's."""

ELSEWHERE = "203.0.113.9"
MAILBOX = "watched@mailbox.example"
"""A mailbox that is read by IMAP, and bound to ann@corp.example."""

SHARED_BOX = "hub@mailbox.example"
"""One that is bound to nobody."""

ME = "m@gmail.com"
OTHER = "m@evil.example"
PASS = "mx.google.com; dkim=pass header.i=@acme.example; spf=pass smtp.mailfrom=acme.example; dmarc=pass header.from=acme.example"
RESULTS = "Authentication-Results: mx.mailbox.example; {}dmarc=pass header.from=acme.example\r\n"
DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One mail, how it comes, and from where."""

    build: Callable[[], bytes]
    rcpt: str = CODES
    mail_from: str = "bounces@evil.example"
    peer: str = ELSEWHERE
    ingress: Literal["smtp", "imap"] = "smtp"


def arrived(content: bytes, *, at: str = ME, by: str = "mx.google.com", made: int | None = None, **more: object) -> bytes:
    """As Google takes a mail in: the trace of its arrival on top, and a seal over what it was."""
    trace = f"Received: from relay.evil.example (relay.evil.example [203.0.113.9])\r\n by {by} with ESMTPS id a1 for <{at}>; {now()}\r\n"
    usual: dict[str, object] = {"results": PASS, "instance": 1, "private": signer.key("google"), "at": made}
    return signer.arc(trace.encode() + content, "google.com", **{**usual, **more})  # type: ignore[arg-type]


LISTED = ("from", "to", "cc", "subject", "date", "message-id", "dkim-signature", "delivered-to", "x-forwarded-for", "resent-to")
"""What Google's outgoing seal covers here: more than it really does, so that nothing depends on its leaving something out."""


def sent_on(
    content: bytes, *, account: str = ME, to: str = CODES, darn: str | None = None, stamp: str | None = None, **more: object
) -> bytes:
    """As Google forwards it then: its stamps, and a second seal over all of it."""
    line = f"X-Forwarded-To: {to}\r\nX-Forwarded-For: {account} {to}\r\nDelivered-To: {account}\r\n" if stamp is None else stamp
    line += "Received: by 2002:a05:6808:7006:b0:43f:1ae3:78f1 with SMTP id 5614622812f47\r\n"
    usual: dict[str, object] = {"headers": LISTED, "results": PASS, "instance": 2, "private": signer.key("google")}
    return signer.arc(
        line.encode() + content,
        "google.com",
        darn=to.rpartition("@")[2] if darn is None else darn,
        **{**usual, **more},  # type: ignore[arg-type]
    )


def now(ago: float = 0) -> str:
    """A Date of today, or so many seconds before."""
    return formatdate(time.time() - ago)


def genuine(to: str = ME, *, above: str = "", headers: tuple[str, ...] = signer.USUAL, **more: object) -> bytes:
    """A code of the attacker's own account, as Acme has signed and sent it to him; ``above`` is what he puts on top of it."""
    return above.encode() + by_acme(code(to=to), headers=headers, **more)


def every() -> dict[str, Attack]:
    """The whole set by name."""
    return gathered((laundered, moved, relayed, resent, stale, read_otherwise, enveloped))


UNSIGNED = {
    "Cc": f"Cc: {ANN}\r\n",
    "Cc with a name": f'Cc: "Ann" <{ANN}>\r\n',
    "Cc of two": f"Cc: {ME}, {ANN}\r\n",
    "Delivered-To": f"Delivered-To: {ANN}\r\n",
    "X-Forwarded-For": f"X-Forwarded-For: {ANN} {CODES}\r\n",
    "Gmail's pair": f"X-Forwarded-For: {ANN} {CODES}\r\nDelivered-To: {ANN}\r\n",
    "Resent-To": f"Resent-From: {ANN}\r\nResent-To: {ANN}\r\n",
    "X-Original-To": f"X-Original-To: {ANN}\r\n",
    "Envelope-To": f"Envelope-To: {ANN}\r\n",
    "X-Gm-Original-To": f"X-Gm-Original-To: {ANN}\r\n",
    "ForwardingLoop": f"X-MS-Exchange-ForwardingLoop: {ANN};0b1f\r\n",
    "Received": f"Received: by mx.google.com for <{ANN}>; Wed, 25 Nov 2026 09:57:25 +0000\r\n",
}
"""What the attacker adds to a genuine mail before he sends it to his own mailbox at Google, whose seal covers all of it."""


def laundered() -> Iterator[tuple[str, Attack]]:
    """Lines that a seal covers because they were there, not because they are true."""
    for name, line in UNSIGNED.items():
        for rcpt in (CODES, BOUND):
            yield (
                f"{name}, to {rcpt}",
                Attack(build=lambda line=line, rcpt=rcpt: sent_on(arrived(genuine(above=line)), to=rcpt), rcpt=rcpt),
            )
    short = ("from", "subject", "date", "message-id")
    yield (
        "To that Acme has not signed, and changed",
        Attack(build=lambda: sent_on(arrived(genuine(headers=short).replace(f"To: {ME}".encode(), f"To: {ANN}".encode())))),
    )
    yield (
        "Cc, and Acme's signature broken on the way",
        Attack(build=lambda: sent_on(arrived(genuine(above=UNSIGNED["Cc"]) + b"-- \r\nSent by a list\r\n"))),
    )
    yield (
        "To changed, and Acme's signature broken so",
        Attack(build=lambda: sent_on(arrived(genuine().replace(f"To: {ME}".encode(), f"To: {ANN}".encode())))),
    )
    yield (
        "Cc, signed by Acme's parent alone",
        Attack(build=lambda: sent_on(arrived(UNSIGNED["Cc"].encode() + signer.dkim(code(to=ME), "corp.acme.example")))),
    )
    yield "sealed once, Cc", Attack(build=lambda: arrived(genuine(above=UNSIGNED["Cc"]), headers=LISTED))
    yield (
        "sealed once, Delivered-To below",
        Attack(build=lambda: arrived(genuine(above=UNSIGNED["Delivered-To"]), headers=LISTED)),
    )
    yield (
        "sealed once, for us",
        Attack(build=lambda: arrived(genuine(above=UNSIGNED["Delivered-To"]), headers=LISTED, darn="bridge.example")),
    )
    yield "sealed once, Delivered-To above", Attack(build=lambda: UNSIGNED["Delivered-To"].encode() + arrived(genuine()))
    for domain in ("microsoft.com", "zohomail.com"):
        for name in ("Cc", "ForwardingLoop", "Delivered-To"):
            yield (
                f"{domain}, {name}",
                Attack(
                    build=lambda domain=domain, name=name: signer.arc(
                        genuine(above=UNSIGNED[name]),
                        domain,
                        results=PASS,
                        instance=1,
                        private=signer.key("google"),
                        headers=LISTED,
                    )
                ),
            )
    yield (
        "microsoft.com twice, Delivered-To between",
        Attack(
            build=lambda: signer.arc(
                UNSIGNED["Delivered-To"].encode()
                + signer.arc(genuine(), "microsoft.com", results=PASS, instance=1, private=signer.key("google")),
                "microsoft.com",
                results=PASS,
                instance=2,
                private=signer.key("google"),
                headers=LISTED,
                darn="bridge.example",
            )
        ),
    )


def moved() -> Iterator[tuple[str, Attack]]:
    """Stamps of Google's that were moved, added, taken away or written to be misread, after the mail had left Google or before."""
    forged = UNSIGNED["Delivered-To"]
    yield (
        "Delivered-To between the seals, no word of where to",
        Attack(build=lambda: _between(arrived(genuine(above=forged)), darn="")),
    )
    yield "the same, sealed for the attacker", Attack(build=lambda: _between(arrived(genuine(above=forged)), darn="evil.example"))
    yield "Delivered-To added above all", Attack(build=lambda: forged.encode() + sent_on(arrived(genuine()), headers=LISTED[:-3]))
    yield "Google's taken away, his own moved up", Attack(build=lambda: _swapped(darn=""))
    yield "Delivered-To of two", Attack(build=lambda: sent_on(arrived(genuine()), stamp=f"Delivered-To: {ME}, {ANN}\r\n"))
    yield (
        "Delivered-To with a comment",
        Attack(build=lambda: sent_on(arrived(genuine()), stamp=f"Delivered-To: {ANN} ({ME})\r\n")),
    )
    yield "Delivered-To with a name", Attack(build=lambda: sent_on(arrived(genuine()), stamp=f'Delivered-To: "{ANN}" <{ME}>\r\n'))
    yield "sets out of order", Attack(build=lambda: _reordered())
    yield (
        "a routing of Google's that stamps nothing, behind an older seal",
        Attack(build=lambda: _routed(forged.encode() + arrived(genuine()))),
    )
    yield (
        "the same, Gmail's whole layout forged",
        Attack(
            build=lambda: _routed(
                b"X-Received: by 2002:a05 with SMTP id 1\r\n" + UNSIGNED["Gmail's pair"].encode() + arrived(genuine())
            )
        ),
    )
    yield (
        "the same, from Google's server",
        Attack(build=lambda: _routed(forged.encode() + arrived(genuine())), peer=GOOGLES, mail_from="m@evil.example"),
    )


def _between(inner: bytes, darn: str) -> bytes:
    """The sealed mail with the attacker's line moved between the seals, where Google's own would stand."""
    line = UNSIGNED["Delivered-To"].encode()
    outer = sent_on(inner, stamp="", darn=darn)
    place = outer.index(b"Received: by 2002:")
    bare = outer.replace(line, b"")
    return bare[:place] + line + bare[place:]


def _swapped(darn: str) -> bytes:
    """Google's own Delivered-To, which the seal does not cover beside an older one, is taken out; the older one takes its place."""
    theirs, mine = f"Delivered-To: {ME}\r\n".encode(), UNSIGNED["Delivered-To"].encode()
    return sent_on(arrived(genuine(above=mine.decode())), darn=darn).replace(mine, b"").replace(theirs, mine)


def _reordered() -> bytes:
    """The first set above the second, so that what stands between them was below both."""
    whole = sent_on(arrived(genuine(above=UNSIGNED["Delivered-To"])), stamp="")
    first = re.findall(rb"ARC-[A-Za-z-]+: ?i=1;.*\r\n", whole)
    bare = whole
    for one in first:
        bare = bare.replace(one, b"")
    return b"".join(first) + bare


def _routed(content: bytes) -> bytes:
    """A business customer's routing at Google: one seal, above the trace of arrival, and no stamp."""
    trace = f"Received: from relay.evil.example by mx.google.com with ESMTPS id a2 for <x@evil.example>; {now()}\r\n"
    return signer.arc(
        trace.encode() + content,
        "google.com",
        results=PASS,
        instance=2,
        private=signer.key("google"),
        headers=LISTED,
        darn="bridge.example",
    )


def relayed() -> Iterator[tuple[str, Attack]]:
    """Gmail's envelope, written by somebody who is not Gmail, or for somebody else than it says."""
    own = f"ann+caf_={CODES.replace('@', '=')}@corp.example"
    for name, peer in {
        "a host that corp.example lists": OFFICE,
        "the same, as IPv6 writes it": f"::ffff:{OFFICE}",
        "anybody's host": ELSEWHERE,
        "no address": "",
        "a name": "mail.google.com",
    }.items():
        yield f"{name}, code", Attack(build=partial(code, to=ANN), mail_from=own, peer=peer)
        yield (
            f"{name}, link",
            Attack(build=partial(link, to=ANN), rcpt=TOKEN, mail_from=own.replace("codes=", "otp-7m3k9q2wxy8vhtnc="), peer=peer),
        )
    yield (
        "another listed account's forward",
        Attack(build=partial(code, to=ANN), mail_from=own.replace("ann", "bob", 1), peer=GOOGLES),
    )
    yield (
        "another listed account's forward, stamped",
        Attack(
            build=partial(code, to=ANN, above=f"X-Forwarded-For: {ANN} {CODES}\nDelivered-To: {ANN}"),
            mail_from=own.replace("ann", "bob", 1),
            peer=GOOGLES,
        ),
    )
    yield (
        "an account that is not listed",
        Attack(build=partial(code, to=ANN), mail_from=own.replace("corp", "evil"), peer=GOOGLES),
    )
    yield "for another recipient", Attack(build=partial(code, to=ANN), mail_from=own.replace("codes=", "other="), peer=GOOGLES)
    trace = "Received: from relay.evil.example by mx.google.com with ESMTPS id a2{}; Wed, 25 Nov 2026 09:57:25 +0000"
    for name, line in {
        "taken in for another": trace.format(" for <x@evil.example>"),
        "taken in for nobody in particular": trace.format(""),
        "taken in for another, who calls himself Ann": trace.replace("relay.evil.example", f"for<{ANN}>").format(
            " for <x@evil.example>"
        ),
        "taken in for another, Gmail's lines below": trace.format(" for <x@evil.example>")
        + f"\nX-Forwarded-For: {ANN} {CODES}\nDelivered-To: {ANN}\n"
        + trace.format(f" for <{ANN}>"),
        "handed in by a customer": trace.replace("mx.google", "smtp-relay.gmail").format(f" for <{CODES}>"),
    }.items():
        yield (
            f"Google's routing with the envelope kept: {name}",
            Attack(build=partial(code, to=ANN, above=line), mail_from=own, peer=GOOGLES),
        )
    yield (
        "the same, over a genuine mail to somebody else",
        Attack(build=lambda: _routed(arrived(genuine(above=UNSIGNED["Cc"]))), mail_from=own, peer=GOOGLES),
    )


def enveloped() -> Iterator[tuple[str, Attack]]:
    """A sealed mail whose envelope names Ann, although Google did not write it."""
    own = f"ann+caf_={CODES.replace('@', '=')}@corp.example"
    for name, peer in {"elsewhere": ELSEWHERE, "the office": OFFICE, "nowhere": ""}.items():
        yield f"from {name}", Attack(build=lambda: sent_on(arrived(genuine()), stamp=""), mail_from=own, peer=peer)
    yield (
        "from Google, for another recipient",
        Attack(build=lambda: sent_on(arrived(genuine()), stamp=""), mail_from=own.replace("codes=", "other="), peer=GOOGLES),
    )
    yield (
        "from Google, which took it in for the attacker",
        Attack(build=lambda: sent_on(arrived(genuine()), stamp=""), mail_from=own, peer=GOOGLES),
    )


def resent() -> Iterator[tuple[str, Attack]]:
    """Somebody else's genuine mail in a mailbox that is read by IMAP, with its own server's good results on top."""
    box = {"rcpt": MAILBOX, "ingress": "imap"}
    top = f"Delivered-To: {MAILBOX}\r\n"
    short = ("from", "subject", "date", "message-id")

    def fetched(content: bytes, *, above: str = "", spf: str = "spf=fail smtp.mailfrom=evil.example; ") -> bytes:
        return (above + RESULTS.format(spf)).encode() + content

    shapes: dict[str, Callable[[], bytes]] = {
        "as it is": lambda: fetched(genuine(OTHER)),
        "with the server's own Delivered-To": lambda: fetched(genuine(OTHER), above=top),
        "Cc added": lambda: fetched(genuine(OTHER, above=f"Cc: {MAILBOX}\r\n")),
        "Cc of Ann added": lambda: fetched(genuine(OTHER, above=UNSIGNED["Cc"])),
        "To changed, which Acme has not signed": lambda: fetched(
            genuine(OTHER, headers=short).replace(f"To: {OTHER}".encode(), f"To: {ANN}".encode())
        ),
        "Delivered-To below the results": lambda: fetched(
            genuine(OTHER, headers=short, above=f"Delivered-To: {ANN}\r\nX-Original-To: {ANN}\r\n")
        ),
        "another signature that covers Cc": lambda: fetched(
            genuine(OTHER, above=UNSIGNED["Cc"]).replace(
                b"From:",
                b"DKIM-Signature: v=1; a=rsa-sha256; d=acme.example; s=s9; t=%d; h=from:subject:date:cc; bh=AA; b=AA\r\nFrom:"
                % time.time(),
                1,
            )
        ),
        "SPF of another envelope": lambda: fetched(genuine(OTHER), spf="spf=pass smtp.mailfrom=evil.example; "),
        "SPF of a look-alike": lambda: fetched(genuine(OTHER), spf="spf=pass smtp.mailfrom=x@notacme.example; "),
        "two results of SPF": lambda: fetched(
            genuine(OTHER), spf="spf=pass smtp.mailfrom=acme.example; spf=fail smtp.mailfrom=evil.example; "
        ),
        "SPF in a comment": lambda: fetched(genuine(OTHER), spf="x=y (; spf=pass smtp.mailfrom=acme.example;); "),
        "of last week": lambda: fetched(genuine(MAILBOX, more={"t": str(int(time.time()) - 7 * DAY)}), above=top),
    }
    for name, build in shapes.items():
        yield f"{name}, bound", Attack(build=build, **box)  # type: ignore[arg-type]
    for name in ("as it is", "Cc of Ann added", "To changed, which Acme has not signed", "Delivered-To below the results"):
        yield f"{name}, not bound", Attack(build=shapes[name], rcpt=SHARED_BOX, ingress="imap")
    yield (
        "a server that puts its results at the end, stamps on top",
        Attack(build=lambda: f"Delivered-To: {MAILBOX}\r\n".encode() + _at_the_end(genuine(OTHER, headers=short)), **box),  # type: ignore[arg-type]
    )


def _at_the_end(content: bytes) -> bytes:
    head, separator, body = content.partition(b"\r\n\r\n")
    return head + b"\r\n" + RESULTS.format("").encode().removesuffix(b"\r\n") + separator + body


def dated(date: str, **more: object) -> bytes:
    """Signed by Acme without ``t=``, under that Date."""
    content = re.sub(rb"Date: [^\r]*", lambda _: b"Date: " + date.encode(), code())
    return by_acme(content, more={"t": None}, **more)


def stale() -> Iterator[tuple[str, Attack]]:
    """Genuine mails of another time, in signatures, seals and results that say it in other places, or nowhere."""
    for name, date in {
        "of last week": now(7 * DAY),
        "of a day and an hour ago": now(DAY + 3_600),
        "of tomorrow": now(-DAY),
        "without a zone": now().rpartition(" ")[0],
        "in another zone than there is": now().rpartition(" ")[0] + " XYZ",
        "with a zone of 99 hours": now().rpartition(" ")[0] + " +9900",
        "with a year of two digits": re.sub(r" 20(\d\d) ", r" \1 ", now()),
        "of an ISO kind": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "with a second date behind it": f"{now(7 * DAY)} {now()}",
        "as a number": str(int(time.time())),
        "of the 32nd": re.sub(r", \d\d ", ", 32 ", now()),
        "empty": "",
    }.items():
        yield f"no t=, a Date {name}", Attack(build=lambda date=date: dated(date))
    yield "no t=, a Date that is not signed", Attack(build=lambda: dated(now(), headers=("from", "to", "subject", "message-id")))
    yield (
        "no t=, no Date",
        Attack(build=lambda: by_acme(re.sub(rb"Date: [^\r]*\r\n", b"", code()), more={"t": None})),
    )
    yield (
        "no t=, Date added on top",
        Attack(
            build=lambda: (
                f"Date: {now()}\r\n".encode()
                + by_acme(re.sub(rb"Date: [^\r]*\r\n", b"", code()), headers=("from", "to", "subject"), more={"t": None})
            )
        ),
    )
    week = int(time.time()) - 7 * DAY
    for name, content in {
        "signed last week": lambda: by_acme(code(to=ANN), more={"t": str(week)}),
        "signed without a time": lambda: by_acme(code(to=ANN), more={"t": None}, headers=("from", "to", "subject")),
        "signed by a Date of last week": lambda: dated(now(7 * DAY)),
    }.items():
        yield f"sealed today, {name}", Attack(build=lambda content=content: sent_on(arrived(content(), at=ANN), account=ANN))
        yield (
            f"found genuine today, {name}",
            Attack(
                build=lambda content=content: f"Delivered-To: {MAILBOX}\r\n{RESULTS.format('')}".encode() + content(),
                rcpt=MAILBOX,
                ingress="imap",
            ),
        )
    yield "sealed last week", Attack(build=lambda: sent_on(arrived(_unsigned(), at=ANN, made=week), account=ANN, at=week))
    yield "sealed last week, and again today", Attack(build=lambda: sent_on(arrived(_unsigned(), at=ANN, made=week), account=ANN))
    yield "sealed tomorrow", Attack(build=lambda: sent_on(arrived(_unsigned(), at=ANN), account=ANN, at=int(time.time()) + DAY))
    yield (
        "sealed without a time, by no Date",
        Attack(
            build=lambda: sent_on(
                arrived(_unsigned(), at=ANN, is_timed=False),
                account=ANN,
                is_timed=False,
                headers=("from", "subject", "delivered-to"),
            )
        ),
    )
    yield (
        "sealed without a time, by a Date of last week",
        Attack(
            build=lambda: sent_on(
                arrived(re.sub(rb"Date: [^\r]*", f"Date: {now(7 * DAY)}".encode(), _unsigned()), at=ANN, is_timed=False),
                account=ANN,
                is_timed=False,
            )
        ),
    )


def _unsigned() -> bytes:
    """A mail that Google took from Acme's own servers, unsigned."""
    return code(to=ANN)


FORM = ("from", "to", "subject", "date", "message-id")
"""What many sign: nothing that says how the body is read."""

OUTER = """\
--out
Content-Type: multipart/alternative; boundary="in"

--in
Content-Type: text/plain; charset=utf-8

Your verification code is {shown}.

--in--
--out
Content-Type: multipart/mixed; boundary="old"

--old
Content-Type: text/plain; charset=utf-8
Content-Disposition: attachment; filename=old.txt

--deep

Your verification code is {other}.

--deep--
--old--
--out--
""".replace("\n", "\r\n")
"""A mail with a part that is not shown. Named as the boundary, ``deep`` shows it and hides the rest."""

BODIES: dict[str, tuple[str, str, str]] = {
    "an inner boundary": (OUTER, 'multipart/mixed; boundary="out"', 'Content-Type: multipart/mixed; boundary="deep"'),
    "an inner boundary, of a digest": (
        OUTER,
        'multipart/mixed; boundary="out"',
        'Content-Type: multipart/digest; boundary="deep"',
    ),
    "an inner boundary, twice in the header": (
        OUTER,
        'multipart/mixed; boundary="out"',
        'Content-Type: multipart/mixed; boundary="deep"; boundary="out"',
    ),
    "a boundary in a text": (
        "Hello Ann,\r\n\r\nYour verification code is {shown}.\r\n\r\nThe text of your note was:\r\n--x\r\n\r\nYour verification code is {other}.\r\n--x--\r\n\r\nAcme\r\n",
        "text/plain; charset=utf-8",
        "Content-Type: multipart/mixed; boundary=x",
    ),
    "a text called a page, the code in a comment": (
        "Hello Ann <!-- Ann -->\r\n\r\n<!--\r\nYour verification code is {shown}.\r\n-->\r\n\r\nYour verification code is {other}.\r\n",
        "text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
    ),
    "a page called a text": (
        '<html><body><p style="display:none">Your verification code is {other}.</p><p>Your verification code is {shown}.</p></body></html>\r\n',
        "text/html; charset=utf-8",
        "Content-Type: text/plain; charset=utf-8",
    ),
    "a text called quoted-printable": (
        "Your verification code is: =3{shown}\r\n",
        "text/plain; charset=utf-8",
        "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable",
    ),
    "quoted-printable called a text": (
        "Your verification code is: 7=\r\n{shown}, for the account of Ann at Acme, which was asked for just now and=\r\n is good for ten minutes=2E\r\n",
        "text/plain\r\nContent-Transfer-Encoding: quoted-printable",
        "Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit",
    ),
    "a text with its lines joined": (
        "Your verification code is: 7 \r\n{shown}\r\n",
        "text/plain; charset=utf-8",
        "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes",
    ),
    "a whole mail": (
        "Note: Your verification code is {shown}.\r\n\r\nYour verification code is {other}.\r\n",
        "text/plain; charset=utf-8",
        "Content-Type: message/rfc822",
    ),
    "a whole mail, as a file": (
        "Note: Your verification code is {shown}.\r\n\r\nYour verification code is {other}.\r\n",
        "text/plain; charset=utf-8",
        'Content-Type: application/octet-stream; name="a.eml"',
    ),
    "parts called one text": (
        "--a\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b64encode(b"Your verification code is 713928.\r\n").decode()
        + "\r\n--a\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nYour verification code is {other}.\r\n--a--\r\n",
        "multipart/mixed; boundary=a",
        "Content-Type: text/plain",
    ),
    "parts of which the shown is cut off": (
        "--a\r\nContent-Type: text/plain\r\n\r\nYour verification code is {shown}.\r\n--a\r\nContent-Type: text/plain\r\n\r\n--b\r\n\r\nYour verification code is {other}.\r\n--b--\r\n--a--\r\n",
        "multipart/mixed; boundary=a",
        "Content-Type: multipart/related; boundary=b",
    ),
    "Big5 called Western": (
        "Your verification code is: \udca4A{shown}\r\n",
        "text/plain; charset=big5",
        "Content-Type: text/plain; charset=windows-1252",
    ),
}
"""Body, what the author said of it, and what the attacker says; in the body the code that is shown and one that is not."""

SHOWN, HIDDEN = "713928", "264051"


def reading(name: str, form: str | None = None) -> bytes:
    """A genuine mail of that body, its type as the author has it or replaced. Nothing of ``form`` is signed."""
    body, own, forged = BODIES[name]
    text = body.replace("{shown}", SHOWN).replace("{other}", HIDDEN).encode("utf-8", "surrogateescape")
    head = code(to=ANN).partition(b"\r\n\r\n")[0].replace(b"text/plain; charset=utf-8", own.encode())
    signed = by_acme(head + b"\r\n\r\n" + text, headers=FORM)
    if form is None:
        return signed
    return re.sub(rb"(?m)^Content-Type: .*\r\n(?:Content-Transfer-Encoding: .*\r\n)?", b"", signed, count=1).replace(
        b"MIME-Version: 1.0", b"MIME-Version: 1.0\r\n" + (form or forged).encode(), 1
    )


def read_otherwise() -> Iterator[tuple[str, Attack]]:
    """Genuine mails to Ann of which somebody has changed how they are to be read."""
    for name, (_, _, forged) in BODIES.items():
        yield f"{name}, signed", Attack(build=partial(reading, name, forged))
        yield (
            f"{name}, sealed",
            Attack(build=lambda name=name, forged=forged: sent_on(arrived(reading(name, forged), at=ANN), account=ANN)),
        )
        yield (
            f"{name}, found genuine",
            Attack(
                build=lambda name=name, forged=forged: (RESULTS.format("") + "").encode() + reading(name, forged),
                rcpt=MAILBOX,
                ingress="imap",
            ),
        )
