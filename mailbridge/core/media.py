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
    value = next((value for name, value in part.raw_items() if name.lower() == "content-type"), None)
    if value is None:
        return UNTOLD if part.get_default_type() == UNTOLD.kind else None
    found = PLAIN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    kind, parameter = found["kind"].lower(), found["value"] or ""
    return Media(kind, charset=parameter.lower()) if found["charset"] else Media(kind, boundary=parameter)
