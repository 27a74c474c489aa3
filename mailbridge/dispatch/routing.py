"""Which targets serve an identifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from mailbridge.config.settings import BESIDE, TargetSettings
from mailbridge.core.happening import RECEIVED

SKYVERN = "skyvern"
"""The name of the main target, `[skyvern]` of the configuration."""

PRACTICE = "practice"
"""The name of the practice receiver, which is the main target while there is no Skyvern key: nothing leaves this machine."""


class Routing:
    """Which targets serve an identifier: every `[[target]]` that lists it, else the main one; and beside these every webhook and
    HTTP target that lists it and wants codes."""

    def __init__(self, targets: Sequence[TargetSettings], *, main: str = SKYVERN) -> None:
        self._targets = targets
        self._main = main

    def targets(self, identifier: str) -> Sequence[str]:
        """Names of targets; never empty."""
        folded = identifier.casefold()
        listed = [t for t in self._targets if any(fnmatchcase(folded, p.casefold()) for p in t.identifiers)]
        beside = [t.name for t in listed if t.kind in BESIDE and any(fnmatchcase(RECEIVED, one) for one in t.wanted)]
        return ([t.name for t in listed if t.kind not in BESIDE] or [self._main]) + beside

    def serves(self, target: str) -> Callable[[str], bool]:
        """Whether a target serves an identifier."""
        return lambda identifier: target in self.targets(identifier)
