"""Mails in lists, searched and shown."""

from __future__ import annotations

import time

import msgspec

from mailbridge.core.mail import Envelope, Ingress
from mailbridge.store import EVERYTHING, Filter, MailRow, Page
from mailbridge.store.cipher import Cipher, place
from mailbridge.store.postgres import filters
from mailbridge.store.postgres.database import PostgresDatabase
from mailbridge.store.rows import MAIL, read_mail, read_private

MOST_HITS = 50
SEARCH_TIME = 0.1
"""Seconds that one call of a search may take."""

LOOKED_AT = 200
"""Subjects that a search fetches at a time."""


class PostgresMails:
    """Implements `mailbridge.store.lists.Mails`."""

    def __init__(self, *, database: PostgresDatabase, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    async def page(self, wanted: Filter = EVERYTHING, *, before: int | None = None, limit: int = 100) -> Page[MailRow]:
        """See `Mails.page`."""
        where, values = filters.mails(wanted, before=before)
        query = f"SELECT {MAIL} FROM mail WHERE {where} ORDER BY mail.id DESC LIMIT ?"  # noqa: S608
        rows = await self._database.rows(query, (*values, limit + 1))
        found = tuple(read_mail(row, self._cipher) for row in rows[:limit])
        return Page(found, found[-1].id if len(rows) > limit and found else None)

    async def search(
        self, words: str, wanted: Filter = EVERYTHING, *, before: int | None = None, limit: int = MOST_HITS
    ) -> Page[MailRow]:
        """See `Mails.search`."""
        until = time.monotonic() + SEARCH_TIME
        folded, limit = words.casefold(), min(limit, MOST_HITS)
        hits: list[MailRow] = []
        last = before
        has_looked = False
        while True:
            where, values = filters.mails(wanted, before=last)
            query = f"SELECT mail.id, uid, private FROM mail WHERE {where} AND private IS NOT NULL ORDER BY mail.id DESC LIMIT ?"  # noqa: S608
            rows = await self._database.rows(query, (*values, LOOKED_AT))
            for number, uid, sealed in rows:
                if has_looked and (len(hits) >= limit or time.monotonic() >= until):
                    return Page(tuple(hits), last)
                last, has_looked = number, True
                if folded in read_private(number, uid, sealed, self._cipher).subject.casefold():
                    one = await self.one(number)
                    hits += [] if one is None else [one]
            if len(rows) < LOOKED_AT:
                return Page(tuple(hits))

    async def one(self, mail_id: int) -> MailRow | None:
        """See `Mails.one`."""
        rows = await self._database.rows(f"SELECT {MAIL} FROM mail WHERE id = ?", (mail_id,))  # noqa: S608
        return read_mail(rows[0], self._cipher) if rows else None

    async def raw(self, mail_id: int) -> Envelope | None:
        """See `Mails.raw`."""
        rows = await self._database.rows(f"SELECT {MAIL}, raw FROM mail WHERE id = ? AND raw IS NOT NULL", (mail_id,))  # noqa: S608
        if not rows:
            return None
        row = read_mail(rows[0][:-1], self._cipher)
        content = self._cipher.open(rows[0][-1], place("raw", rows[0][1], mail_id))
        if content is None:
            return None
        return Envelope(
            mail_from=row.mail_from,
            rcpt_to=row.rcpt_to,
            content=content,
            received_at=row.received_at,
            ingress=msgspec.convert(row.ingress, type=Ingress),
            peer=row.peer,
        )
