"""What people add by command or page: entries of the store as tables of the settings, in addition to those in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

import msgspec

from mailbridge.config.checks import check
from mailbridge.config.load import table
from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.settings import (
    AddressSettings,
    ImapSettings,
    NotifySettings,
    RuleTable,
    Section,
    SenderSettings,
    Settings,
    TargetSettings,
)
from mailbridge.config.toml_text import pair
from mailbridge.config.values import written
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret

KINDS = ("address", "imap", "sender", "rule", "target", "notify")
"""The lists of tables that can be extended without a file."""

MAIN = "skyvern"
"""The one section that can be added: `[skyvern]`, the main target with its key. It counts only if file and environment have no
key."""

INGEST = "ingest"
"""`[ingest]`, by service: each entry adds a key, or a value to a list. A key in file or environment comes first."""

LISTS = ("headers", "urls")
"""The keys that contain several secrets."""

ADDABLE = (*KINDS, MAIN, INGEST)
"""Every kind of entry that is a part of the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """One table that was added. ``kind`` and ``values`` are as in the file; a secret stands in ``secrets``, under its key, with a
    dot where it is inside a table (``oauth.client_secret``)."""

    kind: str
    name: str
    values: Mapping[str, Any]
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    at: datetime
    by: str

    @property
    def place(self) -> str:
        """Where the table comes from, for a message."""
        return f"{self.kind} {self.name} (added by {self.by}, {self.at:%Y-%m-%d %H:%M}Z)"


def merged(settings: Settings, added: Sequence[Added]) -> Settings:
    """The settings with everything that was added. Pure.

    Raises:
        ConfigError: an added table has a mistake, or the file has it too. Each problem names its place and the command that
            removes it.
    """
    if not added:
        return settings
    settings, problems = _with_main(settings, added)
    settings, more = _with_ingest(settings, added)
    problems += more
    found: dict[str, list[Section]] = {kind: list(getattr(settings, kind)) for kind in KINDS}
    places: dict[str, list[str]] = {kind: ["the configuration"] * len(found[kind]) for kind in KINDS}
    problems += _doubles(settings, added)
    for one in added:
        if one.kind not in KINDS:
            continue
        try:
            found[one.kind].append(table(one.kind, _whole(one), one.place))
            places[one.kind].append(one.place)
        except ConfigError as fault:
            problems += fault.problems
    whole = msgspec.structs.replace(settings, **{kind: tuple(tables) for kind, tables in found.items()})
    problems += _too_patient(whole, len(settings.target), places)
    if not problems:
        problems += check(whole, lambda section, _, number: _where(places, section, number))
    if problems:
        raise ConfigError(tuple(problems))
    return whole


def has_main(settings: Settings) -> bool:
    """Whether these settings name a key of the main target, or the file that contains it."""
    return settings.skyvern.api_key is not None or settings.skyvern.credentials_file is not None


def removal(kind: str, name: str) -> str:
    """The command that removes what was added."""
    return "mailbridge skyvern remove-key" if kind == MAIN else f"mailbridge {kind} remove {name}"


def _with_main(settings: Settings, added: Sequence[Added]) -> tuple[Settings, list[Problem]]:
    """The settings with the main target that was added. A main target in file or environment comes first."""
    main = next((one for one in added if one.kind == MAIN), None)
    if main is None or has_main(settings):
        return settings, []
    values = _whole(main)
    try:
        section = table(MAIN, values, main.place)
    except ConfigError as fault:
        return settings, list(fault.problems)
    changed = msgspec.structs.replace(settings.skyvern, **{key: getattr(section, key) for key in values})
    return msgspec.structs.replace(settings, skyvern=changed), []


def _with_ingest(settings: Settings, added: Sequence[Added]) -> tuple[Settings, list[Problem]]:
    """The settings with the keys of services that were added. Lists are joined; a single key counts only if there is none yet."""
    problems: list[Problem] = []
    whole = settings.ingest
    for one in added:
        if one.kind != INGEST:
            continue
        listed = {key: [value] if key == "webhook_secrets" else value for key, value in _whole(one).items()}
        try:
            section = table(INGEST, listed, one.place)
        except ConfigError as fault:
            problems += fault.problems
            continue
        changed = {}
        for key in listed:
            before, new = getattr(whole, key), getattr(section, key)
            changed[key] = tuple(dict.fromkeys((*before, *new))) if isinstance(before, tuple) else before or new
        whole = msgspec.structs.replace(whole, **changed)
    return msgspec.structs.replace(settings, ingest=whole), problems


def name_of(section: Section) -> str:
    """What distinguishes a table from others of its kind: an address, or a name."""
    match section:
        case AddressSettings():
            return section.rcpt
        case ImapSettings():
            return section.label
        case SenderSettings():
            return section.label
        case TargetSettings() | RuleTable() | NotifySettings():
            return section.name
        case _:
            raise TypeError(f"{type(section).__name__} is not a list of tables")


def as_toml(added: Sequence[Added]) -> str:
    """The added tables as text of a file. Each secret becomes a comment that names its key."""
    lines: list[str] = []
    listed = sorted(added, key=lambda one: one.kind == INGEST)
    for before, one in zip((None, *listed), listed, strict=False):
        head = [] if before is not None and before.kind == INGEST else [header(one.kind)]
        lines += [f"# added by {one.by}, {one.at:%Y-%m-%d %H:%M}Z", *head]
        lines += [pair(key, value) for key, value in one.values.items()]
        lines += [f'# {key} is kept in the store; name a file: {key.rpartition(".")[2]}_file = "…"' for key in one.secrets]
        lines += [] if one.kind == INGEST else [""]
    return "\n".join(lines)


def header(kind: str) -> str:
    """The first line in TOML of a table of this kind."""
    return f"[{kind}]" if kind in (MAIN, INGEST) else f"[[{kind}]]"


def _doubles(settings: Settings, added: Sequence[Added]) -> Iterator[Problem]:
    for one in added:
        tables = getattr(settings, one.kind) if one.kind in KINDS else ()
        if any(name_of(table).casefold() == one.name.casefold() for table in tables):
            what = f"stands in the configuration's file as well; keep one: `mailbridge {one.kind} remove {one.name}`"
            yield Problem(where=one.place, what=what)


def _too_patient(whole: Settings, first: int, places: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Problems of added targets whose ``grace`` is too long. A start recovers attempts of a killed process before it reads
    what was added, so it does not know a longer ``grace``."""
    longest = TargetSettings(name="").grace
    for number, target in enumerate(whole.target):
        if number >= first and target.grace > longest:
            what = f"[[target]] grace: must be at most {written('target.grace', longest)}; a target that waits longer belongs in the file"
            yield Problem(where=places["target"][number], what=what)


def _where(places: Mapping[str, Sequence[str]], section: str, number: int | None) -> str:
    known = places.get(section, ())
    return known[number] if number is not None and number < len(known) else "the configuration"


def _whole(one: Added) -> dict[str, Any]:
    """Values and secrets as one table. An added table may connect to a private address only if it says so. A list of secrets
    is stored with one secret a line."""
    values: dict[str, Any] = {key: dict(value) if isinstance(value, Mapping) else value for key, value in one.values.items()}
    for key, secret in one.secrets.items():
        outer, _, inner = key.partition(".")
        if inner:
            values.setdefault(outer, {})[inner] = secret.reveal()
        elif key in LISTS:
            values[key] = [line for line in secret.reveal().splitlines() if line.strip()]
        else:
            values[outer] = secret.reveal()
    if one.kind in ("target", "notify") and "url" in one.secrets:
        values.setdefault("allow_private", False)
    return values
