"""Mails in lists, searched and shown, read by readers."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from mailbridge.core.mail import Envelope
from mailbridge.store import EVERYTHING, Filter, MailRow, Page
from mailbridge.store.cipher import Cipher, place
from mailbridge.store.rows import MAIL, read_mail, read_private
from mailbridge.store.sqlite import filters
from mailbridge.store.sqlite.large import large_octets
from mailbridge.store.sqlite.readers import Readers, Reading

MOST_HITS = 50
SEARCH_TIME = 0.1
"""Seconds that one call of a search may take."""

SEARCHED = "mail.id, uid, private"


class SqliteMails:
    """Implements `mailbridge.store.lists.Mails`."""

    def __init__(self, *, readers: Readers, cipher: Cipher, search_time: float = SEARCH_TIME) -> None:
        self._readers = readers
        self._cipher = cipher
        self._search_time = search_time

    async def page(self, wanted: Filter = EVERYTHING, *, before: int | None = None, limit: int = 100) -> Page[MailRow]:
        """See `Mails.page`."""
        return await self._readers.do(lambda reading: self._page(reading, wanted, before, limit))

    def _page(self, reading: Reading, wanted: Filter, before: int | None, limit: int) -> Page[MailRow]:
        chosen = filters.mails(wanted, before=before, how=filters.common(reading, wanted))
        query = f"SELECT {MAIL} FROM {chosen.source} WHERE {chosen.where} ORDER BY {chosen.order} LIMIT ?"  # noqa: S608
        rows = reading.rows(query, (*chosen.values, limit + 1))
        return filters.page(rows, lambda row: read_mail(row, self._cipher), limit=limit)

    async def search(
        self, words: str, wanted: Filter = EVERYTHING, *, before: int | None = None, limit: int = MOST_HITS
    ) -> Page[MailRow]:
        """See `Mails.search`."""
        return await self._readers.do(
            lambda reading: self._search(reading, words.casefold(), wanted, before, min(limit, MOST_HITS))
        )

    def _search(self, reading: Reading, words: str, wanted: Filter, before: int | None, limit: int) -> Page[MailRow]:
        chosen = filters.mails(wanted, before=before, how=filters.common(reading, wanted))
        query = f"SELECT {SEARCHED} FROM {chosen.source} WHERE {chosen.where} AND private IS NOT NULL ORDER BY {chosen.order}"  # noqa: S608
        until = time.monotonic() + self._search_time
        hits: list[MailRow] = []
        last: int | None = None
        for number, uid, sealed in reading.rows(query, chosen.values):
            if last is not None and (len(hits) >= limit or time.monotonic() >= until):
                return Page(tuple(hits), last)
            last = number
            if words in read_private(number, uid, sealed, self._cipher).subject.casefold():
                hits.append(read_mail(reading.row(f"SELECT {MAIL} FROM mail WHERE id = ?", (number,)), self._cipher))  # noqa: S608
        return Page(tuple(hits))

    async def one(self, mail_id: int) -> MailRow | None:
        """See `Mails.one`."""
        rows = await self._readers.rows(f"SELECT {MAIL} FROM mail WHERE id = ?", (mail_id,))  # noqa: S608
        return read_mail(rows[0], self._cipher) if rows else None

    async def raw(self, mail_id: int) -> Envelope | None:
        """See `Mails.raw`."""
        query = f"SELECT {MAIL}, raw FROM mail WHERE id = ? AND raw IS NOT NULL"  # noqa: S608
        rows: list[Any] = await self._readers.rows(query, (mail_id,))
        if not rows:
            return None
        row = read_mail(rows[0][:-1], self._cipher)
        sealed: bytes = rows[0][-1]
        if sealed:
            content = self._cipher.open(sealed, place("raw", rows[0][1], mail_id))
        else:
            found: list[Any] = await self._readers.rows("SELECT uid, octets FROM large WHERE mail_id = ?", (mail_id,))
            content = large_octets(found, self._cipher)
        if content is None:
            return None
        return Envelope(
            mail_from=row.mail_from,
            rcpt_to=row.rcpt_to,
            content=content,
            received_at=row.received_at,
            ingress=msgspec.convert(row.ingress, type=Any),
            peer=row.peer,
        )
