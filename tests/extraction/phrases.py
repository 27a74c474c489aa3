"""Mails about codes, and mails that hold none, in 23 languages: run as ``python -m tests.extraction.phrases``.

Each language has the same kinds of mail in its own words: the code in a sentence, alone on its line, only in the subject, in cells,
in a picture's text, without any word for it, and in every form; beside them receipts, notices, offers, parcels and invitations.
It was written apart from the words that the extractor knows, to tell what they are worth.
"""

from __future__ import annotations

import random
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.extract import extract
from mailbridge.core.parse import parse
from mailbridge.core.rules import RuleSet, load
from tests.extraction.forms import FORMS, Specimen, judged
from tests.extraction.mails import composed

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PHRASES = Path(__file__).with_name("phrases.toml")
SITE = "Harbour"
NEGATIVES = ("rec", "alert", "promo", "ship", "meet")
PAGE = '<html><body style="font-family:Arial;font-size:14px"><table width="100%"><tr><td>{body}</td></tr></table></body></html>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiled:
    """A mail that came out otherwise than it should, for the eye."""

    language: str
    kind: str
    judgement: str
    expected: str | None
    found: str
    body: str


def mails() -> Iterator[Specimen]:
    """Every mail of every language; ``script`` is the language, ``place`` the kind of mail."""
    for language, table in tomllib.loads(PHRASES.read_text(encoding="utf-8")).items():
        dice = random.Random(f"phrases {language}")
        for place, form, subject, plain, html, code in _of_language(table, dice):
            told = [None if text is None else text.replace("{site}", SITE) for text in (subject, plain, html)]
            content = composed(told[0] or "", site=SITE, plain=told[1], html=told[2], number=dice.getrandbits(64))
            body = f"{told[0]}\n{told[1] or told[2]}"
            is_twin = code is None
            yield Specimen(
                form=form,
                script=language,
                place=f"twin: {place}" if is_twin else place,
                expected=code,
                content=content,
                body=body,
            )


Parts = tuple[str, str, str, str | None, str | None, str | None]
"""Kind, form, subject, plain part, HTML part, code."""


def _of_language(table: Mapping[str, Any], dice: random.Random) -> Iterator[Parts]:
    for kind in ("sent", "use", "first", "reset", "subj"):
        code = FORMS["6 digits"](dice)
        yield kind, "6 digits", table[kind][0].replace("{code}", code), table[kind][1].replace("{code}", code), None, code
    code = FORMS["6 digits"](dice)
    yield "sms", "6 digits", "", table["sms"].replace("{code}", code), None, code
    code = FORMS["6 digits"](dice)
    marked = table["sent"][1].replace("{code}", f"<b>{code}</b>")
    yield "bold", "6 digits", table["sent"][0], None, PAGE.format(body=f"<p>{marked}</p>"), code
    for kind in ("own", "bare"):
        yield from _alone(kind, table[kind], dice)
    for form, draw in FORMS.items():
        code = draw(dice)
        yield "sent", form, table["sent"][0], table["sent"][1].replace("{code}", code), None, code
        code = draw(dice)
        subject, hello, above, below = table["own"]
        yield "own", form, subject, f"{hello}\n\n{above}\n\n{code}\n\n{below}", None, code
    for kind in NEGATIVES:
        subject, text = table[kind]
        yield kind, "none", subject, text, None, None
        yield f"{kind} in cells", "none", subject, None, PAGE.format(body=f"<table>{_cells(text)}</table>"), None


def _alone(kind: str, words: list[str], dice: random.Random) -> Iterator[Parts]:
    """The code apart from the sentence above it: on its line, large, in a cell a digit, as a picture's text."""
    subject, hello, above, below = words
    code = FORMS["6 digits"](dice)
    yield kind, "6 digits", subject, f"{hello}\n\n{above}\n\n{code}\n\n{below}", None, code
    shapes = {"large": '<div style="font-size:28px;font-weight:bold">{code}</div>'}
    if kind == "own":
        shapes["picture"] = '<img src="https://img.example/otp.png" alt="{code}">'
        shapes["cells"] = "<table><tr>{cells}</tr></table>"
    for name, shape in shapes.items():
        code = FORMS["6 digits"](dice)
        cells = "".join(f'<td style="font-size:24px;padding:8px">{digit}</td>' for digit in code)
        shown = shape.replace("{code}", code).replace("{cells}", cells)
        yield (
            f"{kind} {name}",
            "6 digits",
            subject,
            None,
            PAGE.format(body=f"<p>{hello}</p><p>{above}</p>{shown}<p>{below}</p>"),
            code,
        )


def _cells(text: str) -> str:
    """A text as rows of a table, names beside values."""
    rows = []
    for line in text.split("\n"):
        name, mark, value = line.replace("：", ":").partition(":")
        rows.append(f"<tr><td>{name}</td><td><b>{value.strip()}</b></td></tr>" if mark else f"<tr><td colspan=2>{line}</td></tr>")
    return "".join(rows)


def measured(rules: RuleSet) -> tuple[Counter[tuple[str, str, str]], list[Spoiled]]:
    """How many mails of each language and kind were judged how, and those that failed."""
    tally: Counter[tuple[str, str, str]] = Counter()
    spoiled = []
    for one in mails():
        found = extract(parse(one.content), rules=rules, now=NOW, default_lifetime=timedelta(minutes=10))
        judgement = judged(one, found)
        tally[one.script, one.place, judgement] += 1
        if judgement not in ("right", "quiet"):
            value = found.value.reveal() if found.value is not None else ""
            told = f"{found.verdict} {value}: {found.reason}"
            spoiled.append(
                Spoiled(
                    language=one.script,
                    kind=f"{one.place} {one.form}",
                    judgement=judgement,
                    expected=one.expected,
                    found=told,
                    body=one.body,
                )
            )
    return tally, spoiled


def shares(tally: Counter[tuple[str, str, str]], language: str = "") -> tuple[int, int, int, int]:
    """Codes right, codes, twins pushed, twins; of one language or of all."""
    rows = {row: count for row, count in tally.items() if language in ("", row[0])}
    codes = {row: count for row, count in rows.items() if not row[1].startswith("twin")}
    right = sum(count for row, count in codes.items() if row[2] == "right")
    pushed = sum(count for row, count in rows.items() if row[2] == "pushed")
    return right, sum(codes.values()), pushed, sum(rows.values()) - sum(codes.values())


def main() -> int:
    """Print the shares of each language, and what failed."""
    tally, spoiled = measured(load(list(rule_sources(RuleSettings()))))
    for language in sorted({row[0] for row in tally}, key=lambda name: shares(tally, name)[0]):
        right, codes, pushed, twins = shares(tally, language)
        print(f"{language:9}{100 * right / codes:6.1f} % of {codes}, pushed {pushed} of {twins}")
    right, codes, pushed, twins = shares(tally)
    print(f"{'all':9}{100 * right / codes:6.1f} % of {codes}, pushed {pushed} of {twins}\n")
    for one in spoiled:
        print(f"{one.language} {one.kind}: {one.judgement}, wanted {one.expected}, got {one.found[:90]}\n    {one.body[:160]!r}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
