"""Which of the live codes a client may have: the part that is the same for every database after its rows are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mailbridge.clock import SteadyClock, from_micros
from mailbridge.core.delivery import Standing
from mailbridge.store.cipher import Cipher
from mailbridge.store.reading import Code, Given, Wanted
from mailbridge.store.rows import open_content

CODE = (
    "id, mail_id, identifier, sender, kind, content, rule, received_at, deadline, workflow_run_id, workflow_id, task_id, uid,"
    " standing, domain"
)
"""The columns of a row here."""

MOST = 1_000
"""The largest number of live rows that are looked at."""


def fitting(rows: Iterable[Any], wanted: Wanted) -> Iterator[Any]:
    """The live rows of an identifier, best first, that may be given to a client with these wishes. Consumed codes are not
    sorted out here."""
    if wanted.is_any_named:  # what a client asks for by name counts as known for that client
        rows = sorted(rows, key=lambda row: not (row[13] == Standing.KNOWN or wanted.names(row[3], row[14])))
    for row in rows:
        bound = row[9] or row[10] or row[11]
        if row[4] not in wanted.kinds or not wanted.is_from(row[3]) or (bound and bound not in wanted.runs):
            continue
        if row[13] == Standing.ASIDE and not wanted.names(row[3], row[14]):
            continue
        yield row


def each_mail_once(rows: Iterable[Any]) -> Iterator[Any]:
    """Rows without repeated mails: a mail that goes to several targets is one code for an identifier."""
    seen = set()
    for row in rows:
        key = (row[1], row[2].casefold())
        if key not in seen:
            seen.add(key)
            yield row


def code_of(row: Any, cipher: Cipher, clock: SteadyClock, *, is_consumed: bool = False) -> Code | None:
    """The code of a row. None if its content is damaged."""
    content = open_content(row[0], row[12], row[5], cipher)
    if content is None:
        return None
    return Code(
        mail_id=row[1],
        identifier=row[2],
        sender=row[3],
        kind=row[4],
        value=content,
        rule=row[6],
        received_at=from_micros(row[7]),
        expires_at=clock.on_wall(row[8]),
        workflow_run_id=row[9],
        workflow_id=row[10],
        task_id=row[11],
        is_consumed=is_consumed,
    )


def what_of(row: Any) -> str:
    """The name of a row in the records of what was given."""
    return f"mail {row[1]}"


def given_of(row: Any) -> Given:
    """A record of what was given, from its columns."""
    return Given(
        identifier=row[0],
        way=row[1],
        reader=row[2],
        what=row[3],
        first_at=from_micros(row[4]),
        last_at=from_micros(row[5]),
        times=row[6],
        is_consumed=bool(row[7]),
    )
