"""What the engine sees of each case, as rows for training: the candidates of a mail with everything that is true of each.

Beside the engine's own features stand some that it does not have: a fit shows whether they are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailbridge.config.rulepack import rule_sources, rule_texts
from mailbridge.config.settings import RuleSettings, Settings
from mailbridge.core.candidates import ascii_digits
from mailbridge.core.context import context_of
from mailbridge.core.evidence import Evidence
from mailbridge.core.extract import evidence_of
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.features import Feature
from mailbridge.core.forwards import bare_subject, is_forward
from mailbridge.core.lifetime import stated_lifetime
from mailbridge.core.links import RankedLink, is_plausible, rank
from mailbridge.core.mail import Message
from mailbridge.core.parse import parse
from mailbridge.core.parts import Parts, parts_of
from mailbridge.core.reading import Reader
from mailbridge.core.rules import RuleSet, load
from mailbridge.core.vetoes import veto_of
from mailbridge.intake.parser_config import parser_config_of
from mailbridge.intake.understand import Understander
from mailbridge.intake.worker_protocol import Request
from tests.extraction.cases import WORKERS, Case, arrival, judged, tool

ENDING = (".", "!", "?", "…", "。", "！", "？", "।", "؟", "۔")
LEADING = (":", "：", "՝", "→")
OTHERS = (0, 1, 2, 4)
"""How many other numbers there are, in steps: none, one, two or three, four and more."""

LENGTHS = (150, 300, 600, 1_200, 2_500)
"""Lengths of the visible text, in characters, that make a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One value of a mail. ``engine`` is the score and the veto of the engine; ``is_right``: it is what the case expects."""

    names: frozenset[str]
    score: float
    veto: str | None
    is_right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One mail: its candidates, best first, and what the engine said of it. ``link_score`` is that of its best link that is plausible."""

    key: str
    group: str
    product: str
    medium: str
    kind: str
    lang: str
    judgement: str
    verdict: str
    is_code: bool
    confidence: float
    candidates: tuple[Candidate, ...]
    link_score: float | None = None
    is_link_right: bool = False

    @property
    def lead(self) -> float:
        """By how much the best score leads the next that no veto strikes."""
        able = [one.score for one in self.candidates if one.veto is None]
        return able[0] - able[1] if len(able) > 1 else able[0] if able else 0.0


def rows_of(folder: Path, cases: Sequence[Case], workers: int = WORKERS) -> list[Row]:
    """A row for each case, in order, by as many processes as there are cores."""
    parts = [cases[start::workers] for start in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        done = list(pool.map(_rows, [folder] * workers, parts))
    order = [index for start in range(workers) for index in range(start, len(cases), workers)]
    return [row for _, row in sorted(zip(order, (one for part in done for one in part), strict=True), key=lambda one: one[0])]


def _rows(folder: Path, cases: Sequence[Case]) -> list[Row]:
    rules = load(list(rule_sources(RuleSettings())))
    read = Understander(parser_config_of(Settings(), rules=rule_texts(Settings().rules)))
    plain = tool(folder, "score").plain
    found = []
    for case in cases:
        request = Request(content=case.content, rcpt_to=(tool(folder, "score").RCPT,), mail_from="", now=arrival(folder, case))
        extraction = read(request).extraction
        message = parse(case.content)
        good = (
            {plain(one) for one in (case.raw["expected"], *(case.raw.get("accept") or ())) if one}
            if case.kind == "code"
            else set()
        )
        candidates = tuple(
            Candidate(
                names=frozenset(names),
                score=one.score,
                veto=veto.name if veto is not None else None,
                is_right=plain(one.shape.value) in good,
            )
            for one, names, veto in candidates_of(message, rules)
        )
        best = best_link(message, rules)
        found.append(_row(folder, case, extraction, candidates, best))
    return found


def _row(folder: Path, case: Case, extraction: Extraction, candidates: tuple[Candidate, ...], best: RankedLink | None) -> Row:
    score = tool(folder, "score")
    good = {score.link(one) for one in (case.raw["expected"], *(case.raw.get("accept") or ())) if one}
    return Row(
        key=f"{case.group}/{case.key}",
        group=case.group,
        product=case.product,
        medium=case.medium,
        kind=case.kind,
        lang=str(case.raw.get("lang") or ""),
        judgement=judged(folder, case, extraction).judgement,
        verdict=str(extraction.verdict),
        is_code=extraction.verdict is Verdict.CODE and extraction.rule == "generic",
        confidence=extraction.confidence,
        candidates=candidates,
        link_score=best.score if best is not None else None,
        is_link_right=best is not None and case.kind == "magic_link" and score.link(best.link.url) in good,
    )


def best_link(message: Message, rules: RuleSet) -> RankedLink | None:
    """The best link of a mail, where the mail around it is plausible."""
    parts = parts_of(message, rules.wording.forward)
    pages = [page for page in (message.html, message.plain) if page is not None]
    ranked = rank(tuple(link for page in pages for link in page.links), rules.wording)
    sender = "" if is_forward(message, rules.wording.forward) else message.sender
    if not ranked or not is_plausible(
        ranked[0], bare_subject(message.subject, rules.wording.forward), parts.texts, rules.wording, sender
    ):
        return None
    return ranked[0]


def candidates_of(message: Message, rules: RuleSet) -> list[tuple[Evidence, set[str], Any]]:
    """Every candidate that is weighed, best first, with the names of what is true of it and the veto that strikes it."""
    reader = Reader(rules.wording)
    parts = parts_of(message, rules.wording.forward)
    context = context_of(parts, reader, stated_lifetime(parts.texts, rules.wording))
    evidence = [one for one in evidence_of(parts, reader, context) if one.is_weighed]
    shared = _of_mail(parts, evidence, message)
    return [(one, names_of(one, parts) | shared, veto_of(one, context)) for one in evidence]


def names_of(one: Evidence, parts: Parts) -> set[str]:
    """The features of a candidate: the engine's, the shape's, and those of the lines around it."""
    names = {str(feature) for feature in one.features}
    names.add(f"kind {one.shape.kind}")
    names.add(f"length {len(one.shape.value)}")
    if one.shape.value.startswith("0"):
        names.add("begins with 0")
    if one.sources == {"subject"}:
        names.add("in the subject only")
    return names | _around(one, parts)


def _around(one: Evidence, parts: Parts) -> set[str]:
    """What the line above says by its end, and whether other numbers stand in the line."""
    source = next((name for name in ("html", "plain", "image", "quoted", "hidden") if name in one.sources), None)
    lines = parts.lines.get(source or "", ())
    place = next((index for index, line in enumerate(lines) if one.shape.shown in ascii_digits(line.text)), None)
    if place is None:
        return set()
    names = set()
    text = ascii_digits(lines[place].text)
    if sum(part.isdigit() for part in text.replace(one.shape.shown, " ").split()) > 0:
        names.add("numbers beside it")
    above = next((line.text.strip() for line in reversed(lines[:place]) if line.text.strip()), "")
    if Feature.OWN_LINE in one.features:
        kind = "ends a sentence" if above.endswith(ENDING) else "introduces" if above.endswith(LEADING) else "is a fragment"
        names.add(f"the line above {kind}" if above else "nothing stands above")
        if above and len(above.split()) <= 3 and not above.endswith(ENDING):
            names.add("label/value row")
    return names


def _of_mail(parts: Parts, evidence: Sequence[Evidence], message: Message) -> set[str]:
    """What holds for the mail as a whole and is no feature of the engine."""
    size = len("\n".join(parts.texts)) // (2 if {"html", "plain"} <= set(parts.lines) else 1)
    digits = {one.shape.value for one in evidence if one.shape.kind == "digits"}
    names = {f"text over {length}" for length in LENGTHS if size > length}
    names |= {f"over {count} numbers" for count in OTHERS if len(digits) > count}
    links = [link for page in (message.html, message.plain) if page is not None for link in page.links]
    if any(link.is_button for link in links):
        names.add("a button")
    names |= {f"over {count} links" for count in (0, 3, 10) if len({link.url for link in links}) > count}
    return names


def engine_names() -> set[str]:
    """The features that the engine has."""
    return {str(feature) for feature in Feature}
