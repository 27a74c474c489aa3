"""Retention: erases what is past its time. One replica at a time does it, under an advisory lock of the transaction."""

from __future__ import annotations

from mailbridge.config.settings import RetentionSettings
from mailbridge.store.postgres.database import PostgresTransaction
from mailbridge.store.retaining import AHEAD, ERASED_AT_ONCE, PURGED_AT_ONCE, identifiers_of, kept_for

SWEEP = 0x6D61696C01
"""The advisory lock for a sweep (MIGRATE is another one)."""

ERASE_CODES = (
    "UPDATE delivery SET content = NULL WHERE id IN (SELECT id FROM delivery WHERE content IS NOT NULL AND final_at IS NOT NULL"
    " AND greatest(final_at, deadline) < ? LIMIT ? FOR UPDATE SKIP LOCKED)"
)
ERASE_PRIVATE = (
    "UPDATE mail SET private = NULL WHERE id IN (SELECT id FROM mail WHERE received_at < ? AND private IS NOT NULL LIMIT ?)"
)
ERASE_RAW = (
    "UPDATE mail SET raw = NULL, link = NULL WHERE id IN (SELECT id FROM mail WHERE received_at < ? AND raw IS NOT NULL LIMIT ?)"
)
PURGE_READERS = (
    "DELETE FROM given WHERE last_at < ?",
    "DELETE FROM run WHERE first_at < ?",
    "DELETE FROM token WHERE expires_at < ?",
)
OLDEST = (
    "SELECT (SELECT at FROM journal ORDER BY id LIMIT 1), (SELECT received_at FROM delivery ORDER BY id LIMIT 1),"
    " (SELECT received_at FROM mail ORDER BY id LIMIT 1)"
)
PURGE_JOURNAL = "DELETE FROM journal WHERE id IN (SELECT id FROM journal ORDER BY id LIMIT ?) AND at < ? AND id < (SELECT max(id) FROM journal)"
PURGE_DELIVERIES = (
    "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery ORDER BY id LIMIT ?) AND received_at < ? AND content IS NULL"
    " AND id < (SELECT max(id) FROM delivery)"
)
PURGE_MAILS = (
    "DELETE FROM mail WHERE id IN (SELECT id FROM mail ORDER BY id LIMIT ?) AND received_at < ? AND raw IS NULL AND private IS NULL"
    " AND id < (SELECT max(id) FROM mail) AND NOT EXISTS (SELECT 1 FROM delivery WHERE mail_id = mail.id) RETURNING id, facts"
)
PURGE_IDENTIFIER = "DELETE FROM mail_identifier WHERE line = ? AND mail_id = ?"
PURGE_QUEUES = (
    "DELETE FROM queue WHERE (target, line) IN (SELECT target, line FROM queue WHERE NOT EXISTS (SELECT 1 FROM delivery"
    " WHERE delivery.line = queue.line) LIMIT ? FOR UPDATE SKIP LOCKED)"
)


class Retention:
    """What is erased when. Works inside a transaction of the sweep."""

    def __init__(self, settings: RetentionSettings) -> None:
        self._code = kept_for(settings.code)
        self._mail = kept_for(settings.mail)
        self._journal = kept_for(settings.journal)

    async def may_sweep(self, transaction: PostgresTransaction) -> bool:
        """Whether no other replica sweeps now. Until the end of the transaction no other one may."""
        ((is_mine,),) = await transaction.rows("SELECT pg_try_advisory_xact_lock(?)", (SWEEP,))
        return bool(is_mine)

    async def erase(self, transaction: PostgresTransaction, now: int) -> bool:
        """Empty the codes, subjects and mails that are past their time, up to ERASED_AT_ONCE of each. Returns whether there
        may be more."""
        before = ((ERASE_CODES, self._code), (ERASE_PRIVATE, self._code), (ERASE_RAW, self._mail))
        counts = [await transaction.change(statement, (now - kept, ERASED_AT_ONCE)) for statement, kept in before]
        return max(counts) >= ERASED_AT_ONCE

    async def purge(self, transaction: PostgresTransaction, now: int) -> bool:
        """Remove the oldest rows that are older than the journal's time. Returns whether the sweep reached its limit."""
        before = now - self._journal
        for statement in PURGE_READERS:
            await transaction.change(statement, (before,))
        (oldest,) = await transaction.rows(OLDEST)
        for table, at in zip(AHEAD, oldest, strict=True):
            if at is not None and at > now:
                await transaction.change(AHEAD[table], (now, PURGED_AT_ONCE, now))
        if all(at is None or at >= before for at in oldest):
            return False
        lines = await transaction.change(PURGE_JOURNAL, (PURGED_AT_ONCE, before))
        deliveries = await transaction.change(PURGE_DELIVERIES, (PURGED_AT_ONCE, before))
        mails = await transaction.rows(PURGE_MAILS, (PURGED_AT_ONCE, before))
        await transaction.change_many(PURGE_IDENTIFIER, identifiers_of(mails))
        await transaction.change(PURGE_QUEUES, (PURGED_AT_ONCE,))
        return max(lines, deliveries, len(mails)) >= PURGED_AT_ONCE - 1
