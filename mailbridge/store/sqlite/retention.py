"""Retention: erases what is past its time, permanently and on time. The cost depends only on what is erased."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import apsw

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings
from mailbridge.store.retaining import AHEAD, ERASED_AT_ONCE, LONGEST, PURGED_AT_ONCE, identifiers_of, kept_for

REALIGN = timedelta(seconds=1)
"""How far the wall clock may differ before steady time is set to it, while nothing waits to be pushed."""

NOTHING = (-LONGEST, -LONGEST)
ERASE_CODES = """
UPDATE delivery SET content = NULL WHERE id IN (
    SELECT id FROM delivery WHERE content IS NOT NULL AND final_at IS NOT NULL AND max(final_at, deadline) < ? LIMIT ?)
"""
PRIVATE = """
SELECT id, received_at FROM mail WHERE received_at >= ? AND received_at < ? AND private IS NOT NULL ORDER BY received_at LIMIT ?
"""
ERASE_PRIVATE = "UPDATE mail SET private = NULL WHERE id = ?"
RAW = (
    "SELECT id, received_at FROM mail WHERE received_at >= ? AND received_at < ? AND raw IS NOT NULL ORDER BY received_at LIMIT ?"
)
ERASE_RAW = "UPDATE mail SET raw = NULL, link = NULL WHERE id = ?"
OLDEST_LINE = "SELECT at FROM journal ORDER BY id LIMIT 1"
OLDEST_DELIVERY = "SELECT received_at FROM delivery ORDER BY id LIMIT 1"
OLDEST_MAIL = "SELECT received_at FROM mail ORDER BY id LIMIT 1"
PURGE_JOURNAL = """
DELETE FROM journal WHERE id IN (SELECT id FROM journal ORDER BY id LIMIT ?) AND at < ? AND id < (SELECT max(id) FROM journal)
"""
PURGE_DELIVERIES = """
DELETE FROM delivery WHERE id IN (SELECT id FROM delivery ORDER BY id LIMIT ?) AND received_at < ? AND content IS NULL
    AND id < (SELECT max(id) FROM delivery)
"""
PURGE_MAILS = """
DELETE FROM mail WHERE id IN (SELECT id FROM mail ORDER BY id LIMIT ?) AND received_at < ? AND raw IS NULL AND private IS NULL
    AND id < (SELECT max(id) FROM mail) AND NOT EXISTS (SELECT 1 FROM delivery WHERE mail_id = mail.id) RETURNING id, facts
"""
READABLE = "content IS NOT NULL AND final_at IS NOT NULL AND max(final_at, deadline) > ? AND deadline > ?"
MOVE_MAILS = f"""
UPDATE mail SET received_at = received_at + ? WHERE received_at > ? OR id IN (SELECT mail_id FROM delivery WHERE {READABLE})
"""  # noqa: S608
MOVE_DELIVERIES = f"""
UPDATE delivery SET received_at = received_at + ?, deadline = deadline + ?, final_at = final_at + ? WHERE {READABLE}
"""  # noqa: S608
RECENT = 900_000_000
"""Microseconds for which a mail without a readable code may still get one: a person releases it, or its copy arrives."""

DAY = 86_400_000_000
"""Microseconds after which a run is not expected to poll again."""

PURGE = {
    "journal": (OLDEST_LINE, PURGE_JOURNAL),
    "delivery": (OLDEST_DELIVERY, PURGE_DELIVERIES),
    "mail": (OLDEST_MAIL, PURGE_MAILS),
}
PURGE_IDENTIFIER = "DELETE FROM mail_identifier WHERE line = ? AND mail_id = ?"

PURGE_READERS = (
    "DELETE FROM given WHERE last_at < ?",
    "DELETE FROM run WHERE first_at < ?",
    "DELETE FROM token WHERE expires_at < ?",
)
"""Who was given what, when runs first asked, and expired tokens: few rows each."""


class Retention:
    """Works inside the writer's transaction. It remembers up to which time of receipt nothing is left to erase in mails."""

    def __init__(self, settings: RetentionSettings) -> None:
        self._code = kept_for(settings.code)
        self._mail = kept_for(settings.mail)
        self._journal = kept_for(settings.journal)
        self._erased = self._erasing = NOTHING

    def erase(self, connection: apsw.Connection, now: int) -> tuple[bool, bool]:
        """Empty the codes, subjects and mails that are past their time, up to ERASED_AT_ONCE of each.

        Returns whether anything was erased, which must still be removed from the disk, and whether there may be more.
        """
        code_before, mail_before = now - self._code, now - self._mail
        connection.execute(ERASE_CODES, (code_before, ERASED_AT_ONCE))
        codes = connection.changes()
        subjects, subjects_before = self._erase_mails(connection, PRIVATE, ERASE_PRIVATE, self._erased[0], code_before)
        mails, mails_before = self._erase_mails(connection, RAW, ERASE_RAW, self._erased[1], mail_before)
        self._erasing = (subjects_before, mails_before)
        most = max(codes, subjects, mails)
        return most > 0, most >= ERASED_AT_ONCE

    def _erase_mails(self, connection: apsw.Connection, find: str, erase: str, after: int, before: int) -> tuple[int, int]:
        """Erase a part of mails, oldest first. Returns how many, and before which time of receipt no mail has that part any
        more."""
        found: list[Any] = connection.execute(find, (after, before, ERASED_AT_ONCE)).fetchall()
        connection.executemany(erase, [(number,) for number, _ in found])
        return len(found), found[-1][1] if len(found) == ERASED_AT_ONCE else before

    def keep(self) -> None:
        """Note that the transaction of the last `erase` is on disk. What it looked at need not be looked at again."""
        self._erased = self._erasing

    def purge(self, connection: apsw.Connection, now: int) -> bool:
        """Remove the oldest rows that are older than the journal's time, except the newest row of each table, which preserves the
        numbering.

        Returns whether the sweep reached its limit.
        """
        before = now - self._journal
        is_more = False
        for statement in PURGE_READERS:
            connection.execute(statement, (before,))
        for table, (oldest, statement) in PURGE.items():
            row = connection.execute(oldest).fetchone()
            if row is not None and row[0] > now:
                connection.execute(AHEAD[table], (now, PURGED_AT_ONCE, now))
            elif row is not None and row[0] < before:
                gone: list[Any] = connection.execute(statement, (PURGED_AT_ONCE, before)).fetchall()
                is_more = is_more or connection.changes() >= PURGED_AT_ONCE - 1
                connection.executemany(PURGE_IDENTIFIER, identifiers_of(gone))
        return is_more

    def put_right(self, connection: apsw.Connection, clock: SteadyClock) -> None:
        """Set steady time to the wall clock. Call it only while nothing waits to be pushed.

        The times of what may still be read move with it: codes, their mails, the first polls of runs, inboxes. So each lives as
        long as before, and a run still gets no code that is older than it wants. Rows that would then lie in the future are not
        kept for too long.
        """
        at = clock.micros()
        by = clock.realign()
        connection.execute(MOVE_MAILS, (by, at - RECENT, at, at))
        connection.execute(MOVE_DELIVERIES, (by, by, by, at, at))
        connection.execute("UPDATE run SET first_at = first_at + ? WHERE first_at > ?", (by, at - DAY))
        connection.execute("UPDATE inbox SET created_at = created_at + ?, expires_at = expires_at + ?", (by, by))
        self.clamp(connection, clock.micros())

    def clamp(self, connection: apsw.Connection, now: int) -> None:
        """Correct the rows after a clock that was ahead was set right. A row in the future would be kept for too long."""
        self._erased = self._erasing = NOTHING
        connection.execute("UPDATE mail SET received_at = ? WHERE received_at > ?", (now, now))
        connection.execute(
            "UPDATE delivery SET final_at = min(final_at, ?), deadline = iif(received_at > ?, min(deadline, ?), deadline)"
            " WHERE content IS NOT NULL AND final_at IS NOT NULL AND max(final_at, deadline) > ?"
            " AND (final_at > ? OR received_at > ?)",
            (now,) * 6,
        )
