"""The database's shape as numbered files of SQL, applied in their order and never changed once they are released.

The number of a file is the version that it makes (``PRAGMA user_version``). Where SQL alone cannot fill what is new, a step in
`STEPS` follows its file in the same transaction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import resources
from types import MappingProxyType

import apsw

from mailbridge.store.sqlite.migrations.filling import senders_and_identifiers

NAME = re.compile(r"(\d{4})\.sql")

Step = Callable[[apsw.Connection], None]

STEPS: Mapping[int, Step] = MappingProxyType({3: senders_and_identifiers})
"""What a file of this number cannot do in SQL alone."""


def files() -> dict[int, str]:
    """The text of every file by its number."""
    found = {}
    for one in resources.files(__name__).iterdir():
        match = NAME.fullmatch(one.name)
        if match is not None:
            found[int(match[1])] = one.read_text(encoding="utf-8")
    return dict(sorted(found.items()))


def newest() -> int:
    """The version of a database that is up to date. One with a higher version was written by a newer mailbridge."""
    return max(files())


def apply(connection: apsw.Connection, *, to: int | None = None) -> None:
    """Bring a database of whatever version up to date, or up to the version ``to``. Belongs into a transaction of the caller's.

    Raises:
        apsw.Error: it cannot be done; the caller rolls everything back.
    """
    version = int(connection.pragma("user_version"))
    for number, text in files().items():
        if version < number <= (to or number):
            connection.execute(text)
            if number in STEPS:
                STEPS[number](connection)
            connection.pragma("user_version", number)
