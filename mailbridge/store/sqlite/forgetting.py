"""An identifier is forgotten: everything that names it is erased in one transaction of the writer's.

Rows of mails and deliveries stay behind empty until retention purges them: a number that is used again would let a late answer of a
target, or somebody's note, mean another mail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from mailbridge.store import Forgotten
from mailbridge.store.cipher import DIGEST_LENGTH, Cipher, place
from mailbridge.store.erasing import EMPTY, REASON, names, names_it, others_of, without
from mailbridge.store.packing import Facts
from mailbridge.store.sqlite.lines import journal

BLANK_MAIL = (
    "UPDATE mail SET fingerprint = ?, verdict = 'removed', rule = NULL, facts = ?, sender = '', is_held = 0, private = NULL,"
    " link = NULL, raw = NULL WHERE id = ?"
)
SHARED_MAIL = "UPDATE mail SET facts = ?, sender = ?, private = NULL, link = NULL, raw = NULL WHERE id = ?"
BLANK_DELIVERIES = (
    "UPDATE delivery SET state = iif(state IN ('pending', 'in_flight'), 'expired', state), final_at = coalesce(final_at, ?),"
    " due_at = NULL, blocked_until = NULL, content = NULL, identifier = '', line = '', sender = '', workflow_run_id = NULL,"
    " workflow_id = NULL, task_id = NULL, rule = NULL, ref = '', reason = ? WHERE {}"
)


def forget(connection: apsw.Connection, cipher: Cipher, identifier: str, now: int) -> Forgotten:
    """Erase what is kept of an identifier. The caller cuts the log afterwards; see `Store.forget`."""
    line = identifier.casefold()
    ended = (now, REASON)
    count = _changed(connection, BLANK_DELIVERIES.format("line = ?"), (*ended, line))
    whole: list[int] = []
    shared = 0
    for number, facts in _mails_of(connection, line):
        if others_of(facts, line):
            shared += 1
            _share(connection, number, facts, line)
        else:
            whole.append(number)
            count += _changed(connection, BLANK_DELIVERIES.format("mail_id = ? AND line != ''"), (*ended, number))
            connection.execute(BLANK_MAIL, (os.urandom(DIGEST_LENGTH), msgspec.msgpack.encode(EMPTY), number))
            connection.execute("DELETE FROM given WHERE what = ?", (f"mail {number}",))
            for one in facts.identifiers:
                connection.execute("DELETE FROM mail_identifier WHERE line = ? AND mail_id = ?", (one.casefold(), number))
    connection.execute("DELETE FROM mail_identifier WHERE line = ?", (line,))
    for table in ("run", "proven", "site"):
        connection.execute(f"DELETE FROM {table} WHERE line = ?", (line,))  # noqa: S608
    connection.execute("DELETE FROM given WHERE line = ?", (line,))
    readers: list[Any] = connection.execute("SELECT id, reader FROM given").fetchall()
    for number, reader in readers:
        if names(reader, line):
            connection.execute("UPDATE OR REPLACE given SET reader = 'removed' WHERE id = ?", (number,))
    lines = _journal(connection, whole, line, now)
    _answers(connection, cipher, line)
    return Forgotten(mails=len(whole) + shared, deliveries=count, lines=lines)


def _mails_of(connection: apsw.Connection, line: str) -> Iterator[tuple[int, Facts]]:
    """Every mail that names it: for it, to it, from it, or with a clue to it."""
    rows: list[Any] = connection.execute("SELECT id, facts FROM mail").fetchall()
    for number, octets in rows:
        facts = msgspec.msgpack.decode(octets, type=Facts)
        if names_it(facts, line):
            yield number, facts


def _share(connection: apsw.Connection, number: int, facts: Facts, line: str) -> None:
    """A mail that was for others too: they keep their codes, and what would tell of this one is gone."""
    kept = without(facts, line)
    connection.execute(SHARED_MAIL, (msgspec.msgpack.encode(kept), kept.sender.lower(), number))


def _journal(connection: apsw.Connection, mails: list[int], line: str, now: int) -> int:
    """Its lines are gone, and a newer one says that something was removed, so that the numbers go on."""
    journal(connection, now, "removed", 0)
    (newest,) = connection.execute("SELECT max(id) FROM journal").fetchone() or (0,)
    count = 0
    for number in mails:
        count += _changed(connection, "DELETE FROM journal WHERE mail_id = ? AND id != ?", (number, newest))
    rows: list[Any] = connection.execute("SELECT id, detail FROM journal WHERE detail != ''").fetchall()
    for number, detail in rows:
        if names(detail, line):
            count += _changed(connection, "UPDATE journal SET detail = '' WHERE id = ?", (number,))
    return count


def _answers(connection: apsw.Connection, cipher: Cipher, line: str) -> None:
    """Stored answers that name it are emptied; that the request was done is still known."""
    rows: list[Any] = connection.execute("SELECT key, uid, answer FROM answered WHERE answer IS NOT NULL").fetchall()
    for key, uid, sealed in rows:
        opened = cipher.open(sealed, place("answered", uid, None))
        if opened is None or names(opened.decode("utf-8", "replace"), line):
            connection.execute("UPDATE answered SET answer = NULL WHERE key = ?", (key,))


def _changed(connection: apsw.Connection, statement: str, values: tuple[Any, ...]) -> int:
    """How many rows a statement has changed."""
    connection.execute(statement, values)
    return connection.changes()
