"""Mistakes in a configuration: every one at once, each a line that says where, what, and what to do."""

from __future__ import annotations

from mailbridge.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake. ``where`` is a file and line, or the name of a variable; never a value. Empty: ``what`` says it all.

    ``is_permission``: the set-up is right, and this user may not do what it asks for.
    """

    where: str
    what: str
    is_permission: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class ConfigError(Exception):
    """A configuration that cannot be used, with all of its problems."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
