"""Text without the characters that nobody sees."""

from __future__ import annotations

import re

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]"
)


def tidy(text: str) -> str:
    """Without characters that are not seen, every run of blanks one space."""
    return " ".join((text if text.isascii() else INVISIBLE.sub("", text)).split())


def visible(text: str) -> str:
    """The text without characters that are not seen."""
    return text if text.isascii() else INVISIBLE.sub("", text)
