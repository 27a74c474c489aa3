"""How long extraction takes, by kind and by size of mail: run as ``python -m tests.bench.extract_speed``.

Over the corpus it prints median, 95th percentile and worst of what a mail costs from its decoded parts to the answer; then the
growth with size, as a table and as bars, for plain text and for HTML, each of sentences with and without numbers.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.mail import Body, Message
from mailbridge.core.rules import RuleSet, load
from mailbridge.core.text import page_from_html, page_from_plain

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SIZES = (1, 4, 16, 60, 125, 250, 500)
"""Kilobytes."""

SENTENCE = "Thank you for your order 771204 of 12 May 2026, it costs 24.00 EUR and is on its way to 98104 Seattle. "
CELL = (
    '<tr><td style="padding:8px 12px;font-family:Arial,sans-serif;font-size:14px;color:#202123" class="cell"><a href="https://shop.example'
    '/item?id=771204&amp;utm_source=mail" style="color:#4829aa">Coffee mug, blue</a></td><td align="right">24.00 EUR</td></tr>\n'
)


def spent(work: Callable[[], object], runs: int = 5) -> float:
    """The best of some runs, in milliseconds of this process: other programs on the machine only ever make it slower."""
    best = 1e9
    for _ in range(runs):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best * 1000


def answered(rules: RuleSet, subject: str, plain: str | None, html: str | None) -> Callable[[], object]:
    """The work of one mail: its parts read, and what it holds."""

    def work() -> object:
        message = Message(
            subject=subject,
            plain=page_from_plain(plain) if plain else None,
            html_body=Body(lambda: page_from_html(html)) if html else None,
        )
        return extract(message, rules=rules, now=NOW, default_lifetime=timedelta(minutes=10))

    return work


def over_corpus(rules: RuleSet, folder: Path) -> None:
    """One line a kind of mail."""
    lines = (folder / "corpus" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    kinds: dict[str, list[float]] = {"text only": [], "HTML under 20 kB": [], "HTML of 20 kB and more": []}
    for case in map(json.loads, lines):
        html = case.get("html")
        kind = "text only" if not html else "HTML under 20 kB" if len(html) < 20_000 else "HTML of 20 kB and more"
        kinds[kind].append(spent(answered(rules, case.get("subject") or "", case.get("text"), html), runs=3))
    print(f"{'ms a mail':24}{'mails':>7}{'median':>9}{'95 %':>9}{'worst':>9}")
    for kind, times in kinds.items():
        ordered = sorted(times)
        print(f"{kind:24}{len(times):7}{statistics.median(times):9.2f}{ordered[int(len(ordered) * 0.95)]:9.2f}{ordered[-1]:9.2f}")


def by_size(rules: RuleSet) -> None:
    """Growth with size: the time for a kilobyte stays what it is where growth is linear."""
    for kind, unit in (("text", SENTENCE * 2 + "\n"), ("HTML", CELL)):
        print(f"\n{kind + ', kB':>10}{'ms':>9}{'ms a kB':>9}")
        for size in SIZES:
            body = unit * max(1, size * 1000 // len(unit))
            html = f"<html><body><table>{body}</table></body></html>" if kind == "HTML" else None
            took = spent(answered(rules, "Your order", None if html else body, html), runs=3)
            print(f"{size:10}{took:9.2f}{took / size:9.3f}  {'▇' * round(took / 4)}")


def main() -> int:
    """Print both tables."""
    rules = load(list(rule_sources(RuleSettings())))
    folder = Path(os.environ.get("MAILBRIDGE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    if (folder / "corpus" / "cases.jsonl").exists():
        over_corpus(rules, folder)
    else:
        print(f"no corpus at {folder}: set MAILBRIDGE_SHARED to the folder that holds corpus/cases.jsonl")
    by_size(rules)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
