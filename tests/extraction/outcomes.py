"""What becomes of mails by the engine, by a model in its place, or by a model that may hold what it pushes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.extraction.curves import wilson
from tests.extraction.table import Row

DRAWS = 2_000
"""How often the products are drawn anew for an interval."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one mail: right, wrong or missed for a code, pushed or quiet for a mail that holds none."""

    product: str
    kind: str
    judgement: str


def of_engine(rows: Sequence[Row]) -> list[Outcome]:
    """What the engine does; links that it pushes are its own affair, and count as they are."""
    return [Outcome(row.product, row.kind, row.judgement) for row in rows]


def as_ranker(rows: Sequence[Row], sure: Sequence[Sequence[float]], bar: float) -> list[Outcome]:
    """The likeliest candidate is pushed if its chance reaches the bar and no other's does; links stay as they are."""
    found = []
    for row, chance in zip(rows, sure, strict=True):
        order = sorted(range(len(chance)), key=lambda which: -chance[which])
        is_pushed = bool(order) and chance[order[0]] >= bar and (len(order) == 1 or chance[order[1]] < bar)
        is_link = row.verdict == "link" and not is_pushed
        if row.kind == "code":
            judgement = "missed" if not is_pushed else "right" if row.candidates[order[0]].is_right else "wrong"
            found.append(Outcome(row.product, row.kind, row.judgement if is_link else judgement))
        else:
            found.append(Outcome(row.product, row.kind, row.judgement if is_link else "pushed" if is_pushed else "quiet"))
    return found


def as_veto(rows: Sequence[Row], sure: Sequence[Sequence[float]], bar: float) -> list[Outcome]:
    """What the engine does, but a code is held where its chance is under the bar."""
    found = []
    for row, chance in zip(rows, sure, strict=True):
        judgement = row.judgement
        which = next((number for number, one in enumerate(row.candidates) if one.veto is None), None)
        if row.is_code and which is not None and chance[which] < bar:
            judgement = "missed" if row.kind == "code" else "quiet"
        found.append(Outcome(row.product, row.kind, judgement))
    return found


def counts(found: Sequence[Outcome]) -> tuple[int, int, int, int, int]:
    """Codes right, codes wrong, codes; pushed from mails that hold none, such mails."""
    codes = [one.judgement for one in found if one.kind == "code"]
    nones = [one.judgement for one in found if one.kind == "none"]
    return codes.count("right"), codes.count("wrong"), len(codes), nones.count("pushed"), len(nones)


def differences(before: Sequence[Outcome], after: Sequence[Outcome]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The 95 % intervals of how many more codes are right and how many more false pushes there are, by drawing products anew."""
    gains: dict[str, list[int]] = {}
    for old, new in zip(before, after, strict=True):
        gain = gains.setdefault(old.product, [0, 0])
        gain[0] += (new.judgement == "right") - (old.judgement == "right")
        gain[1] += (new.judgement in ("pushed", "wrong")) - (old.judgement in ("pushed", "wrong"))
    products = [gains[product] for product in sorted(gains)]
    dice = random.Random(4)
    sums = [[sum(column) for column in zip(*dice.choices(products, k=len(products)), strict=True)] for _ in range(DRAWS)]
    low, high = int(0.025 * DRAWS), int(0.975 * DRAWS) - 1
    more_right, more_false = (sorted(column) for column in zip(*sums, strict=True))
    return (more_right[low], more_right[high]), (more_false[low], more_false[high])


def is_win(before: Sequence[Outcome], after: Sequence[Outcome]) -> bool:
    """Whether false pushes go and no code does, beyond what chance over products would give."""
    right, _, _, _, _ = counts(before)
    more_right, more_false = differences(before, after)
    return counts(after)[0] >= right and more_right[0] >= 0 and more_false[1] < 0


def held_out_table(rows: Sequence[Row]) -> list[str]:
    """What the engine does over everything given, by medium: pooled with Wilson's interval, and as the mean over products."""
    lines = []
    for medium in ("email", "sms"):
        found = of_engine([row for row in rows if row.medium == medium])
        right, wrong, codes, pushed, nones = counts(found)
        for title, part, whole in (("right", right, codes), ("wrong", wrong, codes), ("pushed of none", pushed, nones)):
            low, high = wilson(part, whole)
            share = f"{100 * part / max(1, whole):6.2f} %  [{100 * low:.2f} – {100 * high:.2f}]"
            lines.append(f"{medium:6}{title:16}{part:6} of {whole:<6}{share}")
        shares: dict[str, list[int]] = {}
        for one in found:
            if one.kind == "code":
                tally = shares.setdefault(one.product, [0, 0])
                tally[0] += one.judgement == "right"
                tally[1] += 1
        if shares:
            mean = sum(part / whole for part, whole in shares.values()) / len(shares)
            lines.append(f"{medium:6}mean over {len(shares)} products   {100 * mean:.2f} %")
    return lines
