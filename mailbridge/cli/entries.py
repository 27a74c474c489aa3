"""Tables of the configuration as commands show them: those of the file, and those that were added."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import to_builtins

from mailbridge.cli.client import Client, fail
from mailbridge.cli.printing import local
from mailbridge.config.added import Added
from mailbridge.core.secret import Secret
from mailbridge.operator import verbs
from mailbridge.operator.addresses import OwnAddress, own_recipient
from mailbridge.operator.entries import EntryList, file_entries
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.shapes import EntryShape


def entries(one: Client, kind: str = "") -> Sequence[EntryShape]:
    """Every table of a kind, or of all. Where there is no database yet those of the file are all that there is."""
    found = one.attempt(verbs.ENTRY_LIST, EntryList(kind=kind))
    if not isinstance(found, Fault):
        return found.entries
    if found.kind is not Kind.NO_DAEMON or one.has_database:
        fail(found)
    return file_entries(one.loaded.settings, kind)


def added(one: Client) -> Sequence[Added]:
    """What was added, as the configuration knows it; a secret is its name and a mask."""
    return [
        Added(
            kind=entry.kind,
            name=entry.name,
            values=to_builtins(entry.settings),
            secrets={name: Secret("***") for name in entry.secrets},
            at=datetime.fromisoformat(entry.at),
            by=entry.by or "",
        )
        for entry in entries(one)
        if entry.at is not None
    ]


def own_address(one: Client, identifier: str = "") -> str:
    """The address for mail of an identifier, or the first address; without a database, the one of the file."""
    found = one.attempt(verbs.ADDRESS_OWN, OwnAddress(identifier=identifier))
    if not isinstance(found, Fault):
        return found.rcpt
    if found.kind is not Kind.NO_DAEMON or one.has_database:
        fail(found)
    own = own_recipient(one.loaded.settings, identifier)
    return own if isinstance(own, str) else fail(own)


def origin_of(one: Client, entry: EntryShape) -> str:
    """The origin of a table: a file, the environment, or who added it and when."""
    if entry.at is None:
        return str(one.loaded.origins.get(entry.kind, "configuration"))
    return f"added by {entry.by}, {local(entry.at)}"
