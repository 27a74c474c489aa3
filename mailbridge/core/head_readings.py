"""Of a header that can be read in two ways: which reading counts, and whether the two name different mailboxes.

Then nobody is named: who wrote the mail, or whom it is for, would depend on the program that reads it.
"""

from __future__ import annotations

from collections.abc import Callable

from mailbridge.core import stamps
from mailbridge.core.address_list import read_recipients
from mailbridge.core.addresses import canonical
from mailbridge.core.head import Doubt, Head

WRITTEN = ("from", "to", "cc")
STAMPS: dict[str, Callable[[str], str | None]] = {
    **dict.fromkeys(stamps.ADDRESS_HEADERS, stamps.bare),
    "received": stamps.received_for,
    "resent-from": stamps.resent_from,
    "x-forwarded-for": stamps.forwarding_account,
    "x-ms-exchange-forwardingloop": stamps.forwarding_loop,
    "x-yahoo-forwarded": stamps.yahoo,
}


def settled(head: Head) -> tuple[frozenset[int], frozenset[str]]:
    """The headers to be read in their other way, since only so they name anybody; and the names of those whose readings differ."""
    switched: set[int] = set()
    disputed: set[str] = set()
    for doubt in head.doubts:
        if not _is_naming(doubt.name):
            continue
        readings = (doubt.joined, doubt.without) if doubt.is_joined else (doubt.without, doubt.joined)
        own, other = (_named(doubt.name, reading) for reading in readings)
        if own == other:
            continue
        if own and (other or (not doubt.is_joined and _holds_more(doubt))):
            disputed.add(doubt.name)
        elif other and doubt.name in WRITTEN:
            switched.add(doubt.at)
    for name, value in head.odd:
        if _is_naming(name) and any(_named(name, value) != _named(name, beside) for other, beside in head.even if other == name):
            disputed.add(name)
    return frozenset(switched), frozenset(disputed)


def _is_naming(name: str) -> bool:
    return name in WRITTEN or name in STAMPS


def _named(name: str, value: bytes) -> frozenset[str]:
    """The mailboxes (`canonical`) that a header names, "" among them for one that cannot be used."""
    text = value.decode("utf-8", "replace").strip(" \t")
    if name in STAMPS:
        mailbox = STAMPS[name](text)
        return frozenset() if mailbox is None else frozenset({canonical(mailbox)})
    found = read_recipients(text)
    return frozenset(map(canonical, found.addresses)) | ({""} if found.count > len(found.entries) else set())


def _holds_more(doubt: Doubt) -> bool:
    """Whether an address may stand in the lines that may not belong to a header."""
    return any(doubt.joined.count(mark) > doubt.without.count(mark) for mark in (b"@", b"=?", b"<"))
