"""How often extraction is right at each confidence, over corpus and museum: run as ``python -m tests.calibration [--fit]``.

Every mail counts with its best candidate, pushed or not, so that the low bands are seen as well. ``--fit`` prints the constants
that `mailbridge.core.confidence` should have: a logistic regression of "the best candidate is the code" on score and lead, with
each mail once, and each product no more than ten times, so that no template with many translations decides.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core import extract as extraction
from mailbridge.core.confidence import of_code, of_link
from mailbridge.core.lifetime import stated_lifetime
from mailbridge.core.links import is_plausible, rank
from mailbridge.core.mail import Body, Message
from mailbridge.core.ranking import Reader
from mailbridge.core.rules import RuleSet, load
from mailbridge.core.text import page_from_html, page_from_plain

BOUNDS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 0.99, 1.01)
MUSEUM = Path(__file__).resolve().parent / "corpus"
MOST = 10
"""Mails of one product that count in a fit."""

Point = tuple[float, float, bool]
"""Score, lead over the next, and whether it is right."""


def cases(shared: Path) -> list[dict[str, Any]]:
    """Mails of corpus, mutants and museum with what is expected of them."""
    found = []
    for name in ("cases", "mutants"):
        lines = (shared / "corpus" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        found += [case for case in map(json.loads, lines) if not case.get("ambiguous")]
    for file in sorted(MUSEUM.glob("*.toml")):
        for exhibit in tomllib.loads(file.read_text(encoding="utf-8"))["exhibit"]:
            kind = {"code": "code", "link": "magic_link"}.get(exhibit["verdict"], "none")
            text = exhibit.get("plain")
            found.append({**exhibit, "text": text, "kind": kind, "expected": exhibit.get("value"), "product": exhibit["name"]})
    return [case for case in found if case.get("verdict") != "ambiguous"]


def points(found: list[dict[str, Any]], rules: RuleSet) -> tuple[list[Point], list[Point]]:
    """The best code candidate of each mail, and the best link of each mail without a code."""
    codes: list[Point] = []
    links: list[Point] = []
    seen: Counter[tuple[str, str]] = Counter()
    for case in found:
        seen[case["product"], case["kind"]] += 1
        if seen[case["product"], case["kind"]] > MOST:
            continue
        message = message_of(case)
        right = {_bare(one) for one in (case.get("expected"), *(case.get("accept") or ())) if one}
        parts = extraction._parts(message, rules.wording.forward)
        stated = stated_lifetime(parts.texts, rules.wording)
        able = [one for one in extraction._evidence(parts, Reader(rules.wording), stated) if one.features]
        if able:
            lead = able[0].score - (able[1].score if len(able) > 1 else 0.0)
            codes.append((able[0].score, lead, case["kind"] == "code" and _bare(able[0].shape.value) in right))
        if case["kind"] != "code":
            pages = [page for page in (message.html, message.plain) if page is not None]
            ranked = rank(tuple(link for page in pages for link in page.links), rules.wording)
            if ranked and is_plausible(ranked[0], message.subject, parts.texts, rules.wording):
                links.append((ranked[0].score, 0.0, _bare(ranked[0].link.url) in right))
    return codes, links


def message_of(case: dict[str, Any]) -> Message:
    """The case as a message of its parts."""
    html = case.get("html")
    return Message(
        subject=case.get("subject") or "",
        plain=page_from_plain(case["text"]) if case.get("text") else None,
        html_body=Body(lambda: page_from_html(html)) if html else None,
    )


def bands(found: list[Point], confidence: Callable[[float, float], float]) -> Iterator[tuple[float, float, int, int]]:
    """For each band of confidence: its bounds, how many best candidates fall in it, and how many of them are right."""
    for low, high in itertools.pairwise(BOUNDS):
        inside = [right for score, lead, right in found if low <= confidence(score, lead) < high]
        yield low, high, len(inside), sum(inside)


def fit(found: list[Point], rounds: int = 20_000, step: float = 0.02) -> tuple[float, float, float]:
    """Constant, weight of the score and weight of the lead, by gradient descent; a little ridge keeps them finite."""
    constant, by_score, by_lead = 0.0, 0.0, 0.0
    for _ in range(rounds):
        slopes = [0.0, 0.0, 0.0]
        for score, lead, right in found:
            x, y = score - 5.0, min(lead, 3.0)
            error = 1 / (1 + math.exp(-max(-30.0, min(30.0, constant + by_score * x + by_lead * y)))) - right
            slopes = [slopes[0] + error, slopes[1] + error * x, slopes[2] + error * y]
        count = len(found)
        constant -= step * (slopes[0] / count + 1e-3 * constant)
        by_score -= step * (slopes[1] / count + 1e-3 * by_score)
        by_lead -= step * (slopes[2] / count + 1e-3 * by_lead)
    return constant, by_score, by_lead


def _bare(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())


def main() -> int:
    """Print the tables."""
    folder = Path(os.environ.get("MAILBRIDGE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "corpus" / "cases.jsonl").exists():
        print(f"no corpus at {folder}: set MAILBRIDGE_SHARED to the folder that holds corpus/cases.jsonl", file=sys.stderr)
        return 1
    codes, links = points(cases(folder), load(list(rule_sources(RuleSettings()))))
    for name, found, confidence in (("code", codes, of_code), ("link", links, lambda score, _: of_link(score))):
        print(f"{name:12}  best candidates   right")
        for low, high, count, right in bands(found, confidence):
            if count:
                print(f"{low:.2f} – {min(high, 1.0):.2f}   {count:15} {100 * right / count:6.1f} %")
        if "--fit" in sys.argv:
            print(f"fit of {len(found)}: " + ", ".join(f"{value:.3f}" for value in fit(found, rounds=4_000, step=0.1)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
