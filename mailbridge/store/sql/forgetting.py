"""Forgets an identifier: everything that names it is erased in one transaction.

Rows of mails and deliveries stay, empty, until retention removes them. If a number were used again, a late answer of a target or
a person's note would mean another mail.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from mailbridge.store import Forgotten
from mailbridge.store.cipher import DIGEST_LENGTH, Cipher, place
from mailbridge.store.erasing import EMPTY, ENDED, REASON, is_same, names, names_it, others_of, without
from mailbridge.store.packing import Facts
from mailbridge.store.sql import Transaction
from mailbridge.store.sql.lines import tell

BLANK_MAIL = (
    "UPDATE mail SET fingerprint = ?, verdict = 'removed', rule = NULL, facts = ?, sender = '', is_held = 0, private = NULL,"
    " link = NULL, raw = NULL WHERE id = ?"
)
SHARED_MAIL = "UPDATE mail SET facts = ?, sender = ?, private = NULL, link = NULL, raw = NULL WHERE id = ?"
BLANK_DELIVERIES = (
    "UPDATE delivery SET state = CASE WHEN state IN ('pending', 'in_flight') THEN 'expired' ELSE state END,"
    " final_at = coalesce(final_at, ?), due_at = NULL, blocked_until = NULL, content = NULL, identifier = '', line = '', sender = '',"
    " workflow_run_id = NULL, workflow_id = NULL, task_id = NULL, rule = NULL, ref = '', reason = ? WHERE {}"
)
SAME_READER = (
    "DELETE FROM given WHERE reader = 'removed' AND id != ? AND EXISTS (SELECT 1 FROM given AS one WHERE one.id = ?"
    " AND one.line = given.line AND one.way = given.way AND one.what = given.what)"
)


async def forget(transaction: Transaction, cipher: Cipher, identifier: str, now: int) -> Forgotten:
    """Erase what is stored about an identifier; see `Store.forget`."""
    line = identifier.casefold()
    await transaction.hold(line)
    every = [(number, _facts(octets)) for number, octets in await transaction.rows("SELECT id, facts FROM mail")]
    mails = [(number, facts) for number, facts in every if names_it(facts, line)]
    whole, shared, count = await _rows(transaction, line, mails, (now, REASON))
    for number, reader in await transaction.rows("SELECT id, reader FROM given"):
        if names(reader, line):
            await transaction.change(SAME_READER, (number, number))
            await transaction.change("UPDATE given SET reader = 'removed' WHERE id = ?", (number,))
    lines = await _journal(transaction, whole, now) + await _named(transaction, line)
    for number, detail in await transaction.rows("SELECT id, detail FROM journal WHERE detail != ''"):
        if names(detail, line):
            lines += await transaction.change("UPDATE journal SET detail = '' WHERE id = ?", (number,))
    await _answers(transaction, cipher, line)
    transaction.erases()
    return Forgotten(mails=len(whole) + shared, deliveries=count, lines=lines)


async def forget_line(transaction: Transaction, cipher: Cipher, identifier: str, now: int) -> None:
    """Erase what is stored about an inbox. All its mails are listed under its name, so the data of others is not searched."""
    line = identifier.casefold()
    await transaction.hold(line)
    query = "SELECT id, facts FROM mail WHERE id IN (SELECT mail_id FROM mail_identifier WHERE line = ?)"
    mails = [(number, _facts(octets)) for number, octets in await transaction.rows(query, (line,))]
    whole, shared, count = await _rows(transaction, line, mails, (now, ENDED))
    if whole or shared or count:
        await _journal(transaction, whole, now)
    await _named(transaction, line)
    await _answers(transaction, cipher, line)


def _facts(octets: bytes) -> Facts:
    return msgspec.msgpack.decode(octets, type=Facts)


async def _rows(
    transaction: Transaction, line: str, mails: Iterable[tuple[int, Facts]], ended: tuple[int, str]
) -> tuple[list[int], int, int]:
    """Erase the rows of an identifier. ``ended`` is when and why. Returns the mails that were for it alone, the number of
    mails that others share, and the number of its deliveries."""
    count = await transaction.change(BLANK_DELIVERIES.format("line = ?"), (*ended, line))
    whole: list[int] = []
    shared = 0
    for number, facts in mails:
        if others_of(facts, line):
            shared += 1
            kept = without(facts, line)
            await transaction.change(SHARED_MAIL, (msgspec.msgpack.encode(kept), kept.sender.lower(), number))
        else:
            whole.append(number)
            count += await transaction.change(BLANK_DELIVERIES.format("mail_id = ? AND line != ''"), (*ended, number))
            empty = msgspec.msgpack.encode(replace(EMPTY, reason=ended[1]))
            await transaction.change(BLANK_MAIL, (os.urandom(DIGEST_LENGTH), empty, number))
            await transaction.change("DELETE FROM given WHERE what = ?", (f"mail {number}",))
            for one in facts.identifiers:
                values = (one.casefold(), number)
                await transaction.change("DELETE FROM mail_identifier WHERE line = ? AND mail_id = ?", values)
    for table in ("mail_identifier", "run", "proven", "site", "given"):
        await transaction.change(f"DELETE FROM {table} WHERE line = ?", (line,))  # noqa: S608
    return whole, shared, count


async def _journal(transaction: Transaction, mails: list[int], now: int) -> int:
    """Remove the lines of mails. A newer line says that something was removed, so that the numbers go on."""
    await tell(transaction, now, "removed", 0)
    count = 0
    for number in mails:
        count += await transaction.change("DELETE FROM journal WHERE mail_id = ?", (number,))
    return count


async def _named(transaction: Transaction, line: str) -> int:
    """Remove the lines that belong to no mail and name the identifier. The newest line stays, empty, so that its number is not
    used again."""
    ((newest,),) = await transaction.rows("SELECT max(id) FROM journal")
    count = 0
    for number, identifier in await transaction.rows("SELECT id, identifier FROM journal WHERE identifier != ''"):
        if is_same(identifier, line):
            count += await transaction.change("DELETE FROM journal WHERE id = ? AND id != ?", (number, newest))
            count += await transaction.change("UPDATE journal SET identifier = '', detail = '' WHERE id = ?", (number,))
    return count


async def _answers(transaction: Transaction, cipher: Cipher, line: str) -> None:
    """Empty the stored answers that name it. It is still known that their requests were done."""
    for key, uid, sealed in await transaction.rows("SELECT key, uid, answer FROM answered WHERE answer IS NOT NULL"):
        opened = cipher.open(sealed, place("answered", uid, None))
        if opened is None or names(opened.decode("utf-8", "replace"), line):
            await transaction.change("UPDATE answered SET answer = NULL WHERE key = ?", (key,))
