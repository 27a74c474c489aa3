"""How long extraction takes, by kind and by size of mail: run as ``python -m tests.bench.extract_speed``.

Over the corpus it prints median, 95th percentile and worst of what a mail costs from its decoded parts to the answer; then the
growth with size, as a table and as bars, for plain text and for HTML, each of sentences with and without numbers.

``--beside COMMIT`` compares with another commit in the same run: a process for each of the two trees takes turns over the same
mails, the best of all rounds counts for each mail, and the medians are printed with their ratio beside the bar. Exit 1 above a bar.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


ROOT = Path(__file__).resolve().parents[2]
TEXT, SMALL, LARGE, SYNTHETIC = "text only", "HTML under 20 kB", "HTML of 20 kB and more", "HTML table of 60 kB"
BARS = {TEXT: 1.5, SMALL: 1.3, SYNTHETIC: 0.8}
"""How many times as long as before a mail of each kind may take."""

Mail = tuple[str, str, str | None, str | None]
"""Kind, subject, plain part and HTML part."""


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


def mails(folder: Path) -> list[Mail]:
    """The mails of the corpus by kind, and one large table."""
    found: list[Mail] = []
    for case in map(json.loads, (folder / "corpus" / "cases.jsonl").read_text(encoding="utf-8").splitlines()):
        html = case.get("html")
        kind = TEXT if not html else SMALL if len(html) < 20_000 else LARGE
        found.append((kind, case.get("subject") or "", case.get("text"), html))
    return [*found, (SYNTHETIC, "Your order", None, body_of(60, CELL, is_html=True))]


def body_of(size: int, unit: str, *, is_html: bool) -> str:
    """So many kilobytes of a sentence or of a table row."""
    body = unit * max(1, size * 1000 // len(unit))
    return f"<html><body><table>{body}</table></body></html>" if is_html else body


def over_corpus(rules: RuleSet, folder: Path) -> None:
    """One line a kind of mail."""
    kinds: dict[str, list[float]] = {TEXT: [], SMALL: [], LARGE: []}
    for kind, subject, plain, html in mails(folder):
        kinds.setdefault(kind, []).append(spent(answered(rules, subject, plain, html), runs=3))
    print(f"{'ms a mail':24}{'mails':>7}{'median':>9}{'95 %':>9}{'worst':>9}")
    for kind, times in kinds.items():
        ordered = sorted(times)
        print(f"{kind:24}{len(times):7}{statistics.median(times):9.2f}{ordered[int(len(ordered) * 0.95)]:9.2f}{ordered[-1]:9.2f}")


def by_size(rules: RuleSet) -> None:
    """Growth with size: the time for a kilobyte stays what it is where growth is linear."""
    for kind, unit in (("text", SENTENCE * 2 + "\n"), ("HTML", CELL)):
        print(f"\n{kind + ', kB':>10}{'ms':>9}{'ms a kB':>9}")
        for size in SIZES:
            body = body_of(size, unit, is_html=kind == "HTML")
            html = body if kind == "HTML" else None
            took = spent(answered(rules, "Your order", None if html else body, html), runs=3)
            print(f"{size:10}{took:9.2f}{took / size:9.3f}  {'▇' * round(took / 4)}")


def take_turns(folder: Path) -> None:
    """The child of a comparison: for each line on standard input, one round over all mails; prints the milliseconds as JSON."""
    rules = load(list(rule_sources(RuleSettings())))
    works = [(kind, answered(rules, subject, plain, html)) for kind, subject, plain, html in mails(folder)]
    for _ in sys.stdin:
        print(json.dumps([spent(work, runs=5 if kind == SYNTHETIC else 1) for kind, work in works]), flush=True)


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The files of a commit, in a temporary folder."""
    packed = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "mailbridge"], check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tar", "-x", "-C", folder], input=packed, check=True)
        yield Path(folder)


def beside(commit: str, folder: Path, rounds: int) -> int:
    """Compare with another commit; how many bars are missed."""
    with tree_of(commit) as other:
        children = [
            subprocess.Popen(
                [sys.executable, __file__, "--child"],
                env={**os.environ, "PYTHONPATH": str(tree), "MAILBRIDGE_SHARED": str(folder)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for tree in (other, ROOT)
        ]
        best: list[list[float]] = [[], []]
        for turn in range(rounds):
            # The two change places each round, so that neither always runs on the warmer machine.
            for place in (0, 1) if turn % 2 else (1, 0):
                times = _round(children[place])
                best[place] = [min(pair) for pair in zip(best[place] or times, times, strict=True)]
        for child in children:
            child.communicate()
    kinds = [kind for kind, *_ in mails(folder)]
    print(f"{'median, ms a mail':24}{'mails':>7}{commit:>12}{'now':>9}{'ratio':>8}   bar")
    missed = 0
    for kind in dict.fromkeys(kinds):
        before, now = (statistics.median(t for k, t in zip(kinds, times, strict=True) if k == kind) for times in best)
        bar = BARS.get(kind)
        is_missed = bar is not None and now > bar * before
        missed += is_missed
        shown = "" if bar is None else f"≤ {bar:g}{'  MISSED' if is_missed else ''}"
        print(f"{kind:24}{kinds.count(kind):7}{before:12.3f}{now:9.3f}{now / before:8.2f}   {shown}")
    return missed


def _round(child: subprocess.Popen[str]) -> list[float]:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    times: list[float] = json.loads(child.stdout.readline())
    return times


def main() -> int:
    """Print the tables."""
    asked = argparse.ArgumentParser(prog="python -m tests.bench.extract_speed")
    asked.add_argument("--beside", metavar="COMMIT", help="compare with the code of this commit")
    asked.add_argument("--rounds", type=int, default=9)
    asked.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    told = asked.parse_args()
    folder = Path(os.environ.get("MAILBRIDGE_SHARED", ROOT.parent / "shared"))
    has_corpus = (folder / "corpus" / "cases.jsonl").exists()
    if told.child:
        take_turns(folder)
        return 0
    if not has_corpus:
        print(f"no corpus at {folder}: set MAILBRIDGE_SHARED to the folder that holds corpus/cases.jsonl")
    if told.beside:
        return 1 if has_corpus and beside(told.beside, folder, told.rounds) else 0
    rules = load(list(rule_sources(RuleSettings())))
    if has_corpus:
        over_corpus(rules, folder)
    by_size(rules)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
