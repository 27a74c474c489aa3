"""Entries: what people add in place of a file (addresses, mailboxes …), checked with the configuration as a whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from mailbridge.config.added import ADDABLE, KINDS, MAIN, Added, merged, name_of, removal
from mailbridge.config.problems import ConfigError
from mailbridge.config.secrets import secrets_of
from mailbridge.config.settings import Section, Settings
from mailbridge.config.values import written
from mailbridge.core.secret import Secret
from mailbridge.operator.asks import Ask, Text
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.parts import Configuration
from mailbridge.operator.shapes import Done, EntryPage, EntryShape
from mailbridge.operator.shown import stamp
from mailbridge.store import entries as store

KIND = "|".join(ADDABLE)
AddedKind = Annotated[str, msgspec.Meta(pattern=f"^(?:{KIND})$")]


class EntryList(Ask, frozen=True, kw_only=True):
    """Of which kind; "" for all."""

    kind: Annotated[str, msgspec.Meta(pattern=f"^(?:{KIND})?$")] = ""


class AddEntry(Ask, frozen=True, kw_only=True):
    """A table: ``settings`` as a file would hold it, secrets excepted, which are kept encrypted."""

    kind: AddedKind
    name: Text
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    secrets: dict[str, Text] = msgspec.field(default_factory=dict)


class OneEntry(Ask, frozen=True, kw_only=True):
    """A table that was added, by kind and name."""

    kind: AddedKind
    name: Text


async def additions(entries: store.Entries) -> tuple[Added, ...]:
    """Everything that was added, oldest first, as the settings want it.

    Raises:
        StoreUnavailable: it cannot be read now.
    """
    found = []
    for one in await entries.entries():
        if one.kind in ADDABLE:
            secrets = await entries.secrets(one.kind, one.name) if one.secrets else {}
            found.append(
                Added(kind=one.kind, name=one.name, values=one.settings, secrets=secrets, at=one.added_at, by=one.added_by)
            )
    return tuple(found)


class EntryVerbs:
    """The verbs of entries, for every kind of table that can be added."""

    def __init__(self, *, entries: store.Entries, configuration: Configuration) -> None:
        self._entries = entries
        self._configuration = configuration

    async def find(self, ask: EntryList) -> EntryPage | Fault:
        """The tables of the file, then those that were added; secrets by name alone."""
        kind = ask.kind
        shapes = file_entries(self._configuration.base, kind)
        added = [one for one in await self._entries.entries(kind or None) if one.kind in ADDABLE]
        shapes += [
            EntryShape(
                kind=one.kind,
                name=one.name,
                settings=dict(one.settings),
                secrets=list(one.secrets),
                by=one.added_by,
                at=stamp(one.added_at),
            )
            for one in added
        ]
        return EntryPage(entries=shapes)

    async def add(self, ask: AddEntry, by: str, *, replaces: str = "") -> Done | Fault:
        """Add a table, if the configuration with it is one that would be taken; it is in force when this is answered.

        ``replaces`` names one of its kind that was added before, and is gone then; "" for none.
        """
        if ask.kind == MAIN and ask.name != MAIN:
            return Fault(kind=Kind.BAD_CONFIG, title=f"name: the main target is called {MAIN}")
        secrets = {key: Secret(value) for key, value in ask.secrets.items()}
        known = await additions(self._entries)
        old = next((one for one in known if replaces and (one.kind, one.name) == (ask.kind, replaces)), None)
        if replaces and old is None:
            return _not_added(ask.kind, replaces)
        known = tuple(one for one in known if one is not old)
        if any(one.kind == ask.kind and one.name.casefold() == ask.name.casefold() for one in known):
            what = f"{ask.kind} {ask.name} is there already; `{removal(ask.kind, ask.name)}` first"
            return Fault(kind=Kind.EXISTS, title=what)
        mine = Added(kind=ask.kind, name=ask.name, values=ask.settings, secrets=secrets, at=datetime.now(UTC), by=by)
        try:
            merged(self._configuration.base, (*known, mine))
        except ConfigError as fault:
            return bad_config(fault)
        is_new = old is None or old.name != ask.name
        if not await self._entries.put(ask.kind, ask.name, ask.settings, by=by, secrets=secrets, is_new=is_new):
            return Fault(kind=Kind.EXISTS, title=f"{ask.kind} {ask.name} is there already")
        if old is not None and is_new:
            await self._entries.remove(old.kind, old.name)
        return await self._taken(undo=mine, old=old)

    async def remove(self, ask: OneEntry) -> Done | Fault:
        """Forget a table that was added. One that stands in the file stays, and that is said."""
        known = [
            one.name
            for one in await additions(self._entries)
            if one.kind == ask.kind and one.name.casefold() == ask.name.casefold()
        ]
        if not known or not await self._entries.remove(ask.kind, known[0]):
            return _not_added(ask.kind, ask.name)
        return await self._taken()

    async def _taken(self, *, undo: Added | None = None, old: Added | None = None) -> Done | Fault:
        """Bring it into force. What cannot be (a certificate that is missing, for instance) is taken out again, and ``old`` put back."""
        try:
            await self._configuration.take_additions()
        except ConfigError as fault:
            if undo is not None:
                await self._entries.remove(undo.kind, undo.name)
            if old is not None:
                await self._entries.put(old.kind, old.name, old.values, by=old.by, secrets=old.secrets)
            return bad_config(fault)
        return Done()


def file_entries(settings: Settings, kind: str = "") -> list[EntryShape]:
    """The tables of file and environment, of a kind or of all; secrets by name alone."""
    kinds = [one for one in KINDS if kind in ("", one)]
    return [_of_file(one, table) for one in kinds for table in getattr(settings, one)]


def _not_added(kind: str, name: str) -> Fault:
    what = f"no {kind} {name} was added by command; `mailbridge {kind} list` lists those that were added, and those of a file"
    return Fault(kind=Kind.NOT_FOUND, title=what)


def bad_config(fault: ConfigError) -> Fault:
    """Every mistake of a configuration."""
    problems = tuple(str(problem) for problem in fault.problems)
    kind = Kind.FORBIDDEN if all(one.is_permission for one in fault.problems) else Kind.BAD_CONFIG
    return Fault(kind=kind, title=problems[0] if len(problems) == 1 else "the configuration has mistakes", problems=problems)


def _of_file(kind: str, table: Section) -> EntryShape:
    secret = [name for name, _ in secrets_of(table)]
    hidden = {name.partition(".")[0] for name in secret}
    keys = zip(table.__struct_encode_fields__, table.__struct_fields__, strict=True)
    plain = {key: written(f"{kind}.{key}", getattr(table, field)) for key, field in keys if field not in hidden}
    values = {key: value for key, value in plain.items() if value not in (None, [], ())}
    return EntryShape(
        kind=kind, name=name_of(table), settings=msgspec.to_builtins(values, enc_hook=str), secrets=secret, by=None, at=None
    )
