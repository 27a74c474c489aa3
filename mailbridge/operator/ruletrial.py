"""What crosses between the verbs of rules and their worker."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

LONGEST_TEXT = 20_000
"""Characters of a mail's text that are shown."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is started for; ``rules`` as (name, text), ``shipped`` by name; ``passed``: the candidates of a mail that were passed over;
    ``is_clear``: mark in clear."""

    task: Literal["list", "try", "propose", "mark"]
    rules: tuple[tuple[str, str], ...] = ()
    shipped: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    is_clear: bool = False


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was compiled; its examples hold."""

    name: str
    file: str
    is_link: bool
    senders: tuple[str, ...]
    pattern: str
    adds: str
    examples: int
    text: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``tables``: the rules that were tried as plain values. ``problems``: the rules cannot be used; ``reason``: nothing was
    found. ``text`` is a rule that is proposed; ``pieces`` are a mail's text (text, kind, number: `operator.marking`),
    ``hops`` the servers that it came over (from, by, when)."""

    rules: tuple[Seen, ...] = ()
    tables: tuple[dict[str, Any], ...] = ()
    problems: tuple[str, ...] = ()
    before: str = ""
    found: str = ""
    after: str = ""
    reason: str = ""
    text: str = ""
    pieces: tuple[tuple[str, str, int], ...] = ()
    hops: tuple[tuple[str, str, datetime | None], ...] = ()
