"""The line in a TOML file of each value: of a table, of a key, and of each entry of a list.

`tomllib` gives values without their places. It has already accepted the text, so this only has to find ends, not mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Path = tuple[str | int, ...]

KEY = re.compile(r"""[ \t]*(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([A-Za-z0-9_-]+))[ \t]*""")
STRING = re.compile(r'"{3}(?:[^\\]|\\.)*?"{3,5}|\'{3}.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
BARE = re.compile(r"[^\s,\]}#]+(?: [0-9][^\s,\]}#]*)?")
BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")


def lines_of(text: str) -> Mapping[Path, int]:
    """Each table, key and list entry by its path (``("address", 1, "rcpt")``), with the number of its line, from 1."""
    return _Scanner(text).scan()


class _Scanner:
    """Walks over a text once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._number = 1
        self._counted = 0
        self._found: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}

    def scan(self) -> Mapping[Path, int]:
        """Every path with its line."""
        inside: Path = ()
        while True:
            self._skip()
            if self._at >= len(self._text):
                return self._found
            if self._text[self._at] == "[":
                inside = self._header()
            else:
                self._pair(inside)

    def _line(self) -> int:
        self._number += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._number

    def _skip(self) -> None:
        found = BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _keys(self) -> Path:
        """A key with its dots, as a path."""
        names: list[str | int] = []
        while (found := KEY.match(self._text, self._at)) is not None:
            names.append(next(one for one in found.groups() if one is not None))
            self._at = found.end()
            if self._text[self._at : self._at + 1] != ".":
                break
            self._at += 1
        return tuple(names)

    def _header(self) -> Path:
        """``[table]`` or ``[[table]]``. A path goes through the newest table of each list in it."""
        line = self._line()
        is_list = self._text.startswith("[[", self._at)
        self._at += 2 if is_list else 1
        path: Path = ()
        names = self._keys()
        for place, name in enumerate(names):
            path = (*path, name)
            if is_list and place == len(names) - 1:
                self._tables[path] = self._tables.get(path, -1) + 1
            if path in self._tables:
                path = (*path, self._tables[path])
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end
        self._found.setdefault(path, line)
        return path

    def _pair(self, inside: Path) -> None:
        line = self._line()
        names = self._keys()
        path = inside
        for name in names:
            path = (*path, name)
            self._found.setdefault(path, line)
        self._at = self._text.find("=", self._at) + 1 or len(self._text)
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip()
        if (string := STRING.match(self._text, self._at)) is not None:
            self._at = string.end()
            return
        opened = self._text[self._at : self._at + 1]
        if opened not in ("[", "{"):
            bare = BARE.match(self._text, self._at)
            self._at = bare.end() if bare else len(self._text)
            return
        self._at += 1
        number = 0
        while True:
            self._skip()
            if self._at >= len(self._text) or self._text[self._at] in "]}":
                self._at += 1
                return
            if opened == "[":
                self._found[(*path, number)] = self._line()
                self._value((*path, number))
                number += 1
            else:
                self._pair(path)
            self._skip()
            if self._text[self._at : self._at + 1] == ",":
                self._at += 1
