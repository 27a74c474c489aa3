"""Output of commands: tables with headers for people, one JSON object a line for scripts. Text from mails is escaped for the
terminal: it can neither move the cursor nor end a line.

A mail's words can neither move the cursor nor end a line.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from msgspec import to_builtins

from mailbridge.core.dataclass import dataclass
from mailbridge.logs import CONTROL, escaped

NARROWEST = 80
"""Columns of a terminal that every table fits into."""

INDENT = "        "
MEANINGFUL = frozenset({"mail_from", "detail"})
"""Keys whose empty text is a value: the null sender of RFC 5321, and a line of the journal that says it all by its event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table; the last one takes the rest of the line."""

    title: str
    width: int
    is_right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a table: its cells, the colour of one of them, and sentences below it."""

    cells: Sequence[str]
    coloured: int | None = None
    colour: str | None = None
    details: Sequence[str] = ()


class Table:
    """Prints rows as they come, the header before the first of them. On a terminal a long cell is cut; in a pipe nothing is."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._is_begun = False
        self._is_terminal = sys.stdout.isatty()
        self._width = max(shutil.get_terminal_size((NARROWEST, 24)).columns, NARROWEST)

    def add(self, row: Row) -> None:
        """Print a row."""
        if not self._is_begun:
            self._is_begun = True
            click.secho(self._line(Row(cells=[one.title for one in self._columns])), bold=True)
        click.echo(self._line(row))
        for detail in row.details:
            for line in self._wrapped(visible(detail)):
                click.echo(line)

    def end(self, empty: str) -> None:
        """Report an empty list, on stderr, so that a script reads nothing."""
        if not self._is_begun:
            click.echo(f"mailbridge: {empty}", err=True)

    def _wrapped(self, text: str) -> list[str]:
        if not self._is_terminal:
            return [f"{INDENT}{text}"]
        return textwrap.wrap(text, self._width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)

    def _line(self, row: Row) -> str:
        parts: list[str] = []
        used = 0
        last = len(self._columns) - 1
        for number, (column, cell) in enumerate(zip(self._columns, row.cells, strict=True)):
            width = column.width if number != last else max(self._width - used, 10)
            text = visible(cell)
            text = _cut(text, width) if self._is_terminal else text
            padding = " " * max(width - _columns(text), 0)
            used += width + 2
            shown = click.style(text, fg=row.colour) if number == row.coloured and row.colour else text
            parts.append(padding + shown if column.is_right else shown + ("" if number == last else padding))
        return "  ".join(parts).rstrip()


def visible(text: str) -> str:
    """The text on one line, with everything that a terminal would obey or could not show written as an escape."""
    return escaped(text)


def dumped(row: object) -> str:
    """One JSON document on one line; what a terminal would obey is escaped as JSON escapes it."""
    return CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", json.dumps(row, ensure_ascii=False))


def as_row(shape: Any) -> Any:
    """An answer of the operator API as `--json` prints it: what there is none of is null, never an empty text."""
    return _without_empty(to_builtins(shape))


def _without_empty(value: Any, key: str = "") -> Any:
    match value:
        case "":
            return value if key in MEANINGFUL else None
        case dict():
            return {name: _without_empty(one, name) for name, one in value.items()}
        case list():
            return [_without_empty(one) if isinstance(one, dict) else one for one in value]
        case _:
            return value


def local(stamp: str | None) -> str:
    """A moment of an answer (RFC 3339) as the clock on the wall shows it, with its zone; "" for none."""
    if not stamp:
        return ""
    moment = datetime.fromisoformat(stamp).astimezone()
    year = f" {moment:%Y}" if moment.year != datetime.now(UTC).year else ""
    return f"{moment:%d %b}{year} {moment:%H:%M:%S %Z}"


def sentence(text: str) -> str:
    """A reason as a sentence: a capital letter where it begins with a word, and a full stop."""
    plain = " ".join(text.split())
    if not plain:
        return ""
    first = plain.partition(" ")[0]
    begun = plain[0].upper() + plain[1:] if first.isalpha() and first.islower() else plain
    return begun if begun.endswith((".", "!", "?")) else f"{begun}."


def counted(number: int, thing: str) -> str:
    """``1 warning``, ``2 warnings``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def print_list(rows: Iterable[tuple[Row, Any]], *columns: Column, empty: str, as_json: bool) -> None:
    """Print a list: a table for people, or each answer as one JSON object a line."""
    table = Table(*columns)
    for row, shape in rows:
        if as_json:
            click.echo(dumped(as_row(shape)))
        else:
            table.add(row)
    if not as_json:
        table.end(empty)


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes: two for each wide letter, none for what combines."""
    return sum(0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def _cut(text: str, width: int) -> str:
    """The text, or as much of it as fits, with an ellipsis."""
    if _columns(text) <= width:
        return text
    kept = ""
    for one in text:
        if _columns(kept + one) >= width:
            break
        kept += one
    return f"{kept}…"
