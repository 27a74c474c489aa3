"""What is wrong with rules, apart from what reads them: the daemon, which tells it, loads no patterns and no words of languages."""

from __future__ import annotations

from collections.abc import Sequence


class RuleError(Exception):
    """Rules that cannot be used; ``problems`` has a line for every mistake in every file."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
