"""The type of a part, its charset and its boundary, by its Content-Type header (RFC 2045, 5.1).

The standard library takes every parameter apart for each question, and asks RFC 2231 of it: half of what a part's head costs. Most
headers have one parameter and nothing odd in it; any other is the library's.
"""

from __future__ import annotations

import email.message
import re
from typing import NamedTuple

PLAIN = re.compile(
    r"(?P<kind>[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+)"
    r"(?:;\s*(?:(?P<charset>(?i:charset))|(?i:boundary))=(?P<quote>\"?)(?P<value>[A-Za-z0-9_=+./:,?-]+)(?P=quote))?;?"
)
"""A type with its charset or its boundary, and nothing else."""


class Media(NamedTuple):
    """``kind`` is in small letters (``text/plain``), ``charset`` too; "" where the header names none. ``boundary`` is as written."""

    kind: str
    charset: str = ""
    boundary: str = ""


UNTOLD = Media("text/plain")
"""A part without the header (RFC 2045, 5.2)."""


def plain_media(part: email.message.Message) -> Media | None:
    """What the header of a part says, as the library would have it; None where only the library can tell. Total."""
    for name, value in part.raw_items():
        if name.lower() == "content-type":
            return media_of(value) if isinstance(value, str) else None
    return UNTOLD if part.get_default_type() == UNTOLD.kind else None


def media_of(value: str) -> Media | None:
    """What a Content-Type header says, by its value as it is written; None where only the library can tell. Total."""
    found = PLAIN.fullmatch(value)
    if found is None:
        return None
    kind, charset, _, parameter = found.groups("")
    return Media(kind.lower(), charset=parameter.lower()) if charset else Media(kind.lower(), boundary=parameter)
