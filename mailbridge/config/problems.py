"""Mistakes in a configuration, all of them at once. Each is one line that says where it is, what is wrong, and what to do."""

from __future__ import annotations

from mailbridge.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake. ``where`` is a file and line, or the name of a variable, and never a value. If it is empty, ``what`` says
    everything.

    ``is_permission``: the configuration is right, but this user may not do what it asks for.
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
