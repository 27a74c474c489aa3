"""One wording file: the words of one language by their kind, checked, each mistake named with file, line and key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from mailbridge.core.dataclass import dataclass
from mailbridge.core.entries import Morphology, faults
from mailbridge.core.script import folded, normal

WORD_TABLES = (
    *("code", "other", "idiom", "enter", "act", "expiry", "minutes", "hours"),
    *("once", "secret", "subject", "meeting", "number"),
)
"""Tables of ``words`` with the ``proof`` of each."""

LISTS: Mapping[str, tuple[str, ...]] = {
    "code": ("words", "generic"),
    "link": ("reset", "notice", "invited", "threat", "account", "idle", "signing"),
    "forward": ("from", "to", "date", "subject", "prefix", "reply", "mark", "wrote", "afternoon"),
    "grammar": ("and", "of", "purpose", "place"),
    "months": ("names",),
}
"""The lists of each table; ``words`` where a table is not named here."""

PLAIN = frozenset({"forward", "grammar", "months"})
"""Tables whose entries are taken as they stand, without ``*`` and ``~``."""

NUMERALS = ("1", "2", "3", "5", "10", "15", "20", "24", "30", "45", "60")
"""The numbers that lifetimes are told in: ten minutes, 24 hours."""

MONTHS = 12
PLACES = re.compile(r"\(at line (\d+), column \d+\)")


class WordingError(ValueError):
    """A wording file has mistakes: ``problems``, each ``file:line: what is wrong``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The words of a language by list (``code``, ``code.generic``, ``link.reset`` …), and the sentence that proves each table.

    ``months`` and ``numerals`` give the number that a name stands for.
    """

    origin: str
    name: str
    morphology: Morphology = field(default_factory=Morphology)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    proofs: Mapping[str, str] = field(default_factory=dict)
    months: Mapping[str, int] = field(default_factory=dict)
    numerals: Mapping[str, int] = field(default_factory=dict)


def read_language(origin: str, text: str) -> Language:
    """Read one wording file.

    Raises:
        WordingError: every mistake of the file, each with its line.
    """
    try:
        content = content_of(text)
    except tomllib.TOMLDecodeError as fault:
        place = PLACES.search(str(fault))
        reason = PLACES.sub("", str(fault)).strip()
        raise WordingError([f"{origin}:{place[1] if place else len(text.splitlines())}: {reason}"]) from None
    reader = _Reader(origin, text)
    language = reader.read(content)
    if reader.problems:
        raise WordingError(reader.problems)
    return language


def content_of(text: str) -> dict[str, Any]:
    """What tomllib reads, in a tenth of its time where each value stands on one line and is JSON too, as in the shipped files."""
    content: dict[str, Any] = {}
    table = content
    for line in text.split("\n"):
        if not line or line[0] == "#":
            continue
        if line[0] == "[" and line[-1] == "]":
            name = line[1:-1]
            if not name.isalpha() or name in content:
                return tomllib.loads(text)
            table = content[name] = {}
            continue
        key, separator, value = line.partition(" = ")
        if not separator or not key.isalnum() or key in table:
            return tomllib.loads(text)
        try:
            table[key] = json.loads(value)
        except ValueError:
            return tomllib.loads(text)
    return content


class _Reader:
    """Takes a file's tables one by one and keeps the mistakes."""

    def __init__(self, origin: str, text: str) -> None:
        self.problems: list[str] = []
        self._origin = origin
        self._lines = text.splitlines()
        self._morphology = Morphology()

    def read(self, content: dict[str, Any]) -> Language:
        """The language, as far as the file is right."""
        name = content.pop("name", None)
        if not isinstance(name, str) or not name:
            self._report("", "", "needs a name: the language in English")
        self._morphology = Morphology(
            endings=self._strings("", "endings", content.pop("endings", [])),
            proclitics=self._strings("", "proclitics", content.pop("proclitics", [])),
        )
        lists: dict[str, tuple[str, ...]] = {}
        proofs: dict[str, str] = {}
        numerals: dict[str, int] = {}
        for table, entry in content.items():
            if table not in WORD_TABLES and table not in LISTS and table != "numerals":
                known = ", ".join(f"[{one}]" for one in dict.fromkeys((*WORD_TABLES, *LISTS, "numerals")))
                self._report(table, "", f"is unknown; known are {known}")
            elif not isinstance(entry, dict):
                self._report(table, "", "needs to be a table")
            elif table == "numerals":
                numerals = dict(self._numerals(entry))
            else:
                lists.update(self._lists(table, entry, proofs))
        return Language(
            origin=self._origin,
            name=str(name),
            morphology=self._morphology,
            words={key: entries for key, entries in lists.items() if key != "months.names"},
            proofs=proofs,
            months=dict(self._months(lists.get("months.names", ()))),
            numerals=numerals,
        )

    def _lists(self, table: str, entry: dict[str, Any], proofs: dict[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
        known = LISTS.get(table, ("words",))
        for key, value in entry.items():
            if key == "proof" and table in WORD_TABLES:
                if isinstance(value, str) and value.strip():
                    proofs[table] = value
                else:
                    self._report(table, key, "needs to be a sentence")
            elif key not in known:
                self._report(table, key, f"is unknown; known are {', '.join(known)}")
            else:
                listed = self._strings(table, key, value)
                yield (table if key == "words" else f"{table}.{key}"), self._checked(table, key, listed)
        if table in WORD_TABLES and "words" not in entry:
            self._report(table, "", "needs words = a list of words")

    def _strings(self, table: str, key: str, value: object) -> tuple[str, ...]:
        if isinstance(value, list) and set(map(type, value)) <= {str} and all(map(str.strip, value)):
            return normal(value) if value else ()
        self._report(table, key, f"needs {key} = a list of words")
        return ()

    def _checked(self, table: str, key: str, listed: tuple[str, ...]) -> tuple[str, ...]:
        """The entries, with each that means nothing reported."""
        if table in PLAIN:
            return listed
        listed = tuple("\n".join(listed).casefold().split("\n")) if listed else ()
        for entry, reason in faults(listed, self._morphology):
            self._report(table, key, f"{entry!r} {reason}")
        return listed

    def _months(self, names: tuple[str, ...]) -> Iterator[tuple[str, int]]:
        if names and len(names) != MONTHS:
            self._report("months", "names", f"needs twelve entries, January first, and has {len(names)}")
            return
        for number, entry in enumerate(names, 1):
            for name in entry.split():
                yield folded(name), number

    def _numerals(self, entry: dict[str, Any]) -> Iterator[tuple[str, int]]:
        for key, value in entry.items():
            if key not in NUMERALS:
                self._report("numerals", key, f"is unknown; known are {', '.join(NUMERALS)}")
                continue
            for name in self._strings("numerals", key, value):
                yield folded(name).replace("-", " "), int(key)

    def _report(self, table: str, key: str, reason: str) -> None:
        name = f"[{table}] {key}".strip() if table else key
        self.problems.append(f"{self._origin}:{self._line(table, key)}: {name} {reason}".replace(":  ", ": "))

    def _line(self, table: str, key: str) -> int:
        """Where a key of a table stands, or the table itself; the file's first line where neither does."""
        begin = 0
        if table:
            begin = next((at for at, line in enumerate(self._lines) if line.strip() == f"[{table}]"), -1)
            if begin < 0:
                return next((at for at, line in enumerate(self._lines, 1) if line.startswith(table)), 1)
        for at in range(begin, len(self._lines)):
            line = self._lines[at].strip()
            if at > begin and line.startswith("["):
                break
            if key and re.match(rf"{re.escape(key)}\s*=", line):
                return at + 1
        return begin + 1
