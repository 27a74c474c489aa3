"""Converts lines of the journal to events for receivers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mailbridge.core.happening import RECEIVED, Event
from mailbridge.sinks import Records
from mailbridge.store import JournalLine, MailRow, Store

ENDED = {"superseded": "code.superseded", "dead": "delivery.dead", "expired": "delivery.dead", "delivered": "delivery.done"}
"""The event types of a delivery's end."""

ASKS = re.compile(r"; (\S+@\S+) asks$")
WAITED = " waited since "
"""Separates, in the line of a wait without a code, who waited from when it began (`missing_detail`)."""

OF_NO_MAIL = ("code.missing", "mailbox.down", "mailbox.up", "alarm.raised", "alarm.cleared")
PUSHED = ("code", "link")


class Occasions:
    """Reads the subject of a line from the store. Raises StoreUnavailable."""

    def __init__(self, *, store: Store, records: Records, is_answered: Callable[[str], bool] = lambda account: False) -> None:  # noqa: ARG005
        """``is_answered``: whether the question of a Gmail account, whether it may forward here, is answered without a person."""
        self._is_answered = is_answered
        self._store = store
        self._records = records

    async def of(self, line: JournalLine) -> Event | None:
        """The event of a line; None if there is none."""
        if line.event == "stored":
            row = await self._store.mails.one(line.mail_id)
            return None if row is None else self._of_mail(line, row)
        if line.event in ENDED and line.delivery_id is not None:
            return await self._of_delivery(line, line.delivery_id)
        if line.event in OF_NO_MAIL:
            return self._of_itself(line)
        return None

    def _event(self, line: JournalLine, kind: str, data: dict[str, Any], **more: Any) -> Event:
        event_id = self._records.event_id("event", line.id, line.at)
        told = {key: value for key, value in data.items() if value not in ("", None, [])}
        return Event(id=event_id, type=kind, at=line.at, data=told, line=line.id, identifiers=line.identifiers, **more)

    def _of_mail(self, line: JournalLine, row: MailRow) -> Event:
        data: dict[str, Any] = {"mail": row.id, "from": row.sender}
        data |= {"identifier": row.identifiers[0]} if len(row.identifiers) == 1 else {"identifiers": list(row.identifiers)}
        if row.verdict == "confirmation":
            asks = ASKS.search(row.trust)
            account = asks.group(1) if asks else ""
            data |= {"account": account, "reason": row.reason, "is_answered": self._is_answered(account) or None}
            return self._event(line, "gmail.confirmation", data, subject=account, is_of_mail=True)
        if row.held or row.verdict == "ambiguous" or (row.verdict in PUSHED and not row.identifiers):
            reason = "; ".join(row.held) or (row.reason if row.verdict == "ambiguous" else "nobody is known for whom it would be")
            return self._event(line, "mail.held", data | {"verdict": row.verdict, "reason": reason}, is_of_mail=True)
        if row.verdict in PUSHED:
            return self._event(line, RECEIVED, data | {"kind": row.verdict}, subject=row.identifiers[0], is_of_mail=True)
        return self._event(line, "mail.no_code", data | {"verdict": row.verdict, "reason": row.reason}, is_of_mail=True)

    async def _of_delivery(self, line: JournalLine, number: int) -> Event | None:
        row = await self._store.outbox.one(number)
        if row is None:
            return None
        data: dict[str, Any] = {
            "identifier": row.draft.identifier,
            "kind": row.draft.kind,
            "target": row.draft.target,
            "delivery": row.id,
            "mail": row.mail_id,
            "attempts": row.attempts,
            "reason": line.detail,
        }
        return self._event(line, ENDED[line.event], data, subject=row.draft.target)

    def _of_itself(self, line: JournalLine) -> Event:
        name, _, reason = line.detail.partition(": ")
        match line.event:
            case "code.missing":
                who, _, rest = line.detail.partition(WAITED)
                since, _, causes = rest.partition(": ")
                identifier = next(iter(line.identifiers), "")
                data: dict[str, Any] = {"identifier": identifier, "who": who, "waiting_since": since, "reason": causes}
                return self._event(line, line.event, data, subject=identifier)
            case "mailbox.down" | "mailbox.up":
                return self._event(line, line.event, {"mailbox": name.removeprefix("mailbox "), "reason": reason}, subject=name)
            case _:
                return self._event(line, line.event, {"alarm": name, "reason": reason}, subject=name)


def missing_detail(who: str, since: str, causes: str) -> str:
    """The journal's text of a wait that ended without a code."""
    return f"{who}{WAITED}{since}: {causes}"
