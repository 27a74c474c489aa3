"""Which of some patterns are in a text: all of them in one pass, which tells no places and costs a quarter of one search."""

from __future__ import annotations

from collections.abc import Mapping

import re2

NEVER = r"[^\s\S]"
"""A pattern that no text holds."""

NOTHING: frozenset[str] = frozenset()


class Presence:
    """Patterns of re2 by name. To learn where one stands, compile it by itself."""

    __slots__ = ("_names", "_set")

    def __init__(self, patterns: Mapping[str, str]) -> None:
        options = re2.Options()
        options.log_errors = False
        self._names = tuple(patterns)
        self._set = re2.Set.SearchSet(options)
        for pattern in patterns.values():
            self._set.Add(pattern)
        self._set.Compile()

    def found(self, text: str) -> frozenset[str]:
        """The names of the patterns that a text holds."""
        numbers = self._set.Match(text)
        return NOTHING if numbers is None else frozenset([self._names[number] for number in numbers])

    def any(self, text: str) -> bool:
        """Whether a text holds one of them."""
        return self._set.Match(text) is not None
