"""Codes of every form in sentences of many scripts, with twins that hold none: run as ``python -m tests.extraction.forms``.

Each draw is a whole mail that is parsed and extracted. A twin is the same mail with a common word in the place of the code, with
a number that is called an order, or with nothing. The table says how many codes came out right, wrong or not at all (held), by
form, script and place, and how many twins were pushed. ``--draws`` of each form, ``--seed``, ``--form`` (a part of its name),
``--failures``, ``--json FILE``.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.parse import parse
from mailbridge.core.rules import RuleSet, load
from tests.extraction.mails import composed

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CARRIERS = Path(__file__).with_name("carriers.toml")
SITES = ("Harbour", "Fernway", "Quillstone", "Tavora")
PLACES = ("sentence", "above")
TWINS = ("word", "order", "nothing")
CAPITALS = string.ascii_uppercase + string.digits
WORKERS = 2

Draw = Callable[[random.Random], str]


def _of(alphabet: str, *lengths: int) -> Draw:
    """Groups of these lengths, joined by hyphens."""
    return lambda dice: "-".join("".join(dice.choices(alphabet, k=length)) for length in lengths)


def _prefixed(dice: random.Random) -> str:
    prefix = dice.choice(("G", "FB", "PRH", "".join(dice.choices(string.ascii_uppercase, k=dice.randint(2, 4)))))
    return f"{prefix}-{''.join(dice.choices(string.digits, k=dice.choice((4, 5, 6, 6, 6, 8))))}"


def _groups(dice: random.Random, count: int, length: int, marks: str) -> str:
    mark = dice.choice(marks)
    return mark.join("".join(dice.choices(string.digits, k=length)) for _ in range(count))


FORMS: Mapping[str, Draw] = {
    **{f"{length} digits": _of(string.digits, length) for length in range(4, 11)},
    "3-3": lambda dice: _groups(dice, 2, 3, " -"),
    "3-3-3": lambda dice: _groups(dice, 3, 3, " -"),
    "4-4": lambda dice: _groups(dice, 2, 4, " -"),
    "[A-Z]{6}": _of(string.ascii_uppercase, 6),
    "[A-Z0-9]{6}": _of(CAPITALS, 6),
    "[A-Za-z0-9]{8}": _of(string.ascii_letters + string.digits, 8),
    "[a-z]{6}": _of(string.ascii_lowercase, 6),
    "XXX-XXX": _of(CAPITALS, 3, 3),
    "XXXX-XXXX": _of(CAPITALS, 4, 4),
    "prefixed": _prefixed,
}
"""Every form of code that sites send, each with what draws one."""

BARS = {form: 0.90 if form == "[a-z]{6}" else 0.97 for form in FORMS}
"""The share of each form that has to come out right."""

MOST_TWINS = 0.003
"""The share of twins that may be pushed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """One mail: its octets, what it holds (None: nothing), and where it belongs in the table."""

    form: str
    script: str
    place: str
    expected: str | None
    content: bytes
    body: str

    @property
    def is_twin(self) -> bool:
        """Whether nothing may be pushed."""
        return self.expected is None


def specimens(form: str, draws: int, seed: int) -> Iterator[Specimen]:
    """``draws`` mails with a code of the form, and as many twins, in turn over scripts, places and kinds of twin."""
    dice = random.Random(f"{seed} {form}")
    tables = tomllib.loads(CARRIERS.read_text(encoding="utf-8"))
    latin = tables.pop("latin")
    scripts = list(tables)
    for number in range(draws):
        script = scripts[number % len(scripts)]
        carriers = tables[script]
        place = PLACES[number // len(scripts) % len(PLACES)]
        code = FORMS[form](dice)
        carrier = dice.choice(carriers[place])
        yield _mail(dice, form, script, place, code, carriers["subjects"], carrier.replace("{code}", code))
        twin = TWINS[number // (len(scripts) * len(PLACES)) % len(TWINS)]
        if twin == "word":
            word = _word(dice, form, carriers.get("words", ()), latin)
            body, subjects = carrier.replace("{code}", word), carriers["subjects"]
        elif twin == "order":
            body, subjects = dice.choice(carriers["order"]).replace("{code}", FORMS[form](dice)), ["{site}"]
        else:
            body, subjects = dice.choice((dice.choice(carriers["nothing"]), carrier.replace("{code}", ""))), carriers["subjects"]
        yield _mail(dice, form, script, f"twin: {twin}", None, subjects, body)


def _word(dice: random.Random, form: str, own: Sequence[str], latin: Mapping[str, Sequence[str]]) -> str:
    """A common word in the case of the form."""
    if own and dice.random() < 0.4:
        return dice.choice(own)
    word = dice.choice(latin["grouped"] if form.startswith("XXX") else latin["words"])
    if form in ("[A-Z]{6}", "[A-Z0-9]{6}", "XXX-XXX", "XXXX-XXXX"):
        return word.upper()
    return word if form == "[a-z]{6}" else dice.choice((word, word.upper(), word.title()))


def _mail(
    dice: random.Random, form: str, script: str, place: str, expected: str | None, subjects: Sequence[str], body: str
) -> Specimen:
    site = dice.choice(SITES)
    subject, body = dice.choice(subjects).replace("{site}", site), body.replace("{site}", site)
    content = composed(subject, site=site, plain=body, number=dice.getrandbits(64))
    return Specimen(form=form, script=script, place=place, expected=expected, content=content, body=f"{subject}\n{body}")


def judged(specimen: Specimen, found: Extraction) -> str:
    """``right``, ``wrong`` or ``held`` for a code; ``pushed`` or ``quiet`` for a twin."""
    if specimen.is_twin:
        return "pushed" if found.verdict.is_pushed else "quiet"
    if not found.verdict.is_pushed:
        return "held"
    value = found.value.reveal() if found.value is not None else ""
    return "right" if found.verdict is Verdict.CODE and _bare(value) in _accepted(specimen.expected or "") else "wrong"


def _accepted(code: str) -> set[str]:
    """The code, grouping aside; Google's field takes the digits behind its ``G-``."""
    return {_bare(code), _bare(code.removeprefix("G-"))}


def _bare(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())


Row = tuple[str, str, str, str]
"""Form, script, place and verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A mail that came out otherwise than it should, for the eye."""

    row: Row
    expected: str | None
    found: str | None
    reason: str
    body: str


def measure(form: str, draws: int, seed: int, rules: RuleSet) -> tuple[Counter[Row], list[Failure]]:
    """Every draw of one form, counted, and those that failed."""
    tally: Counter[Row] = Counter()
    failures = []
    for one in specimens(form, draws, seed):
        found = extract(parse(one.content), rules=rules, now=NOW, default_lifetime=timedelta(minutes=10))
        row = (form, one.script, one.place, judged(one, found))
        tally[row] += 1
        if row[3] not in ("right", "quiet"):
            value = found.value.reveal() if found.value is not None else None
            shown = value if found.verdict.is_pushed else f"({found.verdict})"
            why = found.reason + "; ".join(f" {r.value.reveal()}: {r.why}" for r in found.rejected[:2])
            failures.append(Failure(row=row, expected=one.expected, found=shown, reason=why, body=one.body))
    return tally, failures


def share(tally: Counter[Row], form: str, verdict: str, *, is_twin: bool = False) -> tuple[int, int]:
    """How many mails of a form have the verdict, and of how many, among codes or among twins."""
    rows = {row: count for row, count in tally.items() if row[0] == form and row[2].startswith("twin") == is_twin}
    return sum(count for row, count in rows.items() if row[3] == verdict), sum(rows.values())


def measured_all(forms: Sequence[str], draws: int, seed: int) -> tuple[Counter[Row], list[Failure]]:
    """Every draw of many forms, by as many processes as there are cores."""
    tally: Counter[Row] = Counter()
    failures: list[Failure] = []
    with ProcessPoolExecutor(WORKERS) as pool:
        for counted, failed in pool.map(_measured, forms, [draws] * len(forms), [seed] * len(forms)):
            tally += counted
            failures += failed
    return tally, failures


def _measured(form: str, draws: int, seed: int) -> tuple[Counter[Row], list[Failure]]:
    return measure(form, draws, seed, load(list(rule_sources(RuleSettings()))))


def _rate(part: int, whole: int) -> str:
    return f"{100 * part / whole:6.1f}" if whole else "     –"


def print_table(tally: Counter[Row], forms: Sequence[str]) -> bool:
    """The table by form, then by form and script, then by place; whether every bar is reached."""
    is_reached = True
    print(f"{'form':16}{'right %':>8}{'wrong':>7}{'held':>7}   bar  | twins pushed % (word, order, nothing)")
    for form in forms:
        right, whole = share(tally, form, "right")
        pushed, twins = share(tally, form, "pushed", is_twin=True)
        is_good = right >= BARS[form] * whole and pushed <= MOST_TWINS * twins
        is_reached = is_reached and is_good
        kinds = [
            sum(n for row, n in tally.items() if row[0] == form and row[2:] == (f"twin: {kind}", "pushed")) for kind in TWINS
        ]
        print(
            f"{form:16}  {_rate(right, whole)}{share(tally, form, 'wrong')[0]:7}{share(tally, form, 'held')[0]:7}"
            f"   {100 * BARS[form]:.0f}{' ' if is_good else '*'}  |{_rate(pushed, twins)}  {kinds}"
        )
    for title, column in (("script", 1), ("place", 2)):
        names = sorted({row[column] for row in tally if not row[column].startswith("twin")})
        print(f"\nright % by {title:9}" + "".join(f"{name[:9]:>10}" for name in names))
        for form in forms:
            cells = []
            for name in names:
                cell = Counter[str]()
                for row, count in tally.items():
                    if row[0] == form and row[column] == name and not row[2].startswith("twin"):
                        cell[row[3]] += count
                cells.append(f"{_rate(cell['right'], sum(cell.values())):>10}")
            print(f"{form:20}" + "".join(cells))
    return is_reached


def main() -> int:
    """Print the tables; 1 where a bar is missed."""
    asked = argparse.ArgumentParser(prog="python -m tests.extraction.forms", description=__doc__)
    asked.add_argument("--draws", type=int, default=2_000)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--form", default="", help="only forms with this in their name")
    asked.add_argument("--failures", type=int, default=0, help="how many failed mails to show")
    asked.add_argument("--json", type=Path)
    told = asked.parse_args()
    forms = [form for form in FORMS if told.form in form]
    tally, failures = measured_all(forms, told.draws, told.seed)
    is_reached = print_table(tally, forms)
    random.Random(told.seed).shuffle(failures)
    for one in failures[: told.failures]:
        print(f"\n{' · '.join(one.row)}: wanted {one.expected!r}, got {one.found!r} ({one.reason})\n    {one.body!r}")
    if told.json is not None:
        rows: list[dict[str, Any]] = [{"row": list(row), "count": count} for row, count in sorted(tally.items())]
        told.json.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    return 0 if is_reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
