"""What a confidence is worth: the curves of `mailbridge.core.confidence` and how often each band of them is right.

Run as ``python -m tests.extraction.bands``. A point is the best candidate of a mail that no veto strikes, pushed or not, so that
the low bands are seen as well. No product counts more than ten times, so that no template with many translations decides.
**Held out** means: the confidence of a mail comes from a curve that has seen no mail of its product.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from mailbridge.core.confidence import FARTHEST, ORIGIN, of_code, of_link
from tests.extraction.cases import NoSharedError, load_cases, shared_folder
from tests.extraction.curves import logistic, sure, wilson
from tests.extraction.table import Row, rows_of

BOUNDS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 1.01)
MOST = 10
"""Mails of one product that count."""

FOLDS = 10
SURE = 0.98
"""The confidence that is called sure: what the plain part says with it needs no look at the HTML."""

SURE_BOUND = 0.97
"""What the lower end of the 95 % interval of the sure answers has to reach."""


@dataclass(frozen=True, slots=True)
class Point:
    """``values`` are those that the curve sees: the score above ORIGIN, and for a code the lead over the next."""

    product: str
    values: tuple[float, ...]
    is_right: bool
    confidence: float = 0.0


def code_points(rows: Sequence[Row]) -> list[Point]:
    """The best candidate of each mail that the vetoes leave."""
    found = []
    for row in capped(rows):
        able = [one for one in row.candidates if one.veto is None]
        if able:
            best = able[0]
            lead = best.score - able[1].score if len(able) > 1 else best.score
            values = (best.score - ORIGIN, min(lead, FARTHEST))
            found.append(Point(row.product, values, row.kind == "code" and best.is_right, of_code(best.score, lead)))
    return found


def link_points(rows: Sequence[Row]) -> list[Point]:
    """The best plausible link of each mail without a code."""
    return [
        Point(row.product, (row.link_score - ORIGIN,), row.is_link_right, of_link(row.link_score))
        for row in capped(rows)
        if row.kind != "code" and row.link_score is not None
    ]


def capped(rows: Sequence[Row]) -> list[Row]:
    """At most ten mails of each product and kind, drawn with a fixed seed."""
    shuffled = sorted(rows, key=lambda row: row.key)
    Random(1).shuffle(shuffled)
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for row in shuffled:
        seen[row.product, row.kind] += 1
        if seen[row.product, row.kind] <= MOST:
            kept.append(row)
    return kept


def curve(points: Sequence[Point]) -> list[float]:
    """Constant and weights of the logistic curve through the points."""
    return logistic([point.values for point in points], [point.is_right for point in points], [1.0] * len(points))


def held_out(points: Sequence[Point]) -> list[Point]:
    """The points with the confidence of a curve that has not seen their product."""
    products = sorted({point.product for point in points})
    Random(2).shuffle(products)
    fold = {product: number % FOLDS for number, product in enumerate(products)}
    found = []
    for number in range(FOLDS):
        weights = curve([point for point in points if fold[point.product] != number])
        found += [replace(one, confidence=sure(weights, one.values)) for one in points if fold[one.product] == number]
    return found


def bands(points: Sequence[Point]) -> Iterator[tuple[float, float, int, int]]:
    """For each band of confidence: its bounds, how many points fall in it, and how many of them are right."""
    for low, high in itertools.pairwise(BOUNDS):
        inside = [point.is_right for point in points if low <= point.confidence < high]
        yield low, high, len(inside), sum(inside)


def sure_ones(points: Sequence[Point]) -> tuple[int, int]:
    """How many of the sure answers are right, and of how many."""
    inside = [point.is_right for point in points if point.confidence >= SURE]
    return sum(inside), len(inside)


def report(rows: Sequence[Row]) -> list[str]:
    """Bands and constants of both curves as lines."""
    lines = []
    kinds: tuple[tuple[str, Callable[[Sequence[Row]], list[Point]]], ...] = (("code", code_points), ("link", link_points))
    for name, points_of in kinds:
        points = points_of(rows)
        for title, shown in (("as shipped", points), ("held out", held_out(points))):
            lines.append(f"{name}, {title:12}  best candidates    right    95 % interval")
            for low, high, count, right in bands(shown):
                if count:
                    lower, upper = wilson(right, count)
                    share = f"{100 * right / count:8.1f} %  {100 * lower:5.1f} – {100 * upper:5.1f} %"
                    lines.append(f"{low:.2f} – {min(high, 1.0):.2f}         {count:12} {share}")
        lines.append(f"curve of {len(points)} points: " + ", ".join(f"{value:.3f}" for value in curve(points)))
    return lines


def main() -> int:
    """Print the bands; 0 also where there are no mails to measure with."""
    try:
        folder = shared_folder()
    except NoSharedError as missing:
        print(f"not measured: {missing}", file=sys.stderr)
        return 0
    print("\n".join(report(rows_of(folder, load_cases(folder)))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
