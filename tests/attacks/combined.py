"""Attacks that combine what is harmless by itself: seals with stamps in every place, several recipients, old mails behind many signatures.

As in `tests.attacks.provenance` everybody's keys are real; ``m@evil.example`` and ``m@gmail.com`` are the attacker's.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from tests.attacks.forgeries import ANN, BOUND, CODES, SAYS, STRICT, TOKEN, by_acme, by_evil, code, link
from tests.attacks.gathering import gathered
from tests.attacks.provenance import (
    DAY,
    ELSEWHERE,
    GOOGLES,
    LISTED,
    MAILBOX,
    OTHER,
    PASS,
    RESULTS,
    SHARED_BOX,
    arrived,
    genuine,
    now,
    sent_on,
)
from tests.peers import signer
from tests.trust.mails import mail

Setting = Literal["usual", "starred", "exact"]
TO_CC = ("from", "to", "cc", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding")
OPEN = ("from", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding")
"""What a careful author signs, and one who says nothing of the recipients."""

JUNK = b"DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=a; h=from; bh=AA; b=AA\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One mail, how it comes, and to which configuration. ``is_link``: it holds a link in place of a code."""

    build: Callable[[], bytes]
    rcpt: str = CODES
    mail_from: str = "bounces@evil.example"
    peer: str = ELSEWHERE
    ingress: Literal["smtp", "imap"] = "smtp"
    setting: Setting = "usual"


def every() -> dict[str, Row]:
    """The whole set by name."""
    return gathered(
        (
            several,
            placed,
            covered,
            crowded,
            customers,
            fetched,
            timed,
            reworded,
            unsigned,
            authors,
            by_hand,
            tagged,
            linked,
            tenants,
        )
    )


TWO = {
    "a name without quotes": f"{ANN}, x <{OTHER}>",
    "the other way round": f"x <{OTHER}>, {ANN}",
    "both bare": f"{ANN}, {OTHER}",
    "both in angles": f"<{ANN}>, <{OTHER}>",
    "a group": f"Team: {ANN}, {OTHER};",
    "a group and one": f"Team: {ANN};, {OTHER}",
    "one and a group": f"{OTHER}, Team: {ANN};",
    "a quoted local part beside": f'{ANN}, x <"m"@evil.example>',
    "letters beyond ASCII beside": f"{ANN}, x <m@\u00e9vil.example>",
    "a blank in the address beside": f"{ANN}, m @evil.example",
    "a route beside": f"{ANN}, <@a.example:{OTHER}>",
    "a literal beside": f"{ANN}, m@[192.0.2.1]",
    "a tag": f"ann+x@corp.example, x <{OTHER}>",
    "three": f"{ANN}, bob@corp.example, x <{OTHER}>",
    "a domain that looks alike": f"{ANN}, m@corp.example.evil.example",
    "a neighbour at a suffix": f"{ANN}, m@corp-example.example",
    "itself twice": f"{ANN}, {ANN}, x <{OTHER}>",
}
"""To headers of two mailboxes, as a site writes them that does not quote the name its user chose."""


def several() -> Iterator[tuple[str, Row]]:
    """Genuine codes of the attacker's account, in mails that name Ann beside him, sent on by him."""
    stamp = f"X-Original-To: {ANN}\r\n".encode()
    for name, to in TWO.items():
        build = partial(genuine, to, headers=TO_CC)
        yield f"{name}, to a bound address", Row(build=build, rcpt=BOUND)
        yield f"{name}, to a bound address, known exactly", Row(build=build, rcpt=BOUND, setting="exact")
        yield f"{name}, stamped", Row(build=lambda build=build: stamp + build())
        yield f"{name}, stamped, known exactly", Row(build=lambda build=build: stamp + build(), setting="exact")
        yield f"{name}, sent on by his Google", Row(build=lambda build=build: sent_on(arrived(build())), rcpt=BOUND)
        yield (
            f"{name}, re-sent to a bound mailbox",
            Row(
                build=lambda build=build: f"Delivered-To: {MAILBOX}\r\n{RESULTS.format('')}".encode() + build(),
                rcpt=MAILBOX,
                ingress="imap",
            ),
        )
    for name, (to, cc) in {
        "him in Cc": (ANN, OTHER),
        "Ann in Cc": (OTHER, ANN),
        "both in Cc": ("undisclosed:;", f"{ANN}, {OTHER}"),
        "Cc that is malformed": (ANN, f"x <{OTHER}> y"),
    }.items():
        cced = partial(_with_cc, to, cc)
        yield f"{name}, bound", Row(build=cced, rcpt=BOUND)
        yield f"{name}, stamped", Row(build=lambda cced=cced: stamp + cced())
        yield f"{name}, known exactly", Row(build=lambda cced=cced: stamp + cced(), setting="exact")
    yield (
        "an account of the list beside him",
        Row(build=partial(genuine, f"ann@gmail.com, x <{OTHER}>"), rcpt=BOUND),
    )
    yield "two of one provider", Row(build=partial(genuine, "ann@gmail.com, m@gmail.com"), rcpt=BOUND)
    for name, to in {
        "a quoted local part alone": '"m"@evil.example',
        "a quoted local part that shows Ann, alone": f'"{ANN}"@evil.example',
        "letters beyond ASCII alone": "m@\u00e9vil.example",
        "what is malformed": f"{ANN} x <{OTHER}> y",
        "an encoded word alone": "=?utf-8?q?m=40evil.example?=",
    }.items():
        for box in (MAILBOX, SHARED_BOX):
            yield (
                f"{name}, re-sent to {box}",
                Row(
                    build=lambda to=to, box=box: f"Delivered-To: {box}\r\n{RESULTS.format('')}".encode() + genuine(to),
                    rcpt=box,
                    ingress="imap",
                ),
            )
    yield (
        "the mailbox's own address beside him",
        Row(build=lambda: RESULTS.format("").encode() + genuine(f"{MAILBOX}, x <{OTHER}>"), rcpt=MAILBOX, ingress="imap"),
    )


def _with_cc(to: str, cc: str) -> bytes:
    return by_acme(code(to=to, below=f"Cc: {cc}"), headers=TO_CC)


LINES = {
    "Cc": f"Cc: {ANN}",
    "Bcc": f"Bcc: {ANN}",
    "Resent-To": f"Resent-To: {ANN}\r\nResent-From: {ANN}",
    "X-Forwarded-For": f"X-Forwarded-For: {ANN} {CODES}",
    "X-Forwarded-To": f"X-Forwarded-To: {ANN}",
    "X-Original-To": f"X-Original-To: {ANN}",
    "Delivered-To": f"Delivered-To: {ANN}",
    "Delivered-To in another case": f"dELIVERED-tO: <{ANN}>",
    "X-Delivered-To": f"X-Delivered-To: {ANN}",
    "ForwardingLoop": f"X-MS-Exchange-ForwardingLoop: {ANN};0b1f",
    "X-Yahoo-Forwarded": f"X-Yahoo-Forwarded: from {ANN} to {CODES}",
    "Received": f"Received: from a by mx.google.com with ESMTPS id 1 for <{ANN}>; Wed, 25 Nov 2026 09:57:25 +0000",
}
PLACES = ("above all", "between", "below")


def placed() -> Iterator[tuple[str, Row]]:
    """Each line that names Ann, in each place of a genuine mail to the attacker, through each forwarder."""
    for name, line in LINES.items():
        for place in PLACES:
            for headers, says in ((TO_CC, "To signed"), (OPEN, "To open")):
                build = partial(_google, f"{line}\r\n".encode(), place, headers)
                yield f"google, {name}, {place}, {says}", Row(build=build)
                yield f"google, {name}, {place}, {says}, bound", Row(build=build, rcpt=BOUND)
        for domain in ("microsoft.com", "zohomail.com", "cloudflare-email.net"):
            for place in PLACES:
                yield f"{domain}, {name}, {place}", Row(build=partial(_other, domain, f"{line}\r\n".encode(), place), rcpt=BOUND)


def _google(line: bytes, place: str, headers: tuple[str, ...]) -> bytes:
    """Through the attacker's own mailbox at Google, which forwards to us."""
    if place == "below":
        return sent_on(arrived(line + genuine(headers=headers)))
    if place == "between":
        inner = arrived(genuine(headers=headers))
        whole = sent_on(inner, headers=("from", "to", "subject", "date", "message-id", "dkim-signature"))
        at = whole.index(b"ARC-Seal: i=1;") if b"ARC-Seal: i=1;" in whole else whole.index(inner)
        return whole[:at] + line + whole[at:]
    return line + sent_on(arrived(genuine(headers=headers)))


def _other(domain: str, line: bytes, place: str) -> bytes:
    """Through a forwarder that seals once, and whose stamps are not known."""
    content = genuine(headers=OPEN)
    usual = {"results": PASS, "private": signer.key("google"), "headers": LISTED}
    if place == "below":
        return signer.arc(line + content, domain, instance=1, **usual)  # type: ignore[arg-type]
    if place == "between":
        inner = signer.arc(content, domain, instance=1, **usual)  # type: ignore[arg-type]
        return signer.arc(line + inner, domain, instance=2, darn="bridge.example", **usual)  # type: ignore[arg-type]
    return line + signer.arc(content, domain, instance=1, **usual)  # type: ignore[arg-type]


def extended(size: int = 0) -> bytes:
    """Acme signs only a part of its body, and somebody has written the code behind it."""
    return by_acme(mail("Welcome to Acme.", to=ANN), headers=TO_CC, more={"l": str(size)}) + f"{SAYS}\r\n".encode()


def renamed() -> bytes:
    """Acme does not sign Subject, and somebody has written the code into it."""
    plain = by_acme(mail("Thank you.", to=ANN), headers=("from", "to", "date", "message-id", "content-type", "mime-version"))
    return plain.replace(b"Subject: Your sign-in code", b"Subject: Your verification code is 713928")


def covered() -> Iterator[tuple[str, Row]]:
    """What Acme's signature leaves to anybody, in mails that Google or a mailbox's server found genuine for that signature."""
    top = f"Delivered-To: {MAILBOX}\r\n"
    for name, build in {"l=0": extended, "l=8": partial(extended, 8), "Subject": renamed, "child's l=": _child}.items():
        yield (
            f"{name}, sealed by Google for Ann",
            Row(build=lambda build=build: sent_on(arrived(build(), at=ANN, results=BY_DKIM), account=ANN, results=BY_DKIM)),
        )
        yield (
            f"{name}, fetched",
            Row(build=lambda build=build: (top + RESULTS.format("")).encode() + build(), rcpt=MAILBOX, ingress="imap"),
        )
        yield (
            f"{name}, fetched, by DKIM",
            Row(
                build=lambda build=build: (top + FOUND).encode() + build(),
                rcpt=MAILBOX,
                ingress="imap",
            ),
        )
        yield (
            f"{name}, fetched, after another envelope",
            Row(
                build=lambda build=build: (RESULTS.format("spf=pass smtp.mailfrom=evil.example; ")).encode() + build(),
                rcpt=SHARED_BOX,
                ingress="imap",
            ),
        )


BY_DKIM = (
    "mx.google.com; dkim=pass header.i=@acme.example; spf=pass smtp.mailfrom=evil.example; dmarc=pass header.from=acme.example"
)
FOUND = "Authentication-Results: mx.mailbox.example; dkim=pass header.d=acme.example\r\n"


def _child() -> bytes:
    content = signer.dkim(mail("Welcome to Acme.", to=ANN), "mail.acme.example", headers=TO_CC, more={"l": "0"})
    return content + f"{SAYS}\r\n".encode()


def crowded() -> Iterator[tuple[str, Row]]:
    """Signatures without number above the one that counts, so that it is not looked at."""
    week = str(int(time.time()) - 7 * DAY)
    for count in (39, 40, 41, 60, 300):
        old = partial(_behind, count, genuine, ANN, headers=TO_CC, more={"t": week})
        yield f"{count} above an old one, sealed", Row(build=lambda old=old: sent_on(arrived(old(), at=ANN), account=ANN))
        yield (
            f"{count} above an old one, fetched",
            Row(build=lambda old=old: RESULTS.format("").encode() + old(), rcpt=MAILBOX, ingress="imap"),
        )
        other = partial(_behind, count, genuine, OTHER, headers=TO_CC)
        yield (
            f"{count} above, Cc added, fetched",
            Row(
                build=lambda other=other: RESULTS.format("").encode() + f"Cc: {ANN}\r\n".encode() + other(),
                rcpt=MAILBOX,
                ingress="imap",
            ),
        )
        yield (
            f"{count} above one with l=, sealed",
            Row(
                build=lambda count=count: sent_on(
                    arrived(_behind(count, extended), at=ANN, results=BY_DKIM), account=ANN, results=BY_DKIM
                )
            ),
        )


def _behind(count: int, build: Callable[..., bytes], *args: object, **more: object) -> bytes:
    return JUNK * count + build(*args, **more)


def customers() -> Iterator[tuple[str, Row]]:
    """Google's own servers at the command of another customer of Google's, with the envelope of a listed account."""
    own = "ann+caf_=codes=bridge.example@corp.example"
    trace = "Received: from relay.evil.example (relay.evil.example [203.0.113.9])\r\n by {} with ESMTPS id a1{}; Wed, 25 Nov 2026 09:57:25 +0000\r\n"
    for name, top in {
        "for his mailbox": trace.format("mx.google.com", " for <x@evil.example>"),
        "for his mailbox, Ann's below": trace.format("mx.google.com", " for <x@evil.example>")
        + f"Delivered-To: {ANN}\r\n"
        + trace.format("mx.google.com", f" for <{ANN}>"),
        "for nobody": trace.format("mx.google.com", ""),
        "for us": trace.format("mx.google.com", f" for <{CODES}>"),
        "by smtp-relay": trace.format("smtp-relay.gmail.com", f" for <{CODES}>"),
        "with an X-Gm-Original-To": f"X-Gm-Original-To: {ANN}\r\n" + trace.format("mx.google.com", " for <x@evil.example>"),
        "with Ann in a comment": trace.format("mx.google.com", f" (for <{ANN}>) for <x@evil.example>"),
        "with Ann in the id": trace.format("mx.google.com", " for <x@evil.example>").replace("id a1", f"id <{ANN}>"),
        "with a helo of Google's": trace.format("mx.google.com", " for <x@evil.example>").replace(
            "relay.evil.example (", f"by.mx.google.com.for<{ANN}> ("
        ),
    }.items():
        for kind, content in (("code", code), ("link", link)):
            yield (
                f"{name}, {kind}",
                Row(
                    build=lambda top=top, content=content: top.encode() + content(to=ANN),
                    mail_from=own,
                    peer=GOOGLES,
                    setting="starred",
                ),
            )
    for name, envelope in {
        "an account of another domain": own.replace("corp", "evil"),
        "a longer domain": own.replace("corp.example", "corp.example.evil.example"),
        "two at signs": own.replace("ann+", "m@evil.example+"),
        "another destination": own.replace("codes=", "other="),
        "a destination that goes on": own.replace("bridge.example@", "bridge.example.evil@"),
        "SRS around it": f"SRS0=x=y=corp.example={own.partition('@')[0]}@evil.example",
        "bob's": own.replace("ann", "bob"),
    }.items():
        yield name, Row(build=partial(code, to=ANN), mail_from=envelope, peer=GOOGLES, setting="starred")
    for name, peer in {
        "not Google's": ELSEWHERE,
        "none": "",
        "a mapped one": f"::ffff:{ELSEWHERE}",
        "a zone": "fe80::1%eth0",
    }.items():
        yield f"a peer that is {name}", Row(build=partial(code, to=ANN), mail_from=own, peer=peer, setting="starred")


HEAD = "Authentication-Results: "
CLAIMS = {
    "another server first": f"{HEAD}mx.other.example; dmarc=fail\r\n{HEAD}mx.mailbox.example; dmarc=pass header.from=acme.example",
    "its name as a comment": f"{HEAD}(mx.mailbox.example) mx.evil.example; dmarc=pass header.from=acme.example",
    "its name with more": f"{HEAD}mx.mailbox.example.evil.example; dmarc=pass header.from=acme.example",
    "its name in quotes": f'{HEAD}"mx.mailbox.example"; dmarc=pass header.from=acme.example',
    "its name and a comma": f"{HEAD}mx.mailbox.example,x; dmarc=pass header.from=acme.example",
    "its name with a dot": f"{HEAD}mx.mailbox.example.; dmarc=pass header.from=acme.example",
    "its name as a version": f"{HEAD}mx.evil.example mx.mailbox.example; dmarc=pass header.from=acme.example",
    "a result within a reason": f'{HEAD}mx.mailbox.example; spf=fail reason="; dmarc=pass header.from=acme.example"',
    "a result within a comment": f"{HEAD}mx.mailbox.example; spf=fail (; dmarc=pass header.from=acme.example;)",
    "a comment that does not end": f"{HEAD}mx.mailbox.example; spf=fail (x; dmarc=pass header.from=acme.example",
    "a property behind another result": f"{HEAD}mx.mailbox.example; auth=pass smtp.auth=x dmarc=pass header.from=acme.example",
    "another method's name": f"{HEAD}mx.mailbox.example; x-dmarc=pass header.from=acme.example",
    "two From": f"{HEAD}mx.mailbox.example; dmarc=pass header.from=acme.example header.from=evil.example",
    "another domain signed for it": f"{HEAD}mx.mailbox.example; dkim=pass header.d=evil.example header.i=@acme.example",
    "the same, the other way round": f"{HEAD}mx.mailbox.example; dkim=pass header.i=@acme.example header.d=evil.example",
    "a signature that failed, and one of his": f"{HEAD}mx.mailbox.example; dkim=fail header.d=acme.example; dkim=pass header.d=evil.example",
    "a selector that says so": f"{HEAD}mx.mailbox.example; dkim=pass header.s=header.d=acme.example header.d=evil.example",
    "a policy": f"{HEAD}mx.mailbox.example; dmarc=fail policy.x=dmarc=pass header.from=acme.example",
    "none at all": "X-Authentication-Results: mx.mailbox.example; dmarc=pass header.from=acme.example",
    "ARC's": "ARC-Authentication-Results: i=1; mx.mailbox.example; dmarc=pass header.from=acme.example",
    "no results": f"{HEAD}mx.mailbox.example; none",
}


def fetched() -> Iterator[tuple[str, Row]]:
    """Results in a fetched mail that are another's, or that say something else than they seem to, over an unsigned mail to the mailbox."""
    for name, line in CLAIMS.items():
        for box in (MAILBOX, SHARED_BOX):
            yield (
                f"{name}, {box}",
                Row(
                    build=lambda line=line: (
                        f"Delivered-To: {MAILBOX}\r\nDelivered-To: {ANN}\r\n{line}\r\n".encode() + code(to=ANN)
                    ),
                    rcpt=box,
                    ingress="imap",
                ),
            )
    yield (
        "good results, not fetched",
        Row(build=lambda: RESULTS.format("").encode() + code(to=ANN), rcpt=BOUND),
    )
    direct = "spf=pass smtp.mailfrom={}; "
    for name, envelope in {
        "a longer envelope": "acme.example.evil.example",
        "two envelopes": "acme.example smtp.mailfrom=evil.example",
        "a quoted envelope": '"acme.example"@evil.example',
        "a neighbour": "notacme.example",
        "a sibling suffix": "example",
    }.items():
        yield (
            f"a re-sent mail, {name}",
            Row(
                build=lambda envelope=envelope: (
                    RESULTS.format(direct.format(envelope)).encode() + f"Cc: {ANN}\r\n".encode() + genuine(OTHER, headers=OPEN)
                ),
                rcpt=MAILBOX,
                ingress="imap",
            ),
        )


def timed() -> Iterator[tuple[str, Row]]:
    """Genuine mails to Ann of another time, by what their signatures say of it."""
    at = int(time.time())
    for name, more in {
        "t= in half an hour": {"t": str(at + 1_800)},
        "t= in an hour": {"t": str(at + 3_600)},
        "t= in a thousand years": {"t": "99999999999"},
        "t= of 13 digits": {"t": str(at * 1_000)},
        "t= in hex": {"t": hex(at)},
        "t= with a sign": {"t": f"+{at}"},
        "t= in other digits": {"t": str(at).translate({48 + n: 0x660 + n for n in range(10)})},
        "x= before t=": {"x": str(at - 60)},
        "x= of now, past": {"x": str(at - 1)},
        "x= that is none": {"x": "never"},
        "t= of two days ago": {"t": str(at - 2 * DAY)},
        "t= of zero": {"t": "0"},
        "t= negative": {"t": "-1"},
    }.items():
        yield name, Row(build=partial(genuine, ANN, headers=TO_CC, more=more))
        yield (
            f"{name}, sealed today",
            Row(build=lambda more=more: sent_on(arrived(genuine(ANN, headers=TO_CC, more=more), at=ANN), account=ANN)),
        )
        yield (
            f"{name}, found genuine today",
            Row(
                build=lambda more=more: RESULTS.format("").encode() + genuine(ANN, headers=TO_CC, more=more),
                rcpt=MAILBOX,
                ingress="imap",
            ),
        )
    for name, date in {
        "a zone of 24 hours": time.strftime("%d %b %Y %H:%M:%S +2400", time.gmtime()),
        "a zone that moves it": time.strftime("%d %b %Y %H:%M:%S -1200", time.gmtime(at - DAY - 13 * 3_600)),
        "a military zone": time.strftime("%d %b %Y %H:%M:%S Z", time.gmtime()),
        "-0000 of last week": time.strftime("%d %b %Y %H:%M:%S -0000", time.gmtime(at - 7 * DAY)),
        "a comment for a zone": time.strftime("%d %b %Y %H:%M:%S (+0000)", time.gmtime()),
        "minutes of 99": time.strftime("%d %b %Y %H:%M:%S +0099", time.gmtime()),
    }.items():
        yield f"no t=, a Date with {name}", Row(build=partial(_dated, date))


def _dated(date: str) -> bytes:
    content = re.sub(rb"Date: [^\r]*", lambda _: b"Date: " + date.encode(), code(to=ANN))
    return by_acme(content, headers=TO_CC, more={"t": None})


FORM = ("from", "to", "subject", "date", "message-id")
OUT = 'multipart/mixed; boundary="out"'
NESTED = (
    "--out\r\nContent-Type: text/plain\r\n\r\nyour verification code is 713928.\r\n--out\r\nContent-Type: text/plain\r\n"
    "Content-Disposition: attachment\r\n\r\n--deep\r\n\r\nyour verification code is 264051.\r\n--deep--\r\n--out--\r\n"
)


def reworded() -> Iterator[tuple[str, Row]]:
    """Genuine mails to Ann, signed without their form, which another line then changes; or one that stands twice in other letters."""
    for name, lines in {
        "Content-Type twice": b"CONTENT-TYPE: text/html\r\n",
        "Content-Type twice, folded": b"Content-Type:\r\n text/html\r\n",
        "encoding twice": b"content-transfer-encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n",
        "Subject twice": b"SUBJECT: Your verification code is 264051\r\n",
        "Subject twice, folded": b"Subject:\r\n Your verification code is 264051\r\n",
        "Subject with a blank": b"Subject : Your verification code is 264051\r\n",
        "From twice": b"from: x@evil.example\r\n",
        "To twice": f"tO: {ANN}\r\n".encode(),
        "Date twice": b"date: Wed, 25 Nov 2026 09:57:25 +0000\r\n",
        "BOM and From": b"\xef\xbb\xbfFrom: x@evil.example\r\n",
        "BOM and To": f"\ufeffTo: {ANN}\r\n".encode(),
        "BOM and Subject": "\ufeffSubject: Your verification code is 264051\r\n".encode(),
        "an empty line and Subject": b"\r\nSubject: Your verification code is 264051\r\n",
        "an empty line and a BOM and From": b"\r\n\xef\xbb\xbfFrom: x@evil.example\r\n",
        "To with a blank": f"To : {ANN}\r\n".encode(),
        "a literal fold": b"X: a\r\n\\tSubject: Your verification code is 264051\r\n",
        "a line without its colon": b"Subject Your verification code is 264051\r\n",
        "a line that is none": b"x\r\n",
        "a fold at the top": b" x\r\n",
        "a NUL": b"X: \0\r\n",
        "a bare CR": b"X: a\rSubject: Your verification code is 264051\r\n",
        "a bare LF": b"X: a\nSubject: Your verification code is 264051\r\n",
    }.items():
        yield name, Row(build=lambda lines=lines: lines + genuine(ANN, headers=FORM))
        if name == "a fold at the top":
            continue  # behind other lines it is a part of them
        yield (
            f"{name}, sealed",
            Row(build=lambda lines=lines: sent_on(arrived(lines + genuine(ANN, headers=FORM), at=ANN), account=ANN)),
        )
    for name, form in {
        "the inner boundary": 'multipart/mixed; boundary="deep"',
        "the inner boundary, escaped": 'multipart/mixed; boundary="d\\eep"',
        "the inner boundary, by RFC 2231": "multipart/mixed; boundary*=utf-8''deep",
        "the inner boundary, in pieces": 'multipart/mixed; boundary*0="de"; boundary*1="ep"',
        "related": 'multipart/related; boundary="deep"',
        "a digest": 'multipart/digest; boundary="deep"',
        "a report": 'multipart/report; boundary="deep"',
        "an unknown kind": 'multipart/x; boundary="deep"',
        "none": "text/plain",
    }.items():
        yield f"nested: {name}", Row(build=partial(formed, NESTED, OUT, form))


def formed(body: str, own: str, forged: str) -> bytes:
    """A body of Acme's, signed without its form, which is then another one."""
    head = code(to=ANN).partition(b"\r\n\r\n")[0].replace(b"text/plain; charset=utf-8", own.encode())
    signed = by_acme(head + b"\r\n\r\n" + body.encode(), headers=FORM)
    return signed.replace(f"Content-Type: {own}".encode(), f"Content-Type: {forged}".encode(), 1)


def unsigned() -> Iterator[tuple[str, Row]]:
    """Genuine codes of the attacker's, whose To Acme does not sign and he has changed, by ways that are nearly straight from Acme."""

    def changed(to: str = ANN) -> bytes:
        return by_acme(code(to="m@evil.example"), headers=("from", "subject", "date")).replace(b"m@evil.example", to.encode())

    acmes = "198.51.100.77"
    for name, way in {
        "from elsewhere, with Acme's envelope": {"mail_from": "bounces@mail.acme.example"},
        "from Acme's host, with another envelope": {"peer": acmes},
        "from Acme's host, with the null sender": {"peer": acmes, "mail_from": ""},
        "from Acme's host, with an envelope that goes on": {"peer": acmes, "mail_from": "a@mail.acme.example.evil.example"},
        "from nowhere": {"peer": "", "mail_from": "bounces@mail.acme.example"},
        "from Acme's host, with an envelope without a policy": {"peer": acmes, "mail_from": "a@acme.example"},
    }.items():
        for rcpt in (CODES, BOUND):
            yield f"{name}, to {rcpt}", Row(build=changed, rcpt=rcpt, **way)  # type: ignore[arg-type]
    top = "Received: from a by mx.mailbox.example; Wed, 25 Nov 2026 09:57:25 +0000\r\n"
    for name, lines in {
        "a stamp below the trace": f"{top}Delivered-To: {MAILBOX}\r\n",
        "no stamp": top,
        "no trace": f"Delivered-To: {MAILBOX}\r\n",
        "a stamp of another": f"Delivered-To: hub@mailbox.example\r\n{top}",
        "stamps of two": f"Delivered-To: {MAILBOX}\r\nX-Original-To: m@evil.example\r\n{top}",
    }.items():
        yield (
            f"fetched, {name}",
            Row(build=lambda lines=lines: lines.encode() + changed(MAILBOX), rcpt=MAILBOX, ingress="imap"),
        )
    yield (
        "fetched, stamped, and To of another",
        Row(build=lambda: f"Delivered-To: {MAILBOX}\r\n{top}".encode() + changed("m@evil.example"), rcpt=MAILBOX, ingress="imap"),
    )
    for name, line in {
        "a blank before the colon of results": RESULTS.format("").replace(":", " :", 1),
        "a mark before results": f"X: y\r\n\ufeff{RESULTS.format('')}",
    }.items():
        yield (
            f"fetched, {name} that nobody took for some",
            Row(
                build=lambda line=line: f"Delivered-To: {MAILBOX}\r\n{line}".encode() + code(to=MAILBOX),
                rcpt=MAILBOX,
                ingress="imap",
            ),
        )
    routed = sent_on(arrived(changed()), stamp="")
    for name, content in {
        "Google's routing of the attacker's": routed,
        "the same, the trace for Ann in a comment": routed.replace(b" for <", f" (for <{ANN}>) for <".encode()),
        "the same, the trace by a relay": routed.replace(b"by mx.google.com", b"by smtp-relay.gmail.com"),
        "the same, another trace above": routed.replace(b"Received: by 2002", f"Received: from x by mx.google.com for <{ANN}>; \r\nReceived: by 2002".encode()),
        "the same, a trace below": routed.replace(b"Received: from relay", f"X: y\r\nReceived: from x by mx.google.com for <{ANN}>; \r\nReceived: from relay".encode()),
    }.items():  # fmt: skip
        yield name, Row(build=lambda content=content: content)


def authors() -> Iterator[tuple[str, Row]]:
    """From and Sender that show Acme, signed by evil.example or its likes, or by a suffix above Acme, or a neighbour below one."""
    for name, sender in {
        "two addresses": "no-reply@acme.example, m@evil.example",
        "two addresses, the other way": "m@evil.example, no-reply@acme.example",
        "a name": '"no-reply@acme.example" <m@evil.example>',
        "a name without quotes": "no-reply@acme.example <m@evil.example>",
        "a name with an angle": "Acme <no-reply@acme.example> <m@evil.example>",
        "a comment": "m@evil.example (no-reply@acme.example)",
        "a group": "Acme: no-reply@acme.example;",
        "a group of nobody": "Acme:;, m@evil.example",
        "a route": "<@acme.example:m@evil.example>",
        "an encoded word": "=?utf-8?q?Acme_=3Cno-reply=40acme=2Eexample=3E?= <m@evil.example>",
        "full-width": "Acme <no-reply@\uff41cme.example>",
        "a quoted local part": '"no-reply@acme.example"@evil.example',
    }.items():
        yield f"From: {name}", Row(build=lambda sender=sender: by_evil(code(sender=sender, to="s@corp.example")), rcpt=STRICT)
        yield (
            f"From: {name}, and Sender of Acme",
            Row(
                build=lambda sender=sender: by_evil(
                    code(
                        sender=sender, to="s@corp.example", below="Sender: no-reply@acme.example\nReply-To: no-reply@acme.example"
                    )
                ),
                rcpt=STRICT,
            ),
        )
    for author, domains in {
        "acme.example": ("example",),
        "acme.co.uk": ("co.uk", "uk", "evil.co.uk"),
        "acme.github.io": ("github.io", "evil.github.io"),
        "acme.sharepoint.com": ("evil.sharepoint.com",),
        "acme.okta.com": ("evil.okta.com",),
        "okta.com": ("evil.okta.com",),
        "acme.zendesk.com": ("mail.evil.zendesk.com",),
        "acme.onmicrosoft.com": ("evil.onmicrosoft.com", "onmicrosoft.com"),
    }.items():
        for domain in domains:
            yield (
                f"From {author}, signed by {domain}",
                Row(
                    build=lambda author=author, domain=domain: signer.dkim(
                        code(to=ANN, sender=f"no-reply@{author}"), domain, private=signer.key()
                    )
                ),
            )
    yield (
        "Sender of Acme's, From evil's",
        Row(build=lambda: by_evil(code(sender="m@evil.example", to=ANN, below="Sender: no-reply@acme.example")), rcpt=STRICT),
    )


BLOCK = "---------- Forwarded message ---------\nFrom: Acme <no-reply@acme.example>\nDate: {date}\nSubject: {subject}\nTo: {to}\n\n{text}\n"


def by_hand() -> Iterator[tuple[str, Row]]:
    """Mails of the attacker's that look as if Ann, or somebody, had forwarded Acme's by hand; and attached ones."""
    usual = {"date": time.strftime("%a, %b %d, %Y at %I:%M %p"), "subject": "Your sign-in code", "to": ANN, "text": SAYS}
    for rcpt in (CODES, BOUND):
        yield (
            f"a block, to {rcpt}",
            Row(
                build=lambda: by_evil(mail(BLOCK.format(**usual), sender="m@evil.example", to=CODES, subject="Fwd: Your code")),
                rcpt=rcpt,
            ),
        )
        yield f"an attached mail, to {rcpt}", Row(build=partial(_attached, by_evil), rcpt=rcpt)
        yield (
            f"an attached mail of Acme's own, to {rcpt}",
            Row(build=partial(_attached, by_evil, inner=lambda: by_acme(_fresh())), rcpt=rcpt),
        )
    yield (
        "a block of Ann's, signed by evil",
        Row(build=lambda: by_evil(mail(BLOCK.format(**usual), sender=ANN, to=CODES, subject="Fwd: Your code"))),
    )
    yield (
        "a link in a block",
        Row(
            build=lambda: by_evil(
                mail(
                    BLOCK.format(
                        **{**usual, "text": "Sign in: https://acme.example/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ"}
                    ),
                    sender="m@evil.example",
                    to=TOKEN,
                    subject="Fwd: Sign in to Acme",
                )
            ),
            rcpt=TOKEN,
        ),
    )


def _fresh() -> bytes:
    """Acme's mail to Ann as of now, unsigned."""
    return re.sub(rb"Date: [^\r]*", f"Date: {now()}".encode(), code(to=ANN))


def _attached(sign: Callable[[bytes], bytes], inner: Callable[[], bytes] | None = None) -> bytes:
    head = mail("", sender="m@evil.example", to=CODES, subject="Fwd: Your sign-in code").partition(b"\r\n\r\n")[0]
    return sign(head.replace(b"text/plain; charset=utf-8", b"message/rfc822") + b"\r\n\r\n" + (inner or _fresh)())


def tagged() -> Iterator[tuple[str, Row]]:
    """Addresses in other spellings than they are listed: what holds for the listed one holds for them."""
    local, _, domain = STRICT.partition("@")
    for rcpt in (f"{local}+wr_1@{domain}", f"{local}+@{domain}", f"{local}+a+b@{domain}", f"{local.upper()}@{domain.upper()}"):
        yield f"a stranger's to {rcpt}", Row(build=lambda: by_evil(code(sender="m@evil.example", to="s@corp.example")), rcpt=rcpt)
    local, _, domain = BOUND.partition("@")
    for rcpt in (f"{local}+wr_1@{domain}", f"{local}+tsk_1@{domain}", f"{local.upper()}+W_9@{domain}"):
        yield f"somebody else's to {rcpt}", Row(build=partial(genuine, OTHER), rcpt=rcpt)
        yield f"unsigned to {rcpt}", Row(build=partial(code, to=ANN), rcpt=rcpt)
    for rcpt in (f"codes+{ANN.replace('@', '=')}@bridge.example", "codes+otp-7m3k9q2wxy8vhtnc@bridge.example"):
        yield f"unsigned to {rcpt}", Row(build=partial(code, to=ANN), rcpt=rcpt)


PATH = "/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ"
CARRYING = {
    "two slashes": "x=//evil.example",
    "a slash and a backslash": "x=/\\evil.example",
    "no slashes": "x=https:evil.example",
    "one slash": "x=https:/evil.example",
    "four slashes": "x=https:////evil.example",
    "escaped": "x=https%3A%2F%2Fevil.example",
    "escaped three times": "x=https%25253A%25252F%25252Fevil.example",
    "escaped five times": "x=https%252525253A%252525252F%252525252Fevil.example",
    "all of it escaped": "x=%68%74%74%70%73%3a%2f%2fevil.example",
    "a line end within": "x=ht%0Atps://evil.example",
    "a tab behind the scheme": "x=https:%09//evil.example",
    "a NUL before": "x=%00//evil.example",
    "a blank that does not break before": "x=%C2%A0//evil.example",
    "an unseen blank before": "x=%E2%80%8B//evil.example",
    "an ideographic blank before": "x=%E3%80%80https:evil.example",
    "an ideographic dot": "next=evil%E3%80%82example",
    "full-width letters": "next=%EF%BD%85vil.example",
    "a user": "x=https://acme.example@evil.example",
    "a user and a backslash": "x=https://acme.example%5c@evil.example",
    "a password in place of a host": "next=:x@evil.example",
    "a host behind an at sign": "next=@evil.example",
    "a host behind a dot": "next=.evil.example",
    "an IP address": "next=192.0.2.1",
    "an IP address as a number": "next=https://3221225985/",
    "a longer host": "next=https://acme.example.evil.example",
    "base64": "x=aHR0cHM6Ly9ldmlsLmV4YW1wbGUv",
    "base64 of two slashes": "x=Ly9ldmlsLmV4YW1wbGUvYQ",
    "base64 of JSON": "x=eyJ1IjoiaHR0cHM6Ly9ldmlsLmV4YW1wbGUvIn0",
    "hexadecimal digits": "x=68747470733a2f2f6576696c2e6578616d706c65",
    "JSON": "x={%22u%22:%22//evil.example%22}",
    "a script": "x=javascript:alert(1)",
    "a script behind a control": "x=%01java%0Ascript:alert(1)",
    "a page": "x=data:text/html,hello",
    "SAML's parameter": "RelayState=evil.example",
    "a parameter of one letter": "r=evil.example",
    "where to go on": "continueTo=evil.example",
    "a scheme before the scheme": "x=view-source:https://evil.example",
    "behind a semicolon": "y=1;url=//evil.example",
}


def linked() -> Iterator[tuple[str, Row]]:
    """Acme's own links that carry the attacker's host, in mails that Acme has signed for Ann."""
    for name, value in CARRYING.items():
        for kind, mark in (("query", "&"), ("fragment", "#")):
            url = f"https://acme.example{PATH}{mark}{value}"
            yield f"{name}, in the {kind}", Row(build=partial(linked_mail, url))
    for url in (
        f"https://acme.example/out/evil.example{PATH}",
        f"https://acme.example/out/https/evil.example{PATH}",
        f"https://acme.example/r/aHR0cHM6Ly9ldmlsLmV4YW1wbGUv{PATH}",
        "https://acme.example/url?q=evil.example&token=hZ4tqPw81LxV0rBn7sYd2KcQ",
        f"https://acme.example//evil.example{PATH}",
        f"https://acme.example/%2f%2fevil.example{PATH}",
        f"https://acme.example/..;/x{PATH}",
        f"https://acme.example/%5c..%5cx{PATH}",
        f"https://acme.example/%252e%252e/x{PATH}",
        f"https://stra\u00dfe.acme.example{PATH}",
        f"https://\u03c2.acme.example{PATH}",
        f"https://ac\u00adme.example{PATH}",
        f"https://acme\u200d.example{PATH}",
        f"https://\uff41cme.example{PATH}",
        f"https://acme\uff0eexample{PATH}",
        f"https://acme%2eexample{PATH}",
        f"https://%61cme.example{PATH}",
        f"https://acme.example:0443{PATH}",
        f"https://@acme.example{PATH}",
        f"https://:@acme.example{PATH}",
    ):
        yield ascii(url), Row(build=partial(linked_mail, url))


def tenants() -> Iterator[tuple[str, Row]]:
    """A platform's customer has it write to Ann; the link leads to another customer's pages."""
    for platform in ("zendesk.com", "okta.com", "auth0.com", "atlassian.net", "my.salesforce.com", "github.io", "sharepoint.com"):
        url = f"https://evil.{platform}{PATH}"
        yield platform, Row(build=partial(linked_mail, url, f"acme.{platform}"))


def linked_mail(url: str, domain: str = "acme.example") -> bytes:
    """A mail of that domain's with a link."""
    content = mail(
        f"Sign in to Acme with this link:\n\n{url}\n\nIt works once.",
        sender=f"Acme <no-reply@{domain}>",
        subject="Sign in to Acme",
    )
    return signer.dkim(content, domain, headers=TO_CC)
