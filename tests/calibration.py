"""How often extraction is right at each confidence, over the corpus: run as ``python -m tests.calibration``."""

from __future__ import annotations

import itertools
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.extraction import Verdict
from mailbridge.core.mail import Body, Message
from mailbridge.core.rules import RuleSet, load
from mailbridge.core.text import page_from_html, page_from_plain

BOUNDS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 1.01)


def calibration(cases: list[dict[str, str]], rules: RuleSet) -> list[tuple[float, float, int, int]]:
    """For each band of confidence: its bounds, how many mails were pushed in it, and how many of them rightly."""
    bands = [[low, high, 0, 0] for low, high in itertools.pairwise(BOUNDS)]
    for case in cases:
        html = case.get("html")
        message = Message(
            subject=case.get("subject") or "",
            plain=page_from_plain(case["text"]) if case.get("text") else None,
            html_body=Body(lambda html=html: page_from_html(html)) if html else None,  # type: ignore[misc]
        )
        found = extract(message, rules=rules, now=datetime(2026, 1, 1, tzinfo=UTC), default_lifetime=timedelta(minutes=10))
        if found.verdict not in (Verdict.CODE, Verdict.LINK) or found.value is None:
            continue
        band = next(one for one in bands if one[0] <= found.confidence < one[1])
        band[2] += 1
        band[3] += _bare(found.value.reveal()) in {
            _bare(one) for one in (case.get("expected"), *(case.get("accept") or ())) if one
        }
    return [(low, high, int(pushed), int(right)) for low, high, pushed, right in bands]


def _bare(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())


def main() -> int:
    """Print the table."""
    folder = Path(os.environ.get("MAILBRIDGE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "corpus" / "cases.jsonl").exists():
        print(f"no corpus at {folder}: set MAILBRIDGE_SHARED to the folder that holds corpus/cases.jsonl", file=sys.stderr)
        return 1
    lines = (folder / "corpus" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if not case.get("ambiguous")]
    print("confidence     pushed   right")
    for low, high, pushed, right in calibration(cases, load(list(rule_sources(RuleSettings())))):
        if pushed:
            print(f"{low:.2f} – {min(high, 1.0):.2f}   {pushed:6} {100 * right / pushed:6.1f} %")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
