"""What kind of mail it is, by its structure: of a bounce, an invitation, source code or a log nothing is pushed.

A row of the table is a name, what it asks of a mail, and the reason that people read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mailbridge.core.mail import Message
from mailbridge.core.parts import PROTOCOL

MAX_LINES = 600
DIFF = re.compile(
    r"^(?:diff --git |@@ -\d+(?:,\d+)? \+\d+|index [0-9a-f]{7,40}\.\.[0-9a-f]{7,40}|(?:---|\+\+\+) [ab]/\S|Index: \S+$)"
)
CODE = re.compile(
    r"^\s*(?:#\s?(?:include|define|if|ifdef|ifndef|endif)\b|(?:public|private|static|const|var|let|function|def|class|import|return|elif|else if|foreach)\b.*[;:{(]\s*$"
    r"|.*[;{}]\s*(?://.*|/\*.*)?$|<\?php|</?[a-z]+[^>]*>$|\$ [a-z./]+ )"
)
LOGGED = re.compile(
    r"^[\[(<]?(?:\d{4}[-/]\d{2}[-/]\d{2}[T ]\d{2}:\d{2}:\d{2}|[A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} |\d{2}:\d{2}:\d{2}[.,]\d{3})"
    r"|^\s+at [\w.$<>]+\(|^\s*File \"[^\"]+\", line \d+|^Traceback \(most recent|^\[ ?\d+\.\d{4,6}\]"
)
FIGURES = re.compile(r"(?<![\w.])\d[\d.,:]*(?:\s+|$)(?:[-|]?\s*\d[\d.,:%]*(?:\s+|$)){3,}")
"""Four numbers in a row, as tables of figures have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Genre:
    """A kind of mail that holds no code. ``is_of``: whether a mail with these lines is of the kind."""

    name: str
    is_of: Callable[[Message, list[str]], bool]
    why: str


def genre_of(message: Message) -> Genre | None:
    """The first kind that a mail is of; None for a mail like any other."""
    page = message.plain
    lines = [line.text for line in page.lines[:MAX_LINES]] if page is not None else []
    return next((genre for genre in GENRES if genre.is_of(message, lines)), None)


def _count(pattern: re.Pattern[str], lines: list[str]) -> int:
    return sum(pattern.match(line) is not None for line in lines)


def _is_bounce(message: Message, lines: list[str]) -> bool:
    return message.is_bounce


def _is_invitation(message: Message, lines: list[str]) -> bool:
    return message.has_calendar


def _quotes_headers(message: Message, lines: list[str]) -> bool:
    return _count(PROTOCOL, lines) >= 2


def _is_diff(message: Message, lines: list[str]) -> bool:
    return _count(DIFF, lines) >= 1


def _is_source(message: Message, lines: list[str]) -> bool:
    return _count(CODE, lines) >= 5


def _is_log(message: Message, lines: list[str]) -> bool:
    return _count(LOGGED, lines) >= 3


def _is_table(message: Message, lines: list[str]) -> bool:
    return sum(FIGURES.search(line) is not None for line in lines) >= 4


GENRES: tuple[Genre, ...] = (
    Genre(name="bounce", is_of=_is_bounce, why="it reports that another mail was not delivered: such a mail holds no code"),
    Genre(name="invitation", is_of=_is_invitation, why="it is a calendar invitation: what it holds joins a meeting"),
    Genre(name="quoted headers", is_of=_quotes_headers, why="it quotes the technical headers of another mail"),
    Genre(name="diff", is_of=_is_diff, why="it holds a change to source code"),
    Genre(name="source code", is_of=_is_source, why="it holds source code"),
    Genre(name="log", is_of=_is_log, why="it holds lines of a log"),
    Genre(name="table of figures", is_of=_is_table, why="it holds a table of figures"),
)
