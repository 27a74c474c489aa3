"""Filters as SQL conditions that make each query a walk along an index, newest first; and pages of the results.

Numbers and times of receipt grow together, except for mails that come in late. So a limit in time is first a limit of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from mailbridge.clock import to_micros
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import State
from mailbridge.store import Filter, Page
from mailbridge.store.sqlite.readers import Reading

T = TypeVar("T")

OLDEST_MAIL = "(SELECT min(+id) FROM mail WHERE received_at >= ?)"
NEWEST_MAIL = "(SELECT max(+id) FROM mail WHERE received_at < ?)"
"""The plus keeps SQLite from walking through the numbers to find the first match: only the times of receipt have an index."""

OLDEST_DELIVERY = f"(SELECT min(+id) FROM delivery WHERE mail_id >= {OLDEST_MAIL})"  # noqa: S608
NEWEST_DELIVERY = f"(SELECT max(+id) FROM delivery WHERE mail_id <= {NEWEST_MAIL})"  # noqa: S608
OF_DOMAIN = "substr(sender, instr(sender, '@') + 1) = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The text after FROM, WHERE and ORDER BY, and the values for the question marks."""

    source: str
    where: str
    order: str
    values: tuple[Any, ...]


class _Conditions:
    def __init__(self, *, source: str, number: str) -> None:
        self._source = source
        self._number = number
        self._texts: list[str] = []
        self._values: list[Any] = []

    def add(self, text: str, *values: Any) -> None:
        """Add one more condition; ``{}`` is the row's number."""
        self._texts.append(text.format(self._number))
        self._values += values

    def chosen(self) -> Chosen:
        """All conditions together."""
        where = " AND ".join(self._texts or ["1"])
        return Chosen(source=self._source, where=where, order=f"{self._number} DESC", values=tuple(self._values))


@dataclass(frozen=True, slots=True)
class Common:
    """Which parts of a filter match very many rows: ``identifier`` of deliveries, ``sender`` of mails. For these a walk
    through all rows, newest first, fills a page faster than an index with another order."""

    identifier: bool = False
    sender: bool = False


RARE = Common()
MANY = 2_000
"""From this number of rows on, a value is common. So many numbers are looked up in an index in a millisecond."""


def common(reading: Reading, wanted: Filter) -> Common:
    """Which of the wanted values are common. The look into each index ends after `MANY` rows."""

    def are_many(table: str, condition: str, values: tuple[Any, ...]) -> bool:
        query = f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {condition} LIMIT {MANY})"  # noqa: S608
        return bool(reading.row(query, values)[0] == MANY)

    return Common(
        identifier=bool(wanted.identifier) and are_many("delivery", "line = ?", (wanted.identifier.casefold(),)),
        sender=bool(wanted.sender) and are_many("mail", *_sender(wanted.sender)),
    )


def mails(wanted: Filter, *, before: int | None, how: Common = RARE) -> Chosen:
    """Conditions on the table ``mail``."""
    if wanted.identifier:
        # Only this way the order of the index is the order of the result.
        source = "mail_identifier CROSS JOIN mail ON mail.id = mail_identifier.mail_id"
        conditions = _Conditions(source=source, number="mail_identifier.mail_id")
        conditions.add("mail_identifier.line = ?", wanted.identifier.casefold())
    else:
        conditions = _Conditions(source="mail", number="mail.id")
    if before is not None:
        conditions.add("{} < ?", before)
    if wanted.sender:
        of_sender, values = _sender(wanted.sender)
        if not how.sender:
            conditions.add(f"{{}} IN (SELECT id FROM mail WHERE {of_sender})", *values)  # noqa: S608
        else:  # for one address the index has the order of the numbers, for a domain not: the plus keeps SQLite from sorting
            conditions.add(of_sender if len(values) > 1 else f"+{of_sender}", *values)
    if wanted.is_held is not None:
        conditions.add("is_held = 1" if wanted.is_held else "is_held = 0")
    if wanted.since is not None:
        since = to_micros(wanted.since)
        conditions.add(f"{{}} >= {OLDEST_MAIL} AND mail.received_at >= ?", since, since)
    if wanted.until is not None:
        until = to_micros(wanted.until)
        conditions.add(f"{{}} <= {NEWEST_MAIL} AND mail.received_at < ?", until, until)
    if State.DELIVERED in wanted.states:  # most are, so the newest page is full after a few rows
        conditions.add(f"EXISTS (SELECT 1 FROM delivery WHERE mail_id = mail.id AND {_any_state(wanted.states)})")  # noqa: S608
    elif wanted.states:
        conditions.add(f"{{}} IN ({_rare(wanted.states, 'mail_id')})")
    return conditions.chosen()


def deliveries(wanted: Filter, *, mail_id: int | None, before: int | None, how: Common = RARE) -> Chosen:
    """Conditions on the table ``delivery``."""
    conditions = _Conditions(source="delivery", number="id")
    if mail_id is not None:
        conditions.add("mail_id = ?", mail_id)
    if wanted.mails:
        conditions.add(f"mail_id IN ({', '.join('?' * len(wanted.mails))})", *wanted.mails)
    if before is not None:
        conditions.add("{} < ?", before)
    if wanted.identifier:
        of_line = "+line = ?" if how.identifier else "{} IN (SELECT id FROM delivery WHERE line = ?)"
        conditions.add(of_line, wanted.identifier.casefold())
    if wanted.sender:
        of_sender, values = _sender(wanted.sender)
        of_mail = f"SELECT id FROM mail WHERE {of_sender}"  # noqa: S608
        if how.sender:
            conditions.add(f"EXISTS ({of_mail} AND id = delivery.mail_id)", *values)
        else:
            conditions.add(f"{{}} IN (SELECT id FROM delivery WHERE mail_id IN ({of_mail}))", *values)  # noqa: S608
    if State.DELIVERED in wanted.states:
        conditions.add(_any_state(wanted.states))
    elif wanted.states:
        conditions.add(f"{{}} IN ({_rare(wanted.states, 'id')})")
    if wanted.since is not None:
        since = to_micros(wanted.since)
        conditions.add(f"{{}} >= {OLDEST_DELIVERY} AND received_at >= ?", since, since)
    if wanted.until is not None:
        until = to_micros(wanted.until)
        conditions.add(f"{{}} <= {NEWEST_DELIVERY} AND received_at < ?", until, until)
    return conditions.chosen()


def _any_state(states: tuple[State, ...]) -> str:
    """A condition for any of these states. States are our own words and are written out, because only then does SQLite know
    which index to use."""
    return f"state IN ({', '.join(repr(str(state)) for state in states)})"


def _rare(states: tuple[State, ...], column: str) -> str:
    """A column of the deliveries in these states, each state by its own index."""
    return " UNION ALL ".join(f"SELECT {column} FROM delivery WHERE state = '{state}'" for state in states)  # noqa: S608


def _sender(sender: str) -> tuple[str, tuple[str, ...]]:
    """A condition on the sender of a mail: an address, or else a domain."""
    folded = sender.lower()
    domain = folded.partition("@")[2] if "@" in folded else folded
    return (f"{OF_DOMAIN} AND sender = ?", (domain, folded)) if "@" in folded.removeprefix("@") else (OF_DOMAIN, (domain,))


def page(rows: Iterator[Any], read: Callable[[Any], T], *, limit: int) -> Page[T]:
    """A page of rows that begin with their number. The query must have asked for one row more than ``limit``."""
    found: list[T] = []
    last = 0
    for row in rows:
        if len(found) == limit:
            return Page(tuple(found), last if found else None)
        last = row[0]
        found.append(read(row))
    return Page(tuple(found))
