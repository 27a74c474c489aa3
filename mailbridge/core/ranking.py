"""How candidates are ranked: each feature adds to a score, and the score decides.

Structure weighs more than words: a number alone on its line stands in 72 % of code mails and in 2 % of others (measured over
700 mails), in every language; words confirm, and words about something else take away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

from mailbridge.core.candidates import Shape, ascii_digits, shapes
from mailbridge.core.mail import Line
from mailbridge.core.wording import Wording

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "own line": 3.0,
        "label before it": 4.0,
        "label in the line before": 2.5,
        "label after it": 3.0,
        "label in the line after": 1.0,
        "after a colon": 1.0,
        "right beside its label": 1.0,
        "set large or apart": 1.5,
        "digits": 1.0,
        "six of them": 0.5,
        "nine or ten of them": -1.0,
        "letters only": -1.5,
        "drawn at random": 1.0,
        "a word and a number": -3.0,
        "numbered with #": -2.5,
        "a short text": 0.5,
        "in the subject": 0.5,
        "in subject and body": 1.0,
        "in several parts": 0.5,
        "origin-bound": 5.0,
        "a code is spoken of": 1.0,
        "a lifetime is stated": 1.0,
        "sign-in or verification is spoken of": 0.5,
        "a long text": -1.0,
        "a price is named": -1.0,
        "an offer or order is spoken of": -1.5,
        "the subject speaks of something else": -3.5,
        "called something else": -5.0,
        "something else in the line before": -4.0,
        "something else in the line": -1.5,
        "in the middle of a sentence": -1.0,
        "kept out of sight": -0.5,
        "quoted": -1.5,
    }
)
"""Every feature and what it adds. A candidate needs THRESHOLD to be a code."""

THRESHOLD = 5.0
CLEAR = 0.75
"""By how much the best must lead the next, or the mail is ambiguous."""

LONG_TEXT = 2_000
SHORT_TEXT = 600
NEAR = 60
ADJACENT = 14
APART = 30
"""Characters beside a candidate up to which its emphasis is its own, and not that of a heading around it."""

EDGES = " \t\"'*_`.:;,!()[]{}<>|«»“”„‘’「」【】『』-–—=~#・。、，：→▶►›"


@dataclass(slots=True, kw_only=True)
class Evidence:
    """One value with everything that speaks for and against it."""

    shape: Shape
    features: dict[str, float] = field(default_factory=dict)
    sources: set[str] = field(default_factory=set)
    order: int = 0

    @property
    def score(self) -> float:
        """The sum of the features."""
        return sum(self.features.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What holds for the whole mail."""

    speaks_of_code: bool
    states_lifetime: bool
    speaks_of_signing_in: bool
    is_long: bool
    is_short: bool
    names_a_price: bool
    speaks_of_else: bool
    subject_speaks_of_else: bool


def weigh(source: str, lines: tuple[Line, ...], wording: Wording, context: Context) -> list[Evidence]:
    """Every candidate of one part of a mail, with its features; refused shapes too."""
    texts = [ascii_digits(line.text) for line in lines]
    found: list[Evidence] = []
    for index, (line, text) in enumerate(zip(lines, texts, strict=True)):
        if not text or (text.isalpha() and len(text) > 12):
            continue
        for shape in shapes(text):
            evidence = Evidence(shape=shape, sources={source}, order=index)
            if shape.refusal in (None, "year", "word and number"):
                names = _features(shape, line, text, _beside(texts, index, -1), _beside(texts, index, 1), wording)
                names += _of_mail(source, context)
                if {"right beside its label", "a code is spoken of", "an offer or order is spoken of"} <= set(names):
                    names.remove("an offer or order is spoken of")
                evidence.features = {name: WEIGHTS[name] for name in names}
            found.append(evidence)
    return found


def _beside(texts: list[str], index: int, step: int) -> str:
    """The nearest line with text, at most three away."""
    for distance in range(1, 4):
        place = index + step * distance
        if not 0 <= place < len(texts):
            return ""
        if texts[place]:
            return texts[place]
    return ""


def _features(shape: Shape, line: Line, text: str, before: str, after: str, wording: Wording) -> list[str]:
    names = []
    is_alone = text.strip(EDGES) == shape.shown.strip(EDGES)
    head, tail = text[: shape.start], text[shape.end :]
    if is_alone:
        names.append("own line")
    elif head.rstrip().endswith((":", "：", "=", "》", "-")) or (head.rstrip().endswith("is") and not tail.strip(EDGES)):
        names.append("after a colon")
    elif head.strip(EDGES) and tail.strip(EDGES):
        names.append("in the middle of a sentence")
    if line.is_emphasised and len(text) <= len(shape.shown) + APART:
        names.append("set large or apart")
    if shape.kind == "digits":
        names.append("digits")
        if len(shape.value) == 6:
            names.append("six of them")
        elif len(shape.value) >= 9:
            names.append("nine or ten of them")
    elif shape.kind == "letters":
        names.append("letters only")
    if shape.kind != "digits" and shape.refusal is None and _is_random(shape.shown):
        names.append("drawn at random")
    if shape.refusal == "word and number":
        names.append("a word and a number")
    if shape.start and text[shape.start - 1] == "#":
        names.append("origin-bound" if text.lstrip().startswith("@") else "numbered with #")
    return names + _labels(head, tail, before if not head.strip(EDGES) or is_alone else "", after if is_alone else "", wording)


def _is_random(text: str) -> bool:
    """Letters and digits in the order of no word: a digit between letters, or cases that change where no word changes them."""
    inner = re.search(r"[A-Za-z]\d+[A-Za-z]|\d[A-Za-z]+\d", text) is not None
    changes = sum(one.islower() and two.isupper() for one, two in pairwise(text))
    return inner or changes >= 2


def _labels(head: str, tail: str, before: str, after: str, wording: Wording) -> list[str]:
    names = []
    nearest = _nearest(head[-NEAR * 2 :], wording, from_end=True)
    if nearest == "code":
        names.append("label before it")
        if _nearest(head[-ADJACENT:], wording, from_end=True) == "code":
            names.append("right beside its label")
    elif nearest == "other":
        names.append("called something else")
    follows = _nearest(tail[:NEAR], wording, from_end=False)
    if nearest is None and follows == "code":
        names.append("label after it")
    elif nearest != "other" and follows == "other" and "right beside its label" not in names:
        names.append("something else in the line")
    if nearest is None and before:
        above = _nearest(before[-NEAR * 4 :], wording, from_end=True)
        if above == "code":
            names.append("label in the line before")
        elif above == "other" and len(before) < NEAR:
            names.append("something else in the line before")
    if nearest is None and after and _nearest(after[: NEAR * 2], wording, from_end=False) == "code":
        names.append("label in the line after")
    return names


def _nearest(text: str, wording: Wording, *, from_end: bool) -> str | None:
    """Whether the word nearest to the candidate calls it a code or something else; None where neither stands."""
    folded = text.casefold()
    others = [(match.start(), match.end()) for match in wording.other.finditer(folded)]
    codes = [
        (match.start(), match.end())
        for match in wording.code.finditer(folded)
        if not any(low < match.end() and match.start() < high for low, high in others)
    ]
    if not codes and not others:
        return None
    if not others:
        return "code"
    if not codes:
        return "other"
    if from_end:
        return "code" if codes[-1][1] > others[-1][1] else "other"
    return "code" if codes[0][0] < others[0][0] else "other"


def _of_mail(source: str, context: Context) -> list[str]:
    names = []
    if source == "subject":
        names.append("in the subject")
    if source == "hidden":
        names.append("kept out of sight")
    if source == "quoted":
        names.append("quoted")
    if context.speaks_of_code:
        names.append("a code is spoken of")
    if context.states_lifetime:
        names.append("a lifetime is stated")
    if context.speaks_of_signing_in:
        names.append("sign-in or verification is spoken of")
    if context.is_long:
        names.append("a long text")
    if context.is_short:
        names.append("a short text")
    if context.names_a_price:
        names.append("a price is named")
    if context.subject_speaks_of_else:
        names.append("the subject speaks of something else")
    elif context.speaks_of_else:
        names.append("an offer or order is spoken of")
    return names


def speaks_of_code(texts: list[str], wording: Wording) -> bool:
    """Whether any line calls something a code, and not a coupon or the like."""
    return any(_nearest(text, wording, from_end=False) == "code" for text in texts if text)


def subject_kind(subject: list[str], wording: Wording) -> str | None:
    """What the subject speaks of: ``code``, ``other`` (an order, an offer …), or None."""
    return _nearest(subject[0], wording, from_end=False) if subject else None


def weights_table() -> str:
    """The features and their weights as a Markdown table, heaviest first; `docs/rules.md` holds it."""
    rows = [f"| {name} | {weight:+.1f} |" for name, weight in sorted(WEIGHTS.items(), key=lambda item: (-item[1], item[0]))]
    return "\n".join(["| feature | weight |", "|---|--:|", *rows])
