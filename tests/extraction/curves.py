"""Logistic curves of few parameters and intervals of shares, so that a test needs no library for statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence

Z = 1.959964
"""Standard deviations on each side of a 95 % interval."""

RIDGE = 1e-4
"""Keeps the weights finite where one side has no errors."""

ROUNDS = 60


def wilson(part: int, whole: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); 0 and 1 where nothing was counted."""
    if not whole:
        return 0.0, 1.0
    share, square = part / whole, Z * Z
    middle = (share + square / (2 * whole)) / (1 + square / whole)
    spread = Z * math.sqrt(share * (1 - share) / whole + square / (4 * whole * whole)) / (1 + square / whole)
    return max(0.0, middle - spread), min(1.0, middle + spread)


def logistic(points: Sequence[Sequence[float]], answers: Sequence[bool], weights: Sequence[float]) -> list[float]:
    """A constant and a weight for each column, by Newton's method with a little ridge on all but the constant."""
    count = len(points[0]) + 1
    found = [0.0] * count
    for _ in range(ROUNDS):
        slope = [0.0] * count
        bend = [[0.0] * count for _ in range(count)]
        for values, is_right, weight in zip(points, answers, weights, strict=True):
            row = (1.0, *values)
            chance = sure(found, values)
            for i in range(count):
                slope[i] += weight * (is_right - chance) * row[i]
                for j in range(count):
                    bend[i][j] += weight * chance * (1 - chance) * row[i] * row[j]
        for i in range(1, count):
            slope[i] -= RIDGE * len(points) * found[i]
            bend[i][i] += RIDGE * len(points)
        step = _solved(bend, slope)
        found = [old + new for old, new in zip(found, step, strict=True)]
        if max(map(abs, step)) < 1e-9:
            break
    return found


def sure(weights: Sequence[float], values: Sequence[float]) -> float:
    """The chance that a curve gives to a point, between 0 and 1."""
    power = weights[0] + sum(weight * value for weight, value in zip(weights[1:], values, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, power))))


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a small system of equations, by elimination with pivots."""
    size = len(right)
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda line: abs(rows[line][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        head = rows[column][column] or 1e-12
        rows[column] = [value / head for value in rows[column]]
        for line in range(size):
            if line != column:
                factor = rows[line][column]
                rows[line] = [one - factor * two for one, two in zip(rows[line], rows[column], strict=True)]
    return [line[-1] for line in rows]
