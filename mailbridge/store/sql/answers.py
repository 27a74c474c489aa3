"""The answers to changing requests, sealed with the key of the database."""

from __future__ import annotations

from datetime import timedelta

from mailbridge.clock import SteadyClock
from mailbridge.store.answers import KEPT, Answered
from mailbridge.store.cipher import Cipher, new_uid, place
from mailbridge.store.sql import Database, Transaction

KEPT_MICROS = KEPT // timedelta(microseconds=1)
FIND = "SELECT request, uid, answer FROM answered WHERE key = ? AND at > ?"
KEEP = (
    "INSERT INTO answered (key, uid, request, answer, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
    " uid = excluded.uid, request = excluded.request, answer = excluded.answer, at = excluded.at WHERE answered.at <= ?"
)
PURGE = "DELETE FROM answered WHERE at <= ?"


class SqlAnswers:
    """Implements `mailbridge.store.answers.Answers`."""

    def __init__(self, *, database: Database, cipher: Cipher, clock: SteadyClock) -> None:
        self._database = database
        self._cipher = cipher
        self._clock = clock

    async def find(self, key: bytes) -> Answered | None:
        """See `Answers.find`."""
        rows = await self._database.rows(FIND, (key, self._clock.micros() - KEPT_MICROS))
        if not rows:
            return None
        request, uid, sealed = rows[0]
        return Answered(
            request=request, answer=None if sealed is None else self._cipher.open(sealed, place("answered", uid, None))
        )

    async def keep(self, key: bytes, *, request: bytes, answer: bytes) -> None:
        """See `Answers.keep`."""
        uid = new_uid()
        sealed = self._cipher.seal(answer, place("answered", uid, None))

        async def work(transaction: Transaction) -> None:
            now = self._clock.micros()
            await transaction.change(KEEP, (key, uid, request, sealed, now, now - KEPT_MICROS))

        await self._database.write(work)


async def purge(transaction: Transaction, now: int) -> None:
    """Remove answers that are too old."""
    await transaction.change(PURGE, (now - KEPT_MICROS,))
