"""Settings from flags, environment, file and defaults, in that order: one result, or all mistakes at once."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from mailbridge.config.checks import check
from mailbridge.config.keys import FIELDS, PREFIX, TABLES, fields_of, inner_section, is_secret, secrets, table_type, variables
from mailbridge.config.lines import Path as LinePath
from mailbridge.config.lines import lines_of
from mailbridge.config.places import DATABASE, drop_ins, find, state_folder
from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.settings import FREE_TEXTS, OCTETS, Section, Settings
from mailbridge.config.stores import SERVERS
from mailbridge.config.texts import must_be_among, sound
from mailbridge.config.values import duration, secret_file, size
from mailbridge.core.complaints import plainly
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret

RESERVED = frozenset(
    {
        "MAILBRIDGE_CONFIG",
        "MAILBRIDGE_DEBUG",
        "MAILBRIDGE_BANNER",
        "MAILBRIDGE_SHARED",
        "MAILBRIDGE_E2E",
        "MAILBRIDGE_PEERS",
        "MAILBRIDGE_TOKEN",
    }
)
BARE = {"SKYVERN_API_KEY": ("skyvern", "api_key"), "SKYVERN_BASE_URL": ("skyvern", "base_url")}
TRUSTED_SECRETS = Path("/run/secrets")
"""Docker's secrets. The host chooses their mode, so it is not checked."""


@lru_cache(maxsize=64)
def _fields_of(kind: type[Section]) -> dict[str, msgspec.structs.FieldInfo]:
    """The keys of a table. Cached: finding them takes as long as reading the table, and there may be thousands of tables."""
    return {one.encode_name: one for one in msgspec.structs.fields(kind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings, the source of each value that is not a default (``section.key``), and the file, if there was one.

    ``drop_ins`` are the files of ``conf.d`` that were read, in order. ``ignored`` are environment variables that begin like ours
    but are not ours: Kubernetes, for example, sets ``MAILBRIDGE_PORT`` and ``MAILBRIDGE_SERVICE_HOST`` for a service called
    mailbridge. ``with_secrets`` are the files that contain a secret itself, each with the place of the first.
    """

    settings: Settings
    origins: Mapping[str, str]
    path: Path | None
    drop_ins: tuple[Path, ...] = ()
    ignored: tuple[str, ...] = ()
    with_secrets: Mapping[Path, str] = field(default_factory=dict)


def load(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, str] | None = None,
    cwd: Path,
) -> Loaded:
    """Load and check. ``overrides`` are ``section.key`` to text, from the command line.

    Raises:
        ConfigError: with every problem found.
    """
    loaded, problems = examine(path, environ=environ, overrides=overrides, cwd=cwd)
    if problems:
        raise ConfigError(problems)
    return loaded


def examine(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, str] | None = None,
    cwd: Path,
) -> tuple[Loaded, tuple[Problem, ...]]:
    """Whatever can be read of a configuration, and every mistake in it. Values that are wrong have their defaults.

    Raises:
        ConfigError: nothing can be read: there is no such file, or it is not TOML.
    """
    found = find(path, environ=environ, cwd=cwd, is_blank=_is_blank)
    reader = _Reader(environ=environ, cwd=cwd, file=found)
    beside = drop_ins(found)
    unreadable: list[Problem] = []
    for number, one in enumerate((*([found] if found is not None else []), *beside)):
        try:
            reader.read_file(one, is_drop_in=found is None or number > 0)
        except ConfigError as fault:
            unreadable += fault.problems
    reader.read_environment()
    reader.read_overrides(overrides or {})
    if unreadable:  # what these files contain is not known, so the whole cannot be checked
        raise ConfigError((*unreadable, *reader.problems))
    settings = reader.settings()
    if not settings.store.url:
        url = f"sqlite:///{state_folder(environ=environ, cwd=cwd) / DATABASE}"
        settings = msgspec.structs.replace(settings, store=msgspec.structs.replace(settings.store, url=url))
    elif settings.store.url.partition(":")[0] in SERVERS and settings.store.folder is None:
        folder = state_folder(environ=environ, cwd=cwd)
        settings = msgspec.structs.replace(settings, store=msgspec.structs.replace(settings.store, folder=folder))
    problems = (*reader.problems, *check(settings, reader.where, is_known_as_wrong=reader.is_broken))
    loaded = Loaded(
        settings=settings,
        origins=reader.origins,
        path=found,
        drop_ins=beside,
        ignored=tuple(reader.ignored),
        with_secrets=reader.with_secrets,
    )
    return loaded, tuple(dict.fromkeys(problems))


def table(section: str, values: Mapping[str, Any], place: str) -> Section:
    """One table of a list, such as an ``[[address]]``, from plain values. ``place`` says where they come from.

    Raises:
        ConfigError: with every problem found.
    """
    reader = _Reader(environ={}, cwd=Path(), file=None)
    built = reader.read_table(section, values, place)
    if built is None or reader.problems:
        raise ConfigError(tuple(reader.problems))
    return built


def _is_blank(path: Path) -> bool:
    """Whether a file sets only defaults, as the manual does."""
    reader = _Reader(environ={}, cwd=path.parent, file=path)
    try:
        reader.read_file(path)
    except ConfigError:
        return False
    return not reader.problems and reader.settings() == Settings() and not reader.problems


class _Reader:
    """Collects values by section and key, and the problems found on the way."""

    def __init__(self, *, environ: Mapping[str, str], cwd: Path, file: Path | None) -> None:
        self._environ = environ
        self._cwd = cwd
        self._file = file
        self._lines: Mapping[LinePath, int] = {}
        self._reading: Path | None = None
        self.with_secrets: dict[Path, str] = {}
        self._broken: set[tuple[str, int | None, str]] = set()
        self._dropped: dict[str, str] = {}
        self._places: dict[str, list[str]] = {}
        self._items: dict[str, list[str]] = {}
        self._values: dict[str, dict[str, Any]] = {name: {} for name in FIELDS if name not in TABLES}
        self._tables: dict[str, list[Any]] = {}
        self.origins: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.ignored: list[str] = []

    def read_file(self, path: Path, *, is_drop_in: bool = False) -> None:
        """Read a TOML file. A drop-in overrides the file next to it, and adds to its lists of tables.

        Two drop-ins that set the same key are a mistake, since nobody can know which one is meant.
        """
        self._file = path
        try:
            text = path.read_text(encoding="utf-8-sig")  # editors on Windows begin a file with a byte order mark
            content = tomllib.loads(text)
        except OSError as fault:
            what, is_permission = f"cannot be read: {fault.strerror}", isinstance(fault, PermissionError)
            raise ConfigError((Problem(where=str(path), what=what, is_permission=is_permission),)) from None
        except UnicodeDecodeError:
            raise ConfigError((Problem(where=str(path), what="is not UTF-8 text"),)) from None
        except tomllib.TOMLDecodeError as fault:
            raise ConfigError((Problem(where=str(path), what=f"not TOML: {fault}"),)) from None
        self._lines = lines_of(text)
        self._reading = path
        for section, entries in content.items():
            where = self._line(section)
            if section not in FIELDS:
                self._unknown(where, section, FIELDS, "", "section")
            elif section in TABLES:
                self._read_tables(section, entries, where, self._headers(section, entries))
            elif not isinstance(entries, dict):
                self._problem(where, f"{section} must be a section: [{section}]")
            else:
                for key, value in entries.items():
                    place = self._line(section, key)
                    if is_drop_in and self._dropped.setdefault(f"{section}.{key}", place) != place:
                        self._problem(place, f"[{section}] {key}: is set in {self._dropped[f'{section}.{key}']} too; keep one")
                    self.put(section, key, value, place)
                    self._items[f"{section}.{key}"] = self._item_lines(section, key, value)
                for key in entries:
                    if key.endswith("_file") and key.removesuffix("_file") in entries:
                        self._problem(
                            self._line(section, key), f"[{section}] {key}: {key.removesuffix('_file')} is there too; keep one"
                        )

    def read_environment(self) -> None:
        """Read the environment, and secrets from the files that the environment or systemd names."""
        self._reading = None
        for name, value in sorted(self._environ.items()):
            if name in BARE and value:
                section, key = BARE[name]
                self.put(section, key, value, f"${name}")
        self._read_credentials()
        for name, value in sorted(self._environ.items()):
            if not name.startswith(PREFIX) or name in RESERVED:
                continue
            if name.endswith("_FILE") and not value:
                continue  # a Compose overlay can empty a variable but not remove it
            section, _, key = name.removeprefix(PREFIX).lower().partition("__")
            where = f"${name}"
            if section in TABLES and not key:
                self._tables.pop(section, None)
                self._places.pop(section, None)
                self._read_tables(section, self._parsed(value, where, section), where, ())
            elif not key:
                self._not_ours(name, section)
            elif section not in self._values:
                self._unknown(where, name, variables(), "", "variable")
            elif key.endswith("_file") and is_secret(section, key.removesuffix("_file")):
                self._put_secret_file(section, key.removesuffix("_file"), Path(value), where)
            else:
                self.put(section, key, self._from_text(section, key, value), where)

    def read_overrides(self, overrides: Mapping[str, str]) -> None:
        """Read the command line. It may set no secret, because everybody on the machine can read a command line."""
        for name, value in overrides.items():
            section, _, key = name.partition(".")
            where = f"--set {name}"
            if section not in self._values:
                self._unknown(where, section, self._values, "", "section")
            elif is_secret(section, key):
                self._problem(where, f"a secret on a command line can be read by everybody; use --set {name}_file=PATH")
            else:
                self.put(section, key, self._from_text(section, key, value), where)

    def _not_ours(self, name: str, rest: str) -> None:
        """Note a variable without ``__`` as somebody else's, unless only its second ``_`` is missing."""
        meant = [one for one in variables() if one.removeprefix(PREFIX).lower().replace("__", "_") == rest]
        if meant:
            self._problem(f"${name}", f"unknown variable; did you mean {meant[0]}?")
        else:
            self.ignored.append(name)

    def _read_credentials(self) -> None:
        for section, key in secrets():
            path = self._credential(section, key)
            if path is not None:
                self._put_secret_file(section, key, path, f"$CREDENTIALS_DIRECTORY/{path.name}", is_mode_checked=False)

    def _credential(self, section: str, key: str) -> Path | None:
        """The file in which systemd passes a secret; None if there is none."""
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        path = Path(folder) / f"{section}_{key}" if folder else None
        return path if path is not None and path.is_file() else None

    def put(self, section: str, key: str, value: object, where: str) -> None:
        """Store one value, converted to the type that the settings want there."""
        fields = fields_of(section)
        if key.endswith("_file") and key not in fields and key.removesuffix("_file") in fields:
            secret = key.removesuffix("_file")
            if is_secret(section, secret) and isinstance(value, str):
                self._put_secret_file(section, secret, self._path(value), where)
                return
        if key not in fields:
            self._unknown(where, key, fields, f"[{section}] ", "key")
            return
        try:
            self._values[section][key] = self._convert(section, key, fields[key].type, value)
            if is_secret(section, key):
                self._note_secret(where)
            self.origins[f"{section}.{key}"] = where
            self._items.pop(f"{section}.{key}", None)
        except (ValueError, msgspec.ValidationError) as fault:
            self._broken.add((section, None, key))
            self._problem(where, f"[{section}] {key}: {_plainly(fault)}")

    def _note_secret(self, place: str) -> None:
        """Note that the file that is being read contains a secret."""
        if self._reading is not None:
            self.with_secrets.setdefault(self._reading, place)

    def settings(self) -> Settings:
        """The collected values over the defaults."""
        built: dict[str, Any] = {name: FIELDS[name].__class__(**values) for name, values in self._values.items()}
        built |= {name: tuple(entries) for name, entries in self._tables.items()}
        return Settings(**built)

    def is_broken(self, section: str, number: int | None, key: str) -> bool:
        """Whether a mistake in this value is already noted, so that its consequences are not reported too."""
        return (section, number, key) in self._broken

    def where(self, section: str, key: str, number: int | None = None) -> str:
        """Where a value came from, for a problem found later. ``number`` counts the tables of a list, or the entries of a key,
        from 0."""
        places = self._places.get(section, [])
        items = self._items.get(f"{section}.{key}", [])
        if section not in TABLES and number is not None and number < len(items):
            return items[number]
        if number is not None and number < len(places):
            return places[number]
        return self.origins.get(f"{section}.{key}") or self.origins.get(section) or str(self._file or "configuration")

    def _read_tables(self, section: str, entries: object, where: str, headers: Sequence[str]) -> None:
        """Add a list of tables. ``headers`` are the places of their ``[[section]]`` lines, if they are written so."""
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self._problem(where, f"{section} must be a list of tables: [[{section}]]")
            return
        kind = table_type(section)
        are_found = len(headers) == len(entries)
        for number, entry in enumerate(entries):
            place = headers[number] if are_found else f"{where} ([[{section}]] number {number + 1})"
            table = self._table(kind, entry, place, f"[[{section}]]", section)
            if table is not None:
                self._tables.setdefault(section, []).append(table)
                self._places.setdefault(section, []).append(place)
        self.origins[section] = where

    def read_table(self, section: str, values: Mapping[str, Any], place: str) -> Section | None:
        """One table of a list; None if a mistake was noted."""
        return self._table(table_type(section), values, place, f"[[{section}]]", section)

    def _table(self, kind: type[Section], entry: Mapping[str, Any], place: str, label: str, section: str) -> Section | None:
        """One table of a list, or a table inside it; None if a mistake was noted."""
        fields = _fields_of(kind)
        values: dict[str, Any] = {}
        number = len(self._places.get(section, []))
        for key, value in entry.items():
            plain = key.removesuffix("_file")
            try:
                if key not in fields and plain in fields and Secret in get_args(fields[plain].type) and isinstance(value, str):
                    secret = secret_file(self._path(value), is_mode_checked=True)
                    values[plain] = _lines(secret) if get_origin(fields[plain].type) is tuple else secret
                elif key not in fields:
                    self._unknown(place, key, fields, f"{label} ", "key")
                elif (inner := inner_section(fields[key].type)) is not None and isinstance(value, dict):
                    values[key] = self._table(inner, value, place, f"{label} {key}", section)
                else:
                    values[key] = self._convert(section, key, fields[key].type, value)
                    if Secret in get_args(fields[key].type):
                        self._note_secret(place)
            except (ValueError, OSError, msgspec.ValidationError) as fault:
                self._broken.add((section, number, plain))
                self._problem(place, f"{label} {key}: {_plainly(fault)}", is_permission=isinstance(fault, PermissionError))
        wanted = [name for name, one in fields.items() if one.required and name not in values]
        missing = [name for name in wanted if (section, number, name) not in self._broken]
        if missing:
            self._problem(place, f"{label} needs {', '.join(missing)}")
        return None if wanted else kind(**{fields[name].name: value for name, value in values.items() if value is not None})

    def _convert(self, section: str, key: str, kind: Any, value: object) -> Any:
        if kind is timedelta:
            return duration(value)
        if f"{section}.{key}" in OCTETS:
            return size(value)
        if Path in (kind, *get_args(kind)) and get_origin(kind) is not tuple:
            return self._path(sound(msgspec.convert(value, str), str | None))
        if get_origin(kind) is tuple and get_args(kind)[0] is Path:
            return tuple(self._path(one) for one in sound(tuple(msgspec.convert(value, list[str])), kind))
        if get_origin(kind) is tuple and get_args(kind)[0] is Secret:
            return tuple(_secret(one) for one in msgspec.convert(value, list[str]))
        if Secret in get_args(kind):
            return _secret(msgspec.convert(value, str))
        if f"{section}.{key}" in FREE_TEXTS:
            return msgspec.convert(value, kind)
        must_be_among(value, kind)
        return sound(msgspec.convert(value, kind), kind)

    def _path(self, text: str) -> Path:
        """A path, relative to the folder of the file that names it, so that a configuration can be moved as a whole."""
        base = self._file.resolve().parent if self._file is not None else self._cwd
        return base / Path(text).expanduser()

    def _put_secret_file(self, section: str, key: str, path: Path, where: str, *, is_mode_checked: bool = True) -> None:
        is_docker = TRUSTED_SECRETS in path.parents
        try:
            secret = secret_file(path, is_mode_checked=is_mode_checked and not is_docker)
            is_list = get_origin(fields_of(section)[key].type) is tuple
            self._values[section][key] = _lines(secret) if is_list else secret
            self.origins[f"{section}.{key}"] = f"{where} ({path})"
        except OSError as fault:
            if isinstance(fault, PermissionError) and self._reading is not None and self._credential(section, key) is not None:
                return  # systemd can read this file and passes it on; that copy counts, and is read later
            self._broken.add((section, None, key))
            self._problem(where, f"{path}: cannot be read: {fault.strerror}", is_permission=isinstance(fault, PermissionError))
        except ValueError as fault:
            self._broken.add((section, None, key))
            self._problem(where, str(fault))

    def _from_text(self, section: str, key: str, value: str) -> object:
        """A variable's text in the type of its key: lists by comma or as TOML, numbers and booleans as TOML."""
        fields = fields_of(section)
        kind = fields[key].type if key in fields else str
        if any(get_origin(one) is tuple for one in (kind, *get_args(kind))):
            if value.lstrip().startswith("["):
                return self._parsed(value, f"${PREFIX}{section.upper()}__{key.upper()}", key)
            return [part.strip() for part in value.split(",") if part.strip()]
        if kind is bool or kind is int:
            return self._parsed(value, f"${PREFIX}{section.upper()}__{key.upper()}", key) if _is_plain(value) else value
        return value

    def _parsed(self, value: str, where: str, key: str) -> object:
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            self._problem(where, f"{key}: not a TOML value")
            return []

    def _line(self, section: str, key: str | None = None) -> str:
        """``file:line`` of a section or of a key in it."""
        path: LinePath = (section,) if key is None else (section, key)
        line = self._lines.get(path) or (self._lines.get((section, 0)) if key is None else None)
        return f"{self._file}:{line}" if line else str(self._file)

    def _headers(self, section: str, entries: object) -> list[str]:
        """``file:line`` of each table of a list."""
        count = len(entries) if isinstance(entries, list) else 0
        lines = [self._lines.get((section, number)) for number in range(count)]
        return [f"{self._file}:{line}" for line in lines if line]

    def _item_lines(self, section: str, key: str, value: object) -> list[str]:
        """``file:line`` of each entry of a list."""
        count = len(value) if isinstance(value, list) else 0
        return [f"{self._file}:{self._lines.get((section, key, number), 0)}" for number in range(count)]

    def _unknown(self, where: str, name: str, known: Mapping[str, Any], before: str, what: str) -> None:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        self._problem(where, f"{before}{name}: unknown {what}; {hint}")

    def _problem(self, where: str, what: str, *, is_permission: bool = False) -> None:
        self.problems.append(Problem(where=where, what=what, is_permission=is_permission))


def _secret(text: str) -> Secret:
    if not text.strip():
        raise ValueError("is empty")
    return Secret(text.strip())


def _lines(secret: Secret) -> tuple[Secret, ...]:
    """The secrets in a text with one secret a line."""
    return tuple(Secret(line.strip()) for line in secret.reveal().splitlines() if line.strip())


def _is_plain(value: str) -> bool:
    return bool(re.fullmatch(r"\d+|true|false", value))


IN_TOML = {
    "must be a list": ', in brackets, such as ["…"]',
    "must be a text": ", in quotes",
    "must be true or false": ", without quotes",
}
"""How to write a value of each type in the file."""


def _plainly(fault: Exception) -> str:
    """A converter's complaint in our words, without the value."""
    if isinstance(fault, OSError):
        return f"{fault.filename}: {fault.strerror}"
    words = plainly(ValueError(re.sub(r" - at .*$", "", str(fault))))
    return f"{words}{IN_TOML.get(words, '')}"
