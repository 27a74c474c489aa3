"""The servers that a mail says it came over, by its Received headers (RFC 5321 4.4). Nothing of it is proven: whoever sends may write more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mailbridge.core.dataclass import dataclass

MOST_HOPS = 20
LONGEST = 2_000
SENDER = re.compile(r"(?:^|\s)from\s+(\[?[\w.:-]{1,255}\]?)", re.IGNORECASE)
RECEIVER = re.compile(r"(?:^|\s)by\s+(\[?[\w.:-]{1,255}\]?)", re.IGNORECASE)
COMMENT = re.compile(r"\([^()]*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One server handed the mail to the next. What is not written is "" or None."""

    sender: str
    receiver: str
    at: datetime | None


def hops(headers: Iterable[tuple[str, str]]) -> tuple[Hop, ...]:
    """The hops of a mail's headers (topmost first), from the first server to the last one; of many the last twenty."""
    return tuple(reversed(list(_hops(headers))))


def _hops(headers: Iterable[tuple[str, str]]) -> Iterator[Hop]:
    count = 0
    for name, value in headers:
        if name.lower() != "received":
            continue
        text, _, date = value[:LONGEST].rpartition(";")
        plain = COMMENT.sub(" ", text)
        sender, receiver = SENDER.search(plain), RECEIVER.search(plain)
        if sender is None and receiver is None:
            continue
        yield Hop(sender=sender[1] if sender else "", receiver=receiver[1] if receiver else "", at=_moment(date))
        count += 1
        if count == MOST_HOPS:
            return


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(COMMENT.sub(" ", text).strip())
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
