"""Which lines of a mail's header only the forwarder's own server can have written: those above everything that it received.

A server puts its lines on top of the mail that it takes in, and nobody reorders them afterwards. So the lines above the Received
line of the arrival at the forwarder (``Received: from …``, RFC 5321 4.4) are the forwarder's. Anybody may have written what
stands lower, however many seals cover it: a seal says what the mail looked like, not who wrote which line. Only Google's layout
is known well enough. It is, from the top: the set of seals made when Google sent the mail on; Google's stamps, with the account's
Delivered-To; the set made when the mail came in; the Received line of its arrival; and then what came from outside.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from mailbridge.core.addresses import canonical, parse_mailbox, parse_sole_mailbox
from mailbridge.trust.raw import NAME, RawMail, hosts_of, tags

SETS = ("arc-seal", "arc-message-signature", "arc-authentication-results")
STAMP = "delivered-to"
ARRIVAL = re.compile(r"(?i)\s*from\s")
BY_GOOGLE = re.compile(r"(?i)\bby\s+(?:[a-z0-9-]{1,63}\.){0,8}(?:google|gmail|googlemail)\.com(?![a-z0-9.-])")
BY_EXCHANGER = re.compile(r"(?i)\bby\s+mx\.google\.com\s")
"""The server at which Google takes in mail from outside for its own mailboxes. At Google's relays customers hand in outgoing
mail."""

BY = re.compile(r"(?i)\sby\s")
FOR = re.compile(r"(?i)\sfor\s+<([^<>\s]{1,320})>")
INSTANCE = re.compile(r"i\s*=\s*(\d{1,2})\s*;")
MOST_HEAD = 65_536
MOST_FOLD = re.compile(rb"\r\n[ \t]+")
Line = tuple[str, str]


def below_seal(mail: RawMail, newest: int) -> list[Line]:
    """The lines that the forwarder wrote after it took the mail in and before it sent the mail on under its newest seal.

    They end at the Received line of the mail's arrival, or at the seal of the arrival, which stands above it. Empty if the sets
    are out of order, or if a sole seal has no such Received line below it: then nothing separates the forwarder's lines from the
    sender's.
    """
    outer, inner = _places(mail, newest), _places(mail, newest - 1)
    if len(outer) != len(SETS):
        return []
    if newest == 1:
        lines, arrival = until_google(list(mail.headers[max(outer) + 1 :]))
        return lines if arrival is not None and BY_GOOGLE.search(arrival) else []
    return _until_arrival(list(mail.headers[max(outer) + 1 : min(inner)])) if len(inner) == len(SETS) else []


def above_seal(mail: RawMail, newest: int) -> list[Line]:
    """The lines above a forwarder's newest seal and above the Received line of the mail's arrival. They are the forwarder's if
    the mail came from the forwarder's server. Otherwise anybody may have written them."""
    places = _places(mail, newest)
    return until_google(list(mail.headers[: min(places)]))[0] if len(places) == len(SETS) else []


def delivered(lines: list[Line], names: Collection[str] = (STAMP,)) -> frozenset[str]:
    """The mailboxes (`canonical`) in lines of these names. A value that is not a plain address gives none."""
    found = (parse_sole_mailbox(value) for name, value in lines if name in names)
    return frozenset(canonical(one) for one in found if one is not None)


def account_of(lines: list[Line]) -> frozenset[str]:
    """The mailbox in the topmost Delivered-To, which is the last one that the forwarder wrote. A lower one may be of somebody who
    handed the mail in without SMTP, which leaves no Received line (Gmail fetches from other mailboxes, and takes mails by its
    API)."""
    return delivered([line for line in lines if line[0] == STAMP][:1])


def is_covered(mail: RawMail, covered: str, lines: list[Line]) -> bool:
    """Whether an ``h=`` list covers every Delivered-To of ``lines``. The list covers headers from the bottom of the mail up."""
    values = mail.values(STAMP)
    return len(values) <= hosts_of(covered).count(STAMP) and any(name == STAMP for name, _ in lines)


def is_for_another(content: bytes, account: str) -> bool:
    """Whether Google's own lines contradict the claim that this account forwarded the mail.

    A business customer can have Google send anything to anywhere with the envelope of the incoming mail. Then the Received line
    of the arrival names that customer's mailbox, and no Delivered-To above it names the account. A mail without any Received line
    contradicts nothing: Google writes one on every mail that it takes in.
    """
    own, arrival = until_google(head(content))
    if arrival is None:
        return False
    # After the last "by": the other side has written what stands before it.
    by = [found.end() for found in BY.finditer(arrival)]
    first = FOR.search(arrival, by[-1] if by else 0)
    named = account_of(own) | ({canonical(first[1])} if first else set())
    return canonical(account) not in named


def taken_in_for(mail: RawMail, newest: int) -> frozenset[str]:
    """The mailbox for which Google took in a mail that it then sent on by routing. Routing writes no stamp. The mailbox is in the
    topmost Received line of arrival, right below the seal that was made then."""
    outer, inner = _places(mail, newest), _places(mail, newest - 1)
    if len(outer) != len(SETS) or len(inner) != len(SETS) or min(inner) < max(outer):
        return frozenset()
    between = mail.headers[max(outer) + 1 : min(inner)]
    if any(name == "received" and ARRIVAL.match(value) for name, value in between):
        return frozenset()
    below = [line for line in mail.headers[max(inner) + 1 :] if line[0] != "return-path"][:1]
    arrival = next((value for name, value in below if name == "received" and ARRIVAL.match(value)), "")
    if not BY_EXCHANGER.search(arrival):
        return frozenset()
    # After the last "by": the other side has written what stands before it.
    by = [found.end() for found in BY.finditer(arrival)]
    account = FOR.search(arrival, by[-1])
    mailbox = parse_mailbox(account[1]) if account else None
    return frozenset({canonical(mailbox)} if mailbox else ())


def until_google(lines: list[Line]) -> tuple[list[Line], str | None]:
    """The lines above the Received line that Google wrote on arrival, and that line; None if there is no Received line at all.

    Received lines of other servers above it are of servers that took the mail from Google. If none is Google's, the topmost
    counts.
    """
    traces = [(place, value) for place, (name, value) in enumerate(lines) if name == "received" and ARRIVAL.match(value)]
    chosen = next((one for one in traces if BY_GOOGLE.search(one[1])), traces[0] if traces else None)
    return (lines, None) if chosen is None else (lines[: chosen[0]], chosen[1])


def head(content: bytes) -> list[Line]:
    """A mail's headers, from the top to the first malformed line. Any octets give an answer; the mail is not judged."""
    found: list[Line] = []
    text = MOST_FOLD.sub(b" ", content[:MOST_HEAD].partition(b"\r\n\r\n")[0])
    for line in text.split(b"\r\n"):
        name = NAME.match(line)
        if name is None:
            break
        found.append((name[1].decode("ascii").lower(), line[name.end() :].decode("utf-8", "replace").strip()))
    return found


def _until_arrival(lines: list[Line]) -> list[Line]:
    place = next((at for at, (name, value) in enumerate(lines) if name == "received" and ARRIVAL.match(value)), len(lines))
    return lines[:place]


def _places(mail: RawMail, instance: int) -> list[int]:
    """The positions of the headers of one set."""
    return [at for at, (name, value) in enumerate(mail.headers) if name in SETS and instance_of(name, value) == instance]


def instance_of(name: str, value: str) -> int | None:
    """The number of the ARC set that a line belongs to; None if it has none, or not exactly one."""
    if name == "arc-authentication-results":
        found = INSTANCE.match(value)
        return int(found[1]) if found else None
    read = tags(value)
    number = (read or {}).get("i", "")
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 2 else None
