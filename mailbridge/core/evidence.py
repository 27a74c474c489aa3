"""One value of a mail with everything that speaks for and against it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field

from mailbridge.core.candidates import Shape
from mailbridge.core.dataclass import dataclass
from mailbridge.core.features import WEIGHTS, Feature


@dataclass(slots=True, kw_only=True)
class Evidence:
    """A shape, its features, and the parts of the mail where it was seen.

    ``is_weighed``: False where its look refuses it, so that it has no features. ``order`` is the line of its first sight.
    ``is_called``: some part of the mail calls it the code so closely that no other can be meant there (`features.CLOSELY`).
    """

    shape: Shape
    features: set[Feature] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    order: int = 0
    is_weighed: bool = False
    is_called: bool = False

    @property
    def score(self) -> float:
        """The sum of what the features are worth."""
        return sum(map(WEIGHTS.__getitem__, self.features))

    def has(self, *features: Feature) -> bool:
        """Whether any of these features is true of it."""
        return not self.features.isdisjoint(features)

    def has_all(self, *features: Feature) -> bool:
        """Whether all of these features are true of it."""
        return self.features.issuperset(features)

    def has_any(self, features: Iterable[Feature]) -> bool:
        """Whether any feature of a group is true of it."""
        return not self.features.isdisjoint(features)
