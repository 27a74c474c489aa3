"""Filters as SQL conditions on the tables ``mail`` and ``delivery``, each with its values."""

from __future__ import annotations

from typing import Any

from mailbridge.clock import to_micros
from mailbridge.core.delivery import State
from mailbridge.store import Filter

OF_DOMAIN = "substr(sender, strpos(sender, '@') + 1) = ?"
Chosen = tuple[str, tuple[Any, ...]]


class _Conditions:
    def __init__(self) -> None:
        self._texts: list[str] = []
        self._values: list[Any] = []

    def add(self, text: str, *values: Any) -> None:
        """Add one more condition."""
        self._texts.append(text)
        self._values += values

    def between(self, column: str, wanted: Filter) -> None:
        """Require a time of receipt within the filter's bounds."""
        if wanted.since is not None:
            self.add(f"{column} >= ?", to_micros(wanted.since))
        if wanted.until is not None:
            self.add(f"{column} < ?", to_micros(wanted.until))

    def chosen(self) -> Chosen:
        """All conditions together."""
        return " AND ".join(self._texts) or "true", tuple(self._values)


def mails(wanted: Filter, *, before: int | None) -> Chosen:
    """Conditions on the table ``mail``."""
    conditions = _Conditions()
    if before is not None:
        conditions.add("mail.id < ?", before)
    if wanted.identifier:
        conditions.add("mail.id IN (SELECT mail_id FROM mail_identifier WHERE line = ?)", wanted.identifier.casefold())
    if wanted.sender:
        of_sender, values = _sender(wanted.sender)
        conditions.add(of_sender, *values)
    if wanted.is_held is not None:
        conditions.add("is_held = 1" if wanted.is_held else "is_held = 0")
    conditions.between("mail.received_at", wanted)
    if wanted.states:
        conditions.add(f"EXISTS (SELECT 1 FROM delivery WHERE mail_id = mail.id AND {_any_state(wanted.states)})")  # noqa: S608
    return conditions.chosen()


def deliveries(wanted: Filter, *, mail_id: int | None, before: int | None) -> Chosen:
    """Conditions on the table ``delivery``."""
    conditions = _Conditions()
    if mail_id is not None:
        conditions.add("mail_id = ?", mail_id)
    if wanted.mails:
        conditions.add("mail_id = ANY(?)", list(wanted.mails))
    if before is not None:
        conditions.add("delivery.id < ?", before)
    if wanted.identifier:
        conditions.add("line = ?", wanted.identifier.casefold())
    if wanted.sender:
        of_sender, values = _sender(wanted.sender)
        conditions.add(f"mail_id IN (SELECT id FROM mail WHERE {of_sender})", *values)  # noqa: S608
    if wanted.states:
        conditions.add(_any_state(wanted.states))
    conditions.between("delivery.received_at", wanted)
    return conditions.chosen()


def _any_state(states: tuple[State, ...]) -> str:
    """A condition for any of these states. States are our own words and are written out, because only then does the server
    know which index to use."""
    return f"state IN ({', '.join(repr(str(state)) for state in states)})"


def _sender(sender: str) -> tuple[str, tuple[str, ...]]:
    """A condition on the sender of a mail: an address, or else a domain."""
    folded = sender.lower()
    domain = folded.partition("@")[2] if "@" in folded else folded
    return (f"{OF_DOMAIN} AND sender = ?", (domain, folded)) if "@" in folded.removeprefix("@") else (OF_DOMAIN, (domain,))
