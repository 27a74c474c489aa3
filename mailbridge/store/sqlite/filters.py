"""Filters as conditions of SQL, so that each is a walk along an index, newest first; and pages of what is found.

Numbers and receipts grow together, all but for mails that come in late: a bound in time is first a bound of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from mailbridge.clock import to_micros
from mailbridge.core.delivery import State
from mailbridge.store import Filter, Page

T = TypeVar("T")

OLDEST_MAIL = "(SELECT min(+id) FROM mail WHERE received_at >= ?)"
NEWEST_MAIL = "(SELECT max(+id) FROM mail WHERE received_at < ?)"
"""The plus keeps SQLite from walking through the numbers for the first that fits: it is the receipts that have an index."""

OLDEST_DELIVERY = f"(SELECT min(+id) FROM delivery WHERE mail_id >= {OLDEST_MAIL})"  # noqa: S608
NEWEST_DELIVERY = f"(SELECT max(+id) FROM delivery WHERE mail_id <= {NEWEST_MAIL})"  # noqa: S608
DOMAIN = "substr(sender, instr(sender, '@') + 1) = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What follows FROM, WHERE and ORDER BY, and the values for the question marks."""

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
        """One more that must hold; ``{}`` is the row's number."""
        self._texts.append(text.format(self._number))
        self._values += values

    def chosen(self) -> Chosen:
        """All of them."""
        where = " AND ".join(self._texts or ["1"])
        return Chosen(source=self._source, where=where, order=f"{self._number} DESC", values=tuple(self._values))


def mails(wanted: Filter, *, before: int | None) -> Chosen:
    """Of the table ``mail``."""
    if wanted.identifier:
        # Only so the order of the index is the order of the answer.
        source = "mail_identifier CROSS JOIN mail ON mail.id = mail_identifier.mail_id"
        conditions = _Conditions(source=source, number="mail_identifier.mail_id")
        conditions.add("mail_identifier.line = ?", wanted.identifier.casefold())
    else:
        conditions = _Conditions(source="mail", number="mail.id")
    if before is not None:
        conditions.add("{} < ?", before)
    if wanted.sender:
        address, domain = _address(wanted.sender)
        conditions.add("sender = ?" if address else DOMAIN, address or domain)
    if wanted.is_held is not None:
        conditions.add("is_held = 1" if wanted.is_held else "is_held = 0")
    if wanted.since is not None:
        since = to_micros(wanted.since)
        conditions.add(f"{{}} >= {OLDEST_MAIL} AND mail.received_at >= ?", since, since)
    if wanted.until is not None:
        until = to_micros(wanted.until)
        conditions.add(f"{{}} <= {NEWEST_MAIL} AND mail.received_at < ?", until, until)
    if wanted.states:
        of_state, values = _states(wanted.states)
        if State.DELIVERED in wanted.states:
            conditions.add(f"EXISTS (SELECT 1 FROM delivery WHERE mail_id = mail.id AND {of_state})", *values)  # noqa: S608
        else:
            conditions.add(f"{{}} IN (SELECT mail_id FROM delivery WHERE {of_state})", *values)  # noqa: S608
    return conditions.chosen()


def deliveries(wanted: Filter, *, mail_id: int | None, before: int | None) -> Chosen:
    """Of the table ``delivery``."""
    conditions = _Conditions(source="delivery", number="id")
    if mail_id is not None:
        conditions.add("mail_id = ?", mail_id)
    if before is not None:
        conditions.add("{} < ?", before)
    if wanted.identifier:
        conditions.add("{} IN (SELECT id FROM delivery WHERE line = ?)", wanted.identifier.casefold())
    if wanted.sender:
        address, domain = _address(wanted.sender)
        of_domain = f"SELECT delivery.id FROM mail CROSS JOIN delivery ON mail_id = mail.id WHERE {DOMAIN}"  # noqa: S608
        of_domain = of_domain.replace("sender", "mail.sender")
        conditions.add("sender = ?" if address else f"{{}} IN ({of_domain})", address or domain)
    if wanted.states:
        of_state, values = _states(wanted.states)
        is_rare = State.DELIVERED not in wanted.states
        conditions.add(f"{{}} IN (SELECT id FROM delivery WHERE {of_state})" if is_rare else of_state, *values)  # noqa: S608
    if wanted.since is not None:
        since = to_micros(wanted.since)
        conditions.add(f"{{}} >= {OLDEST_DELIVERY} AND received_at >= ?", since, since)
    if wanted.until is not None:
        until = to_micros(wanted.until)
        conditions.add(f"{{}} <= {NEWEST_DELIVERY} AND received_at < ?", until, until)
    return conditions.chosen()


def _states(states: tuple[State, ...]) -> tuple[str, list[str]]:
    """A condition on the state, by its index; most are delivered, so with those the newest page is full after a few looks."""
    column = "+state" if State.DELIVERED in states else "state || ''"
    return f"{column} IN ({', '.join('?' * len(states))})", [str(state) for state in states]


def _address(sender: str) -> tuple[str, str]:
    """A sender as it is asked for: an address, or else a domain."""
    folded = sender.lower()
    is_address = "@" in folded.removeprefix("@")
    return (folded, "") if is_address else ("", folded.removeprefix("@"))


def page(rows: Iterator[Any], read: Callable[[Any], T], *, limit: int) -> Page[T]:
    """A page of rows that begin with their number, of which one more than ``limit`` were asked for."""
    found: list[T] = []
    last = 0
    for row in rows:
        if len(found) == limit:
            return Page(tuple(found), last if found else None)
        last = row[0]
        found.append(read(row))
    return Page(tuple(found))
