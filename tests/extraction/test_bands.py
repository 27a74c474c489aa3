"""A confidence is worth what it says, also for products that the curve has not seen."""

from __future__ import annotations

import pytest

from tests.extraction.bands import MOST, SURE, SURE_BOUND, Point, bands, capped, code_points, curve, held_out, sure_ones
from tests.extraction.curves import logistic, sure, wilson
from tests.extraction.table import Row


def point(product: str, score: float, *, is_right: bool, confidence: float = 0.0) -> Point:
    """A best candidate."""
    return Point(product, (score, 0.0), is_right, confidence)


@pytest.mark.parametrize("is_held_out", [False, True], ids=["as shipped", "held out"])
def test_sure_answers_are_right(rows: list[Row], is_held_out: bool) -> None:
    """Of the answers with a confidence of 0.98 and more at least 97 in 100 are right, by the lower end of the interval."""
    points = code_points(rows)
    right, count = sure_ones(held_out(points) if is_held_out else points)
    assert count > 100
    assert wilson(right, count)[0] >= SURE_BOUND, f"{right} of {count}"


def test_unsure_answers_are_seldom_right(rows: list[Row]) -> None:
    """Of the best candidates with a confidence under 0.3 fewer than half are right."""
    unsure = [one.is_right for one in code_points(rows) if one.confidence < 0.3]
    assert sum(unsure) * 2 <= len(unsure)


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (586, 590, 0.9827, 0.9974)],
)
def test_the_interval_is_wilsons(part: int, whole: int, low: float, high: float) -> None:
    """The interval agrees with published examples (Newcombe 1998, 81 of 263) and with the closed form at the ends."""
    assert wilson(part, whole) == pytest.approx((low, high), abs=1e-4)


def test_a_curve_finds_the_weights_that_made_its_points() -> None:
    """Points that were drawn from a curve give that curve back."""
    values = [(x / 10, y / 10) for x in range(-30, 31) for y in range(-10, 11)]
    made = [0.5, 1.5, -0.7]
    points = [value for value in values for _ in range(2)]
    shares = [sure(made, value) for value in values]
    answers = [answer for _ in shares for answer in (True, False)]
    weights = [weight for share in shares for weight in (share, 1 - share)]
    assert logistic(points, answers, weights) == pytest.approx(made, abs=0.02)


def test_no_point_has_its_confidence_from_its_own_product() -> None:
    """A product that contradicts all others is judged by the others."""
    usual = [point(f"p{n}", score, is_right=score > 0) for n in range(20) for score in (-3.0, -1.0, 1.0, 3.0)]
    odd = [point("odd", 3.0, is_right=False)] * 3
    assert all(one.confidence > 0.9 for one in held_out([*usual, *odd]) if one.product == "odd")
    assert curve([*usual, *odd * 30])[1] < curve(usual)[1]


def test_no_template_decides_by_its_translations(rows: list[Row]) -> None:
    """No product counts more than ten times in the points."""
    kept = [(row.product, row.kind) for row in capped(rows)]
    assert max(kept.count(one) for one in set(kept)) == MOST


def test_the_bands_count_each_point_once() -> None:
    """Every confidence falls in one band, the ends included."""
    points = [point("p", 0.0, is_right=True, confidence=value) for value in (0.0, 0.1, 0.3, SURE, 1.0)]
    assert sum(count for _, _, count, _ in bands(points)) == len(points)
