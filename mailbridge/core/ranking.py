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

import re2

from mailbridge.core.candidates import Shape, ascii_digits, shapes, unspeakable
from mailbridge.core.labels import ADJACENT, NEAR, Label, Naming, heading, labels, namings
from mailbridge.core.letters import folded
from mailbridge.core.mail import Line
from mailbridge.core.wording import Wording

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "own line": 3.0,
        "label before it": 4.0,
        "label in the line before": 2.5,
        "label after it": 3.0,
        "label in the line after": 1.0,
        "label in an earlier sentence": 1.5,
        "told to enter it": 3.5,
        "the subject speaks of a code": 1.0,
        "after a colon": 1.0,
        "right beside its label": 1.0,
        "set large or apart": 1.5,
        "digits": 1.0,
        "six of them": 0.5,
        "nine or ten of them": -1.0,
        "letters only": -1.5,
        "drawn at random": 1.0,
        "stands in a link too": 2.5,
        "a word and a number": -3.0,
        "numbered with #": -4.0,
        "dialled": -3.0,
        "a percentage in the line": -3.0,
        "one of a list": -6.0,
        "no code is spoken of": -2.5,
        "a meeting is joined with it": -6.0,
        "a short text": 0.5,
        "in the subject": 0.5,
        "in subject and body": 1.0,
        "in several parts": 0.25,
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
        "in a sentence that says not what for": -2.0,
        "run into a word": -1.0,
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
APART = 30
"""Characters beside a candidate up to which its emphasis is its own, and not that of a heading around it."""

MAX_LABELLED = 2_000
LISTED = 3
BESIDE = 10
"""Characters between a label and the number right beside it: ``code is now:``."""

MEETING = re2.compile(
    r"(?i)(?:meeting|webinar|conference|besprechungs|konferenz)[ -]?(?:id|number|nummer)\b|\bid (?:de (?:la )?r[ée]uni[oó]n|da reunião|riunione|della riunione)"
    r"|vergaderings?-?id|identyfikator spotkania|toplantı kimliği|идентификатор (?:конференции|собрания)|会议 ?(?:号|id)|會議 ?(?:號|id)|ミーティング ?id|회의 ?id"
    r"|join (?:by phone|zoom|with google meet|the meeting now)|dial[- ]in (?:number|by)"
)
"""Meetings have a passcode too; the programs that invite to them say so in these words."""

PERCENT = re.compile(r"\d ?[%％]|[%％]\d")
CLOSED = re.compile(r"[\"'*”»）)\]】]{0,3}(?:[.!](?:\s|$)|[。！，、；,;]\D)")
"""A sentence or clause that ends with the candidate."""

INTRODUCING = (":", "：", "=", "》", "-", "–", "—", "՝", "→", "»")

PURPOSE = frozenset(
    {"a lifetime is stated", "sign-in or verification is spoken of", "the subject speaks of a code", "in the subject", "own line"}
)
"""What tells what a code is for, or that it is one."""

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
    subject_kind: str | None
    is_meeting: bool
    is_silent: bool


def weigh(source: str, lines: tuple[Line, ...], reader: Reader, context: Context) -> list[Evidence]:
    """Every candidate of one part of a mail, with its features; refused shapes too."""
    texts = [ascii_digits(line.text) for line in lines]
    reading = _Reading(texts, reader)
    found: list[Evidence] = []
    for index, line in enumerate(lines):
        seen = reading.shapes(index)
        if not seen:
            continue
        for shape, naming in zip(seen, namings(texts[index], seen, reading.labels(index)), strict=True):
            evidence = Evidence(shape=shape, sources={source}, order=index)
            if shape.refusal in (None, "year", "word and number"):
                names = _features(shape, line, texts[index]) + reading.named(index, shape, naming) + _of_mail(source, context)
                if "in the middle of a sentence" in names and naming.is_generic and not PURPOSE & set(names):
                    names.append("in a sentence that says not what for")
                if {"right beside its label", "a code is spoken of", "an offer or order is spoken of"} <= set(names):
                    names.remove("an offer or order is spoken of")
                evidence.features = {name: WEIGHTS[name] for name in names}
            found.append(evidence)
    return _listed(found)


def _listed(found: list[Evidence]) -> list[Evidence]:
    """Three and more of one form, each alone on its line, are a list: backup codes, lottery numbers, statistics."""
    forms: dict[str, set[str]] = {}
    alone = [(one, _form(one)) for one in found if "own line" in one.features]
    for one, form in alone:
        forms.setdefault(form, set()).add(one.shape.value)
    for one, form in alone:
        if len(forms[form]) >= LISTED:
            one.features["one of a list"] = WEIGHTS["one of a list"]
    return found


def _form(one: Evidence) -> str:
    return re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"[0-9]", "0", one.shape.shown)))


class Reader:
    """Finds the shapes and the labels of lines, each line's once: the parts of a mail often say the same."""

    def __init__(self, wording: Wording) -> None:
        self.wording = wording
        self._labels: dict[str, tuple[Label, ...]] = {}
        self._shapes: dict[str, tuple[Shape, ...]] = {}

    def labels(self, text: str) -> tuple[Label, ...]:
        """The words of a line that name numbers; of a very long line, those of its beginning."""
        found = self._labels.get(text)
        if found is None:
            found = self._labels[text] = labels(text[:MAX_LABELLED], self.wording)
        return found

    def shapes(self, text: str) -> tuple[Shape, ...]:
        """What has the shape of a code in a line."""
        found = self._shapes.get(text)
        if found is None:
            is_wordy = not text or (text.isalpha() and len(text) > 12)
            found = self._shapes[text] = () if is_wordy else tuple(shapes(text))
        return found


class _Reading:
    """The lines of one part, and what the words of each and of its neighbours say of a shape."""

    def __init__(self, texts: list[str], reader: Reader) -> None:
        self._texts = texts
        self._reader = reader
        self._wording = reader.wording

    def shapes(self, index: int) -> tuple[Shape, ...]:
        """What has the shape of a code in a line."""
        return self._reader.shapes(self._texts[index])

    def labels(self, index: int) -> tuple[Label, ...]:
        """The words of a line that name numbers."""
        return self._reader.labels(self._texts[index])

    def named(self, index: int, shape: Shape, naming: Naming) -> list[str]:
        """The features that words give: those of the line first, then those of its neighbours."""
        text = self._texts[index]
        head, tail = text[: shape.start].strip(EDGES), text[shape.end :].strip(EDGES)
        names = self._in_line(naming, text, shape)
        if not names and not head and (above := self._beside(index, -1)) is not None:
            label = heading(self._texts[above], self.shapes(above), self.labels(above))
            if label is not None and len(self._texts[above]) - label.end < NEAR * 4:
                if label.is_code:
                    names.append("label in the line before")
                elif len(self._texts[above]) < NEAR:
                    names.append("something else in the line before")
        if naming.before is None and not head and not tail and (below := self._beside(index, 1)) is not None:
            first = next(iter(self.labels(below)), None)
            if first is not None and first.is_code and first.start < NEAR * 2:
                names.append("label in the line after")
        if "%" in text and PERCENT.search(text):
            names.append("a percentage in the line")
        return names

    def _in_line(self, naming: Naming, text: str, shape: Shape) -> list[str]:
        names = []
        if naming.before == "code" and not naming.is_past_sentence:
            names.append("label before it")
            if naming.gap <= BESIDE:
                names.append("right beside its label")
        elif naming.before == "other" and not naming.is_past_sentence:
            names.append("called something else")
        elif naming.after == "code":
            names.append("label after it")
            if naming.is_apposed and naming.gap_after <= BESIDE:
                names.append("right beside its label")
        elif naming.after == "other":
            names.append("called something else" if naming.is_apposed else "something else in the line")
        elif naming.before == "code":
            names.append("label in an earlier sentence")
        elif naming.before == "other":
            names.append("something else in the line")
        if naming.before == "code" and naming.after == "other" and naming.gap > ADJACENT:
            names.append("something else in the line")
        if "label before it" not in names and "called something else" not in names and self._is_to_be_entered(text, shape):
            names.append("told to enter it")
        return names

    def _is_to_be_entered(self, text: str, shape: Shape) -> bool:
        """Whether somebody is told to enter it, in a line that also says what for."""
        head, tail = (
            folded(text[max(0, shape.start - 2 * ADJACENT) : shape.start]),
            folded(text[shape.end : shape.end + ADJACENT]),
        )
        is_told = self._wording.enter.search(head) is not None or self._wording.enter.search(tail) is not None
        return is_told and self._wording.act.search(folded(text)) is not None

    def _beside(self, index: int, step: int) -> int | None:
        """The nearest line with words or numbers, at most three away."""
        for distance in range(1, 4):
            place = index + step * distance
            if not 0 <= place < len(self._texts):
                return None
            if any(letter.isalnum() for letter in self._texts[place]):
                return place
        return None


def _features(shape: Shape, line: Line, text: str) -> list[str]:
    names = []
    is_alone = text.strip(EDGES) == shape.shown.strip(EDGES)
    head, tail = text[: shape.start].rstrip(), text[shape.end :]
    if is_alone:
        names.append("own line")
    elif head.endswith(INTRODUCING) or (head.endswith("is") and not tail.strip(EDGES)):
        names.append("after a colon")
    elif head.strip(EDGES) and tail.strip(EDGES) and not CLOSED.match(tail):
        names.append("in the middle of a sentence")
    if line.is_emphasised and len(text) <= len(shape.shown) + APART:
        names.append("set large or apart")
    if shape.kind == "digits":
        names.append("digits")
        if len(shape.value) == 6:
            names.append("six of them")
        elif len(shape.value) >= 9:
            names.append("nine or ten of them")
        if shape.is_run_in:
            names.append("run into a word")
    elif shape.kind == "letters":
        names.append("letters only")
    if shape.kind != "digits" and shape.refusal is None and _is_random(shape.shown):
        names.append("drawn at random")
    if shape.refusal == "word and number":
        names.append("a word and a number")
    if shape.start and text[shape.start - 1] == "#":
        names.append("origin-bound" if text.lstrip().startswith("@") else "numbered with #")
    elif tail.startswith("#"):
        names.append("dialled")
    return names


def _is_random(text: str) -> bool:
    """What no word looks like: a digit between letters, cases that change where none changes them, capitals that nobody can speak."""
    inner = re.search(r"[A-Za-z]\d+[A-Za-z]|\d[A-Za-z]+\d", text) is not None
    changes = sum(one.islower() and two.isupper() for one, two in pairwise(text))
    return inner or changes >= 2 or (len(text) >= 5 and text.isalpha() and text.isupper() and unspeakable(text))


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
    if context.is_silent:
        names.append("no code is spoken of")
    if context.is_meeting:
        names.append("a meeting is joined with it")
    if context.subject_kind == "code" and source != "subject":
        names.append("the subject speaks of a code")
    if context.subject_kind == "other":
        names.append("the subject speaks of something else")
    elif context.speaks_of_else:
        names.append("an offer or order is spoken of")
    return names


def spoken_of(texts: list[str], reader: Reader) -> tuple[bool, bool]:
    """Whether the lines name a code, and whether they name other numbered things more often."""
    found = [one.is_code for text in texts if text for one in reader.labels(text)]
    codes = sum(found)
    return codes > 0, len(found) - codes > codes


def subject_kind(subject: list[str], reader: Reader) -> str | None:
    """What the subject speaks of: ``code``, ``other`` (an order, an offer …), or None."""
    if not subject:
        return None
    found = reader.labels(subject[0])
    if any(one.is_code for one in found):
        return "code"
    return "other" if found or PERCENT.search(subject[0]) else None


def weights_table() -> str:
    """The features and their weights as a Markdown table, heaviest first; `docs/rules.md` holds it."""
    rows = [f"| {name} | {weight:+.1f} |" for name, weight in sorted(WEIGHTS.items(), key=lambda item: (-item[1], item[0]))]
    return "\n".join(["| feature | weight |", "|---|--:|", *rows])
