"""What the wording files say, all languages as one: words by their kind, months, numerals, and the marks of a forwarded mail.

A mail need not say which language is its own: all are looked up at once (see `mailbridge.core.words`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

import re2

from mailbridge.core.dataclass import dataclass
from mailbridge.core.language import Language, WordingError, read_language
from mailbridge.core.presence import NEVER, Presence
from mailbridge.core.script import folded
from mailbridge.core.words import Index, Span, Words, merged

__all__ = ["ForwardWords", "Language", "Wording", "WordingError", "compiled", "read_language"]

WRITTEN_DATE = re.compile(
    r"(?<![^\W_])(?:(?:\d{1,2}(?:st|nd|rd|th|er|[.º°])?,? ?(?:(?:de|di|of) |d['’])?)?(?P<name>[^\s\d.,;:!?()/\-–]{2,20}+)\.?,?(?: de| del)?"
    r" (?:\d{1,2}(?:st|nd|rd|th|[.])?,? )?\d{4}|\d{4}[.,]? (?P<after>[^\s\d.,;:!?()/\-–]{2,20}+)\.? \d{1,2})(?!\d)"
)
"""A day, a month's name and a year, in the orders in which languages write them; the day may be missing."""

SHORTEST_MONTH = 2
LONGEST_ENDING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardWords:
    """How mail programs head what they forward: names of headers as written, prefixes of subjects folded, marks and quotations.

    ``months`` are the names of months with their numbers; ``afternoon`` are words for PM.
    """

    sender: frozenset[str] = frozenset()
    to: frozenset[str] = frozenset()
    date: frozenset[str] = frozenset()
    subject: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    replies: frozenset[str] = frozenset()
    mark: Presence = field(default_factory=lambda: _anywhere([], "forward.mark"))
    wrote: Presence = field(default_factory=lambda: _anywhere([], "forward.wrote"))
    months: Mapping[str, int] = field(default_factory=dict)
    afternoon: frozenset[str] = frozenset()


class Dates:
    """Finds dates that are written out with a month's name of any language."""

    def __init__(self, months: Mapping[str, int]) -> None:
        self._months = months

    def spans(self, text: str) -> list[Span]:
        """Where the dates of a text without capitals stand, from left to right."""
        return [match.span() for match in WRITTEN_DATE.finditer(text) if self.month(match["name"] or match["after"]) is not None]

    def month(self, name: str) -> int | None:
        """The number of a month by its name without capitals, also with an ending of up to three letters; None if it is none."""
        for cut in range(LONGEST_ENDING + 1):
            stem = name[: len(name) - cut]
            if len(stem) < (SHORTEST_MONTH if cut == 0 else SHORTEST_MONTH + 2):
                return None
            if stem in self._months:
                return self._months[stem]
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The words of each kind; give them text without capitals (`mailbridge.core.script.folded`).

    ``generic`` are words for a code that say nothing by themselves ("code", "PIN"), ``specific`` those that do ("login code"); ``code``
    has both. ``subject_ref`` points
    at the subject or at what stands above ("the number in the subject"). ``numbered`` makes a word for a thing the name of its
    number ("order number"). ``sharing`` fully matches what stands between two numbers of which both are meant, ``joined`` what
    stands between two halves of a name; ``purpose`` searches what stands between a code and what it is for.
    """

    code: Words
    generic: Words
    specific: Words
    other: Words
    idiom: Words
    enter: Words
    act: Words
    expiry: Words
    minutes: Words
    hours: Words
    common: Words
    once: Words
    secret: Words
    subject_ref: Words
    meeting: Words
    numbered: Words
    reset: Words
    notice: Words
    invited: Words
    threat: Words
    account: Words
    idle: Words
    signing: Words
    month_numbers: Mapping[str, int]
    dates: Dates
    numerals: Mapping[str, int]
    sharing: re.Pattern[str]
    joined: re.Pattern[str]
    purpose: re.Pattern[str]
    forward: ForwardWords
    index: Index

    def knows(self, lines: Iterable[str]) -> bool:
        """Whether each of some lines, without capitals, is known by an earlier reading, so that to ask it costs next to nothing."""
        return self.index.knows(lines)

    def read_together(self, lines: Sequence[str]) -> str:
        """Read the lines of a mail, without capitals, in one pass, before single ones are asked; all in one is returned, to ask it too."""
        return self.index.read_together(lines)


def compiled(languages: Iterable[Language]) -> Wording:
    """All languages as one."""
    known = list(languages)
    months = merged(language.months for language in known)
    kinds = _Kinds(known)
    return Wording(
        code=kinds.words("code", "code.generic"),
        generic=kinds.words("code.generic"),
        specific=kinds.words("code"),
        other=kinds.words("other"),
        idiom=kinds.words("idiom"),
        enter=kinds.words("enter"),
        act=kinds.words("act"),
        expiry=kinds.words("expiry"),
        minutes=kinds.words("minutes"),
        hours=kinds.words("hours"),
        common=kinds.words("common"),
        once=kinds.words("once"),
        secret=kinds.words("secret"),
        subject_ref=kinds.words("subject"),
        meeting=kinds.words("meeting"),
        numbered=kinds.words("number"),
        reset=kinds.words("link.reset"),
        notice=kinds.words("link.notice"),
        invited=kinds.words("link.invited"),
        threat=kinds.words("link.threat"),
        account=kinds.words("link.account"),
        idle=kinds.words("link.idle"),
        signing=kinds.words("link.signing"),
        month_numbers=months,
        dates=Dates(months),
        numerals=merged(language.numerals for language in known),
        sharing=re.compile(rf"\W{{0,4}}(?:{_listed(known, 'grammar.and')})?\W{{0,3}}"),
        joined=re.compile(rf"[ \-]?|[ ](?:{_listed(known, 'grammar.of')})[ ]|[ ]d['’]"),
        purpose=_purpose(known),
        forward=ForwardWords(
            sender=_names(known, "forward.from"),
            to=_names(known, "forward.to"),
            date=_names(known, "forward.date"),
            subject=_names(known, "forward.subject"),
            prefixes=frozenset(map(folded, _names(known, "forward.prefix"))),
            replies=frozenset(map(folded, _names(known, "forward.reply"))),
            mark=_anywhere(known, "forward.mark"),
            wrote=_anywhere(known, "forward.wrote"),
            months=months,
            afternoon=_names(known, "forward.afternoon"),
        ),
        index=kinds.index,
    )


class _Kinds:
    """Gives each kind its bit in one index of all languages."""

    def __init__(self, languages: list[Language]) -> None:
        self._languages = languages
        self.index = Index()
        self._next = 1

    def words(self, *lists: str) -> Words:
        """The words of some lists of every language."""
        kind, self._next = self._next, self._next << 1
        for language in self._languages:
            entries = tuple(entry for name in lists for entry in language.words.get(name, ()))
            if entries:
                self.index.add(kind, entries, language.morphology)
        return Words(self.index, kind)


def _names(languages: Iterable[Language], name: str) -> frozenset[str]:
    return frozenset(word for language in languages for word in language.words.get(name, ()))


def _anywhere(languages: Iterable[Language], name: str) -> Presence:
    """The entries of a list, which stand anywhere in a text without capitals."""
    entries = sorted(re2.escape(folded(entry)) for entry in _names(languages, name))
    return Presence({name: "|".join(entries) or NEVER})


def _listed(languages: Iterable[Language], name: str) -> str:
    """The entries of a list as alternatives, longest first; what never matches where there is none."""
    return (
        "|".join(sorted((re.escape(folded(word)) for word in _names(languages, name)), key=lambda word: (-len(word), word)))
        or "(?!)"
    )


def _purpose(languages: list[Language]) -> re.Pattern[str]:
    """From a code up to what it is for, without a stop between: ``to confirm your``, but not ``to your``."""
    places = _listed(languages, "grammar.place")
    return re.compile(rf"^[^\d]*\b(?!(?:{places})\b)(?:{_listed(languages, 'grammar.purpose')})\b[^.:;!?\d]{{0,40}}$")
