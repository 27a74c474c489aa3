"""Lines and points as SVG: enough for the plots of the soak and of docs/scaling.md, readable on light and on dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, log10

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 34, 44
COLOURS = ("#0b7285", "#c2410c", "#6741d9", "#2b8a3e", "#a61e4d", "#5c5f66")
INK, GRID = "#868e96", "#868e9640"
TICKS = 5

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One picture: lines by their names, and points (what was measured beside what was computed) by theirs; ``bands`` are shaded spans
    of x."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Points] = field(default_factory=dict)
    points: Mapping[str, Points] = field(default_factory=dict)
    bands: Sequence[tuple[float, float]] = ()


def sheet(charts: Sequence[Chart]) -> str:
    """Charts below one another, as one file."""
    parts = [f'<g transform="translate(0 {number * HEIGHT})">{_drawn(one)}</g>' for number, one in enumerate(charts)]
    size = f'width="{WIDTH}" height="{HEIGHT * len(charts)}" viewBox="0 0 {WIDTH} {HEIGHT * len(charts)}"'
    style = f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(parts) + "\n</svg>\n"


def _drawn(chart: Chart) -> str:
    every = [point for line in (*chart.lines.values(), *chart.points.values()) for point in line]
    xs, ys = [x for x, _ in every] or [0.0], [y for _, y in every] or [0.0]
    across, up = _axis(min(xs), max(xs)), _axis(0.0, max(ys))

    def at(x: float, y: float) -> tuple[float, float]:
        width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return (
            round(LEFT + width * (x - across[0]) / (across[-1] - across[0]), 1),
            round(HEIGHT - BOTTOM - height * (y - up[0]) / (up[-1] - up[0]), 1),
        )

    parts = [f'<text x="{LEFT}" y="18" font-size="14" font-weight="600">{escape(chart.title)}</text>']
    for start, end in chart.bands:
        left, right = at(start, up[-1]), at(end, up[0])
        parts.append(
            f'<rect x="{left[0]}" y="{left[1]}" width="{right[0] - left[0]:.1f}" height="{right[1] - left[1]:.1f}" fill="{GRID}"/>'
        )
    for y in up:
        left, right = at(across[0], y), at(across[-1], y)
        parts.append(f'<path d="M{left[0]} {left[1]}H{right[0]}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{left[1] + 4}" text-anchor="end">{_number(y)}</text>')
    for x in across:
        low = at(x, up[0])
        parts.append(f'<text x="{low[0]}" y="{low[1] + 16}" text-anchor="middle">{_number(x)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{escape(chart.x)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="18" text-anchor="end">{escape(chart.y)}</text>')
    names = list(dict.fromkeys((*chart.lines, *chart.points)))
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        if line := chart.lines.get(name):
            path = " ".join(f"{x},{y}" for x, y in (at(*point) for point in line))
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [
            f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>'
            for x, y in (at(*point) for point in chart.points.get(name, ()))
        ]
        place = LEFT + number * (WIDTH - LEFT - RIGHT) / max(len(names), 1)
        parts.append(f'<text x="{place:.0f}" y="{HEIGHT - 8}" fill="{colour}">{escape(name)}</text>')
    return "".join(parts)


def _axis(least: float, most: float) -> list[float]:
    """Round numbers around what there is, about TICKS of them."""
    span = (most - least) or abs(most) or 1.0
    rough = span / TICKS
    unit = 10.0 ** floor(log10(rough))
    step = next(unit * one for one in (1, 2, 5, 10) if unit * one >= rough)
    first, last = floor(least / step), -floor(-(least + span) / step)
    return [step * one for one in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.3g}"
