"""What a confidence means: the share of mails with such a score and such a lead whose best candidate was the right one.

Two logistic curves; ``python -m tests.extraction.bands`` prints how often each band is right, what constants the mails with a known
answer would give, and the bands of curves that have not seen the product they judge. `docs/rules.md` says what that is worth.
"""

from __future__ import annotations

import math

ORIGIN = 5.0
"""The score at which a candidate may be pushed at all."""

FARTHEST = 3.0
"""A lead beyond this says no more."""

CODE = (-0.025, 1.668, 0.240)
LINK = (2.982, 0.909, 0.0)
"""Constant, weight of the score above ORIGIN, and weight of the lead (which says nothing of links)."""


def of_code(score: float, lead: float) -> float:
    """How sure it is that the best candidate is the code, between 0 and 1."""
    return _curve(CODE, score, lead)


def of_link(score: float) -> float:
    """How sure it is that the best link is the one that signs in, between 0 and 1."""
    return _curve(LINK, score, 0.0)


def _curve(weights: tuple[float, float, float], score: float, lead: float) -> float:
    constant, by_score, by_lead = weights
    power = constant + by_score * (score - ORIGIN) + by_lead * min(lead, FARTHEST)
    return round(1 / (1 + math.exp(-max(-30.0, min(30.0, power)))), 3)
