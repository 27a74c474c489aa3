"""What targets may read of the store: ids of events, and the fields of a mail beside its code."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from mailbridge.clock import to_micros
from mailbridge.core.template import OF_THE_TEXT
from mailbridge.intake.meaning import Letter, ReaderUnavailable, Understanding
from mailbridge.intake.pool import ParserPool
from mailbridge.sinks import MailFields
from mailbridge.store import Store, StoreUnavailable


class StoreRecords:
    """Implements `mailbridge.sinks.Records`. A mail's text is read by a worker, as when it came in: it is hostile still."""

    def __init__(self, *, store: Store, pool: ParserPool[Understanding], now: Callable[[], datetime]) -> None:
        self.now = now
        self._store = store
        self._pool = pool

    def event_id(self, kind: str, number: int, at: datetime) -> str:
        """See `Records.event_id`. Made of the database's own key, so that nobody can count events by it, nor foresee one."""
        return "evt_" + self._store.names.name(f"{kind}\n{number}\n{to_micros(at)}").removeprefix(self._store.names.PREFIX)

    async def mail(self, mail_id: int, wanted: frozenset[str]) -> MailFields | None:
        """See `Records.mail`."""
        try:
            row = await self._store.mails.one(mail_id)
            is_read = row is not None and not wanted.isdisjoint(OF_THE_TEXT | {"raw"})
            envelope = await self._store.mails.raw(mail_id) if is_read else None
        except StoreUnavailable:
            return None
        if row is None:
            return MailFields()
        letter, raw = Letter(), ""
        if envelope is not None and not wanted.isdisjoint(OF_THE_TEXT):
            try:
                found = await self._pool.understand(envelope, is_read_out=True)
            except ReaderUnavailable:
                return None
            letter = found.letter if found is not None and found.letter is not None else letter
        if envelope is not None and "raw" in wanted:
            raw = envelope.content.decode("utf-8", "replace")
        return MailFields(
            subject=row.subject,
            sender_name=letter.sender_name,
            to=next(iter(row.rcpt_to), ""),
            raw_to=letter.raw_to,
            message_id=row.message_id,
            text=letter.text.reveal(),
            raw=raw,
        )
