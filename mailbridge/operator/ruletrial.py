"""What crosses between the verbs of rules and their worker."""

from __future__ import annotations

from typing import Literal

import msgspec

LONGEST_TEXT = 20_000
"""Characters of a mail's text that are shown."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is started for; ``rules`` as (name, text), ``shipped`` by name."""

    task: Literal["list", "try", "text"]
    rules: tuple[tuple[str, str], ...] = ()
    shipped: tuple[str, ...] = ()


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was compiled; its examples hold."""

    name: str
    file: str
    is_link: bool
    senders: tuple[str, ...]
    pattern: str
    adds: str
    examples: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``problems``: the rules cannot be used; ``reason``: nothing was found."""

    rules: tuple[Seen, ...] = ()
    problems: tuple[str, ...] = ()
    before: str = ""
    found: str = ""
    after: str = ""
    reason: str = ""
    text: str = ""
