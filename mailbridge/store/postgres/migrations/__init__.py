"""The database's schema as numbered SQL files. They are applied in order and never changed after their release.

The number of a file is the version that it makes. `RUNS_FROM` is the oldest version whose release still runs on the newest one:
while replicas are upgraded one after the other, the older release works on the newer schema.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

NAME = re.compile(r"(\d{4})\.sql")
TABLE = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)
RUNS_FROM = 1
PATIENCE = 3_600.0
"""Seconds that one file may take. An index over millions of rows takes minutes."""

MIGRATE = 0x6D61696C02
"""The advisory lock for reading the version and changing the schema."""


def files() -> dict[int, str]:
    """The text of every file by its number."""
    found = {}
    for one in resources.files(__name__).iterdir():
        match = NAME.fullmatch(one.name)
        if match is not None:
            found[int(match[1])] = one.read_text(encoding="utf-8")
    return dict(sorted(found.items()))


def tables() -> set[str]:
    """The tables of a database that is up to date."""
    return {name for text in files().values() for name in TABLE.findall(text)}


def newest() -> int:
    """The version of a database that is up to date."""
    return max(files())


async def apply(connection: Any, version: int) -> None:
    """Bring a database of ``version`` up to date, in a transaction of the caller, who holds the lock `MIGRATE`.

    Raises:
        asyncpg.PostgresError: it failed; the caller rolls everything back.
    """
    for number, text in files().items():
        if number > version:
            await connection.execute(text, timeout=PATIENCE)
    for name, value in (("version", newest()), ("runs from", RUNS_FROM)):
        await connection.execute(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            name,
            str(value),
        )
