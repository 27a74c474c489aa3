"""How good extraction is, in one table: run as ``python -m tests.extraction.quality`` or ``make quality``.

Over every set of mails with known answers that is kept beside the project: how many codes come out right, wrong or not at all, how
much is pushed from mails that hold nothing, and the same for links and for each language of the fresh set; each beside its bar.
``--forms N`` adds N drawn codes of each form, ``--failures [N]`` lists what went wrong, ``--only SET`` takes one set, ``--json FILE`` keeps every answer, and ``--diff FILE``
shows what has changed since such a file was kept. Exit 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.extraction import forms
from tests.extraction.cases import BAD, SETS, Answer, Case, NoSharedError, answers, load_cases, shared_folder

Judged = tuple[Case, Answer]


@dataclass(frozen=True, slots=True)
class Measure:
    """One row: which cases, which judgement is counted, and the bar (in per cent) that the share must reach or stay under."""

    title: str
    group: str
    medium: str
    kind: str
    counted: str
    bar: float | None = None

    @property
    def is_floor(self) -> bool:
        """Whether more is better."""
        return self.counted == "right"


def _rows(group: str, medium: str, code: tuple[float | None, float | None], none: float | None) -> list[Measure]:
    right, wrong = code
    return [
        Measure(f"{group}: {medium} code right", group, medium, "code", "right", right),
        Measure(f"{group}: {medium} code wrong", group, medium, "code", "wrong", wrong),
        Measure(f"{group}: {medium} none pushed", group, medium, "none", "pushed", none),
    ]


EVERYTHING = "everything"
"""All sets as one: nothing in the engine is fitted to them but the curve of confidence, so that no folds are held out."""

MEASURES = (
    *_rows("corpus", "email", (99.5, 0.1), 0.2),
    *_rows("corpus", "sms", (99.0, None), None),
    *_rows("mutants", "email", (None, None), None),
    *_rows("second", "email", (98.5, 0.3), 0.5),
    *_rows("second", "sms", (95.0, None), None),
    *_rows("second mutants", "email", (None, None), None),
    *_rows("fresh", "email", (95.0, 0.2), 1.0),
    *_rows("fresh", "sms", (None, None), None),
    *_rows("handout", "email", (100.0, 0.0), 0.0),
    *_rows("handout", "sms", (100.0, 0.0), 0.0),
    *_rows("handout mails", "email", (100.0, 0.0), 0.0),
    *(Measure(f"{group}: links right", group, "email", "magic_link", "right") for group in ("corpus", "second")),
    *(Measure(f"{group}: links wrong", group, "email", "magic_link", "wrong") for group in ("corpus", "second")),
    Measure("handout: links right", "handout", "email", "magic_link", "right", 100.0),
    Measure("handout mails: links right", "handout mails", "email", "magic_link", "right", 100.0),
    *_rows(EVERYTHING, "email", (97.5, 0.3), 0.5),
    *_rows(EVERYTHING, "sms", (None, None), None),
)
EACH_LANGUAGE = 90.0
"""The share of codes of the fresh set, in per cent, under which no language may be."""


def counted(measure: Measure, found: Sequence[Judged]) -> tuple[int, int]:
    """How many cases of a row have its judgement, and of how many. Links that may be held count only where they are pushed."""
    inside = [
        answer.judgement
        for case, answer in found
        if (case.medium, case.kind) == (measure.medium, measure.kind) and measure.group in (case.group, EVERYTHING)
    ]
    if measure.kind == "magic_link":
        inside = [one for one in inside if one != "quiet"]
    return inside.count(measure.counted), len(inside)


def is_missed(measure: Measure, part: int, whole: int) -> bool:
    """Whether the bar of a row is not reached."""
    if measure.bar is None or not whole:
        return False
    share = 100 * part / whole
    return share < measure.bar if measure.is_floor else share > measure.bar


def table(found: Sequence[Judged]) -> tuple[list[str], int]:
    """The rows as text, and how many bars are missed."""
    lines, missed = [], 0
    for measure in MEASURES:
        part, whole = counted(measure, found)
        if not whole:
            continue
        is_bad = is_missed(measure, part, whole)
        missed += is_bad
        bar = "" if measure.bar is None else f"{'≥' if measure.is_floor else '≤'} {measure.bar:g}"
        lines.append(f"{measure.title:30}{part:6} of {whole:<6}{100 * part / whole:7.2f} %   {bar:8}{'MISSED' if is_bad else ''}")
    return lines, missed


def by_language(found: Sequence[Judged], group: str = "fresh") -> tuple[list[str], int]:
    """Codes right and wrong, and twins pushed, for each language of a set, weakest first; and how many languages miss the bar."""
    codes: dict[str, Counter[str]] = {}
    nones: dict[str, Counter[str]] = {}
    for case, answer in found:
        if case.group == group and case.kind in ("code", "none"):
            kept = codes if case.kind == "code" else nones
            kept.setdefault(case.raw["lang"], Counter())[answer.judgement] += 1
    rows = []
    for lang, tally in codes.items():
        other = nones.get(lang, Counter())
        rows.append((100 * tally["right"] / tally.total(), lang, tally, other))
    missed = sum(share < EACH_LANGUAGE for share, *_ in rows)
    lines = [
        f"  {lang:8}{share:7.1f} % of {tally.total():<4} wrong {tally['wrong']:<3} none pushed {other['pushed']} of {other.total()}"
        f"{'   MISSED' if share < EACH_LANGUAGE else ''}"
        for share, lang, tally, other in sorted(rows, key=lambda row: row[:2])
    ]
    return lines, missed


def failures(found: Sequence[Judged], most: int) -> list[str]:
    """What went wrong, worst kind first, with the words of the mail."""
    bad = [(case, answer) for case, answer in found if answer.judgement in BAD]
    order = {"wrong": 0, "pushed": 1, "missed": 2}
    lines = []
    for case, answer in sorted(bad, key=lambda one: order[one[1].judgement])[:most]:
        body = case.raw.get("text") or case.raw.get("html") or case.content.decode("utf-8", "replace")
        text = " ".join(body.split())[:160]
        lines.append(
            f"{answer.judgement:7} {case.group}/{case.key}: wanted {case.raw['expected']!r}, got {answer.verdict} {answer.value!r}"
            f" ({answer.reason[:100]})\n        {case.raw.get('subject') or ''!s} | {text}"
        )
    if len(bad) > most:
        lines.append(f"… and {len(bad) - most} more")
    return lines


def changes(found: Sequence[Judged], before: dict[str, dict[str, str]]) -> list[str]:
    """What is judged otherwise than in answers that were kept."""
    lines = []
    for case, answer in found:
        old = before.get(f"{case.group}/{case.key}")
        if old is not None and old["judgement"] != answer.judgement:
            is_better = answer.judgement in ("right", "quiet")
            lines.append(
                f"{'+' if is_better else '-'} {case.group}/{case.key}: {old['judgement']} -> {answer.judgement}"
                f" (wanted {case.raw['expected']!r}, was {old['value']!r}, is {answer.verdict} {answer.value!r}: {answer.reason[:80]})"
            )
    return sorted(lines)


def kept(found: Sequence[Judged]) -> dict[str, dict[str, object]]:
    """Every answer by its case, for a later ``--diff``."""
    return {
        f"{case.group}/{case.key}": {
            "judgement": answer.judgement,
            "verdict": answer.verdict,
            "value": answer.value,
            "confidence": answer.confidence,
        }
        for case, answer in found
    }


def _say(lines: Sequence[str], title: str = "") -> None:
    if title:
        print(f"\n{title}")
    for line in lines:
        print(line)


def main() -> int:
    """Print the table; 1 where a bar is missed, 0 also where there are no mails to measure with."""
    asked = argparse.ArgumentParser(prog="python -m tests.extraction.quality", description=__doc__)
    asked.add_argument("--only", choices=SETS, action="append", help="one set; may be given again")
    asked.add_argument("--forms", type=int, default=0, help="also draw so many codes of each form")
    asked.add_argument("--failures", type=int, nargs="?", const=1_000, default=0, help="how many failures to list (all)")
    asked.add_argument("--json", type=Path, help="keep every answer in this file")
    asked.add_argument("--diff", type=Path, help="show what has changed since this file was kept")
    told = asked.parse_args()
    try:
        folder = shared_folder()
    except NoSharedError as missing:
        print(f"not measured: {missing}", file=sys.stderr)
        return 0
    cases = load_cases(folder, told.only or tuple(SETS))
    found = list(zip(cases, answers(folder, cases), strict=True))
    parts: list[tuple[str, Callable[[], tuple[list[str], int]]]] = [("", lambda: table(found))]
    if any(case.group == "fresh" for case in cases):
        parts.append(("codes of each language of the fresh set", lambda: by_language(found)))
    missed = 0
    for title, make in parts:
        lines, count = make()
        missed += count
        _say(lines, title)
    if told.failures:
        _say(failures(found, told.failures), "failures")
    if told.diff is not None:
        _say(changes(found, json.loads(told.diff.read_text(encoding="utf-8"))), f"changes since {told.diff}")
    if told.json is not None:
        told.json.write_text(json.dumps(kept(found), ensure_ascii=False, indent=1), encoding="utf-8")
    if told.forms:
        _say([], "forms of codes")
        tally, _ = forms.measured_all(tuple(forms.FORMS), told.forms, seed=1)
        missed += not forms.print_table(tally, tuple(forms.FORMS))
    print(f"\n{missed} bars missed" if missed else "\nevery bar is reached")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
