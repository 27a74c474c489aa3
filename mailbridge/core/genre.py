"""What kind of mail it is, by its structure: of a bounce, an invitation, source code or a log nothing is pushed.

A row of the table is a name, what it asks of a mail, and the reason that people read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice

from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Message
from mailbridge.core.parts import PROTOCOL

MAX_LINES = 600
DIFF = re.compile(
    r"(?m)^(?:diff --git |@@ -\d+(?:,\d+)? \+\d+|index [0-9a-f]{7,40}\.\.[0-9a-f]{7,40}|(?:---|\+\+\+) [ab]/\S|Index: \S+$)"
)
CODE = re.compile(
    r"(?m)^[ \t]*(?:#\s?(?:include|define|if|ifdef|ifndef|endif)\b|(?:public|private|static|const|var|let|function|def|class|import|return|elif|else if|foreach)\b.*[;:{(]\s*$"
    r"|.*[;{}]\s*(?://.*|/\*.*)?$|<\?php|</?[a-z]+[^>]*>$|\$ [a-z./]+ )"
)
LOGGED = re.compile(
    r"(?m)^[\[(<]?(?:\d{4}[-/]\d{2}[-/]\d{2}[T ]\d{2}:\d{2}:\d{2}|[A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} |\d{2}:\d{2}:\d{2}[.,]\d{3})"
    r"|^[ \t]+at [\w.$<>]+\(|^[ \t]*File \"[^\"]+\", line \d+|^Traceback \(most recent|^\[ ?\d+\.\d{4,6}\]"
)
FIGURES = re.compile(r"(?m)\d(?<![\w.]\d)[\d.,:]*+((?: (?:[-|] )?\d[\d.,:%]*+){3,}(?=\s|$)[^\n]*)?")
"""A number, and where three more follow in a row, as tables of figures have them, all that follows in its line."""

ARMOUR = re.compile(r"(?m)^[ >]*-----BEGIN PGP (?:MESSAGE|PUBLIC KEY BLOCK|PRIVATE KEY BLOCK)")
"""What is enciphered, or a key (RFC 9580 6.2). A signed text is one that people read."""

NUMBER = re.compile(r"\d+")
HEADER = re.compile("(?m)" + PROTOCOL.pattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class Genre:
    """A kind of mail that holds no code. ``is_of``: whether a mail with this plain text is of the kind."""

    name: str
    is_of: Callable[[Message, str], bool]
    why: str


def genre_of(message: Message) -> Genre | None:
    """The first kind that a mail is of; None for a mail like any other."""
    page = message.plain
    text = "\n".join([line.text for line in page.lines[:MAX_LINES]]) if page is not None else ""
    for genre in GENRES:
        if genre.is_of(message, text):
            return genre
    return None


def _has(pattern: re.Pattern[str], text: str, least: int) -> bool:
    """Whether at least so many lines of a text are of a pattern."""
    return next(islice(pattern.finditer(text), least - 1, None), None) is not None


def _is_bounce(message: Message, _: str) -> bool:
    return message.is_bounce


def _is_invitation(message: Message, _: str) -> bool:
    return message.has_calendar


def _quotes_headers(_: Message, text: str) -> bool:
    return ": " in text and text.count(":") > 1 and _has(HEADER, text, 2)


def _is_diff(_: Message, text: str) -> bool:
    return ("@@ " in text or "--- " in text or "diff " in text or "Index: " in text) and _has(DIFF, text, 1)


def _is_armoured(_: Message, text: str) -> bool:
    return "-----BEGIN PGP " in text and ARMOUR.search(text) is not None


def _is_source(_: Message, text: str) -> bool:
    return text.count(";") + text.count("{") + text.count("}") + text.count("(") > 5 and _has(CODE, text, 5)


def _is_log(_: Message, text: str) -> bool:
    return text.count(":") > 5 and _has(LOGGED, text, 3)


def _is_table(_: Message, text: str) -> bool:
    return len(NUMBER.findall(text)) >= 4 * 4 and sum(map(bool, FIGURES.findall(text))) >= 4


GENRES: tuple[Genre, ...] = (
    Genre(name="bounce", is_of=_is_bounce, why="it reports that another mail was not delivered: such a mail holds no code"),
    Genre(name="invitation", is_of=_is_invitation, why="it is a calendar invitation: what it holds joins a meeting"),
    Genre(name="quoted headers", is_of=_quotes_headers, why="it quotes the technical headers of another mail"),
    Genre(name="diff", is_of=_is_diff, why="it holds a change to source code"),
    Genre(name="PGP block", is_of=_is_armoured, why="it holds an enciphered message or a key"),
    Genre(name="source code", is_of=_is_source, why="it holds source code"),
    Genre(name="log", is_of=_is_log, why="it holds lines of a log"),
    Genre(name="table of figures", is_of=_is_table, why="it holds a table of figures"),
)
