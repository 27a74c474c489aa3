"""The entries of wording files: how they are written, and the tables in which the words of a text are looked up by hash.

An entry is a word or a phrase. ``~`` behind a word takes the endings of its language (``kod~``: kodu, kodunuz), ``*`` before or
behind it any letters (``*code``: Sicherheitscode; ``gutschein*``: Gutscheincode). Accents may be missing where the entry has five
letters or more. A hyphen in an entry may be left out or be a blank in the text (``sign-in``: sign in, signin).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import field

from mailbridge.core.dataclass import dataclass
from mailbridge.core.script import APOSTROPHES, LETTERS, SPACELESS_LETTER, plain

WORD = re.compile(f"[{LETTERS}]+")
PIECES = re.compile(f"([{LETTERS}]+)")
ASCII_PIECES = re.compile("([a-z]+)")
"""Split a text into what stands between its words, and the words."""

FORM = re.compile(r"(?P<head>\*?)(?P<bare>[^*~](?:[^*~]|~(?= ))*)(?P<tail>[*~]?)")
"""An entry with its markers: ``*`` begins or ends it, ``~`` ends a word of it."""

SUSPICIOUS = re.compile(r"(?m)[^\n]\*[^\n]|~[^\n ]|^~|^\*.*\*$|^[^\w\n]*$|^\*?.{0,2}\*$|^\*.{0,2}~?$")
"""What a list has where an entry may mean nothing; it is looked at entry by entry then."""

JOINTS = frozenset((" ", "\n", "-", "\u00a0", "\u202f", "‐", "‑"))
"""What stands between two words of a phrase; it may go on in the next line."""

OPEN = ("~", "*")
"""What stands behind a word that goes on."""

SHORTEST_STEM = 3
LONG = 5
"""Letters from which an entry is also found without its accents, as text messages write it; shorter ones mean other things."""

LOOSE = 5
"""Letters that an ending inside a phrase has at most: the words beside it say enough."""

FILTER = 4
"""Letters by which a word that begins or ends with an entry is told from one that cannot."""

ANY = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Morphology:
    """How the words of a language change: what ``~`` stands for, and what may be written to the front of any word."""

    endings: tuple[str, ...] = ()
    proclitics: tuple[str, ...] = ()


class Split:
    """The words of a text, and where they stand."""

    __slots__ = ("_ends", "gaps", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        pieces = (ASCII_PIECES if text.isascii() else PIECES).split(text)
        self.words = pieces[1::2]
        self.gaps = pieces[::2]
        self._ends = list(itertools.accumulate(map(len, pieces)))

    def start(self, number: int) -> int:
        """The place of a word's first letter."""
        return self._ends[2 * number]

    def end(self, number: int) -> int:
        """The place behind a word's last letter."""
        return self._ends[2 * number + 1]


@dataclass(frozen=True, slots=True)
class Phrase:
    """An entry of several words, or with signs beside it.

    ``extra``: letters that each word may have behind it; ``at``: which is looked up.
    """

    words: tuple[str, ...]
    extra: tuple[int, ...]
    joints: tuple[str, ...]
    lead: str
    trail: str
    at: int

    @classmethod
    def of(cls, key: str) -> Phrase:
        """Take an entry apart."""
        bare = key.strip("*").removesuffix("~")
        places = [match.span() for match in WORD.finditer(bare)]
        words = [bare[start:end] for start, end in places]
        extra = [LOOSE if bare[end : end + 1] == "~" else 0 for _, end in places]
        if key[-1] in "~*":
            extra[-1] = LOOSE if key[-1] == "~" else ANY
        return cls(
            words=tuple(words),
            extra=tuple(extra),
            joints=tuple(bare[end:start].lstrip("~") for (_, end), (start, _) in itertools.pairwise(places)),
            lead=bare[: places[0][0]],
            trail=bare[places[-1][1] :],
            at=words.index(max(words, key=len)),
        )

    def placed(self, at: int, split: Split) -> tuple[int, int] | None:
        """Where it stands, its looked-up word being the text's word number ``at``; None where the others are not beside it."""
        first = at - self.at
        last = first + len(self.words) - 1
        if first < 0 or last >= len(split.words):
            return None
        for number, word in enumerate(self.words):
            written_word = split.words[first + number]
            if written_word != word and not self._goes_on(number, written_word):
                return None
        for number, joint in enumerate(self.joints, first + 1):
            between = split.gaps[number]
            if between not in JOINTS if joint in JOINTS else between.translate(APOSTROPHES) != joint:
                return None
        start, end = split.start(first), split.end(last)
        if (self.trail and not split.text.startswith(self.trail, end)) or not split.text.endswith(self.lead, 0, start):
            return None
        return start - (len(self.lead) if self.lead.isdecimal() else 0), end

    def _goes_on(self, number: int, written_word: str) -> bool:
        """Whether a text's word is one of the entry's, less its accents and with letters behind it that it may have."""
        word, extra = self.words[number], self.extra[number]
        key = written_word if written_word.isascii() else plain(written_word)
        return key == word or (extra != 0 and key.startswith(word) and (extra == ANY or len(key) - len(word) <= extra))


Listed = tuple[tuple[int, str], ...]
"""Kinds, as bits, and entries."""


@dataclass(slots=True)
class Phrases:
    """The phrases that are looked up by one word, by the word behind it, or else by the one before; or by none.

    Where that word may have an ending it stands here by its first letters and ``~``.
    """

    after: dict[str, Listed] | None = None
    before: dict[str, Listed] | None = None
    alone: Listed = ()

    def beside(self, at: int, words: list[str]) -> Listed:
        """Those that may stand where the looked-up word is number ``at`` of a text's words."""
        found = self.alone
        if self.after is not None and at + 1 < len(words):
            found += _next_to(words[at + 1], self.after)
        if self.before is not None and at:
            found += _next_to(words[at - 1], self.before)
        return found


def _next_to(word: str, listed: dict[str, Listed]) -> Listed:
    key = word if word.isascii() else plain(word)
    return listed.get(key, ()) + listed.get(key[:SHORTEST_STEM] + "~", ())


Hits = tuple[int, tuple[Phrases, ...]]
"""What a word of a text may be: its kinds, as bits, and the phrases that it may be a part of."""

NO_HITS: Hits = (0, ())


_Head = tuple[int, str, frozenset[str] | None]
"""Kinds, the letters as they must be written, and the endings that they may have; None for any."""


@dataclass(slots=True)
class Table:
    """The entries whose looked-up word begins in one script.

    ``whole`` words have their kinds, ``accented`` ones as they must be written; ``phrases`` stand at the word by which they are
    looked up. ``heads`` begin words, ``tails`` end them, ``open_phrases`` have a looked-up word with an ending.
    """

    whole: dict[str, int] = field(default_factory=dict)
    accented: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    phrases: dict[str, Phrases] = field(default_factory=dict)
    open_phrases: dict[str, Phrases] = field(default_factory=dict)
    heads: dict[str, tuple[_Head, ...]] = field(default_factory=dict)
    tails: dict[str, int] = field(default_factory=dict)
    head_filter: set[str] = field(default_factory=set)
    tail_filter: set[str] = field(default_factory=set)

    def found(self, key: str, written_word: str) -> Hits:
        """What a word of a text may be; ``key`` is the word without accents."""
        kinds = self.whole.get(key, 0)
        for written, more in self.accented.get(key, ()):
            if written == written_word:
                kinds |= more
        phrases = (self.phrases[key],) if key in self.phrases else ()
        if not self.head_filter.isdisjoint((key[:FILTER], key[: FILTER - 1], key[: FILTER - 2])):
            for size in range(min(FILTER - 2, len(key)), len(key) + 1):
                stem = key[:size]
                if stem in self.heads:
                    kinds |= self._begun(self.heads[stem], key[size:], written_word)
                if stem in self.open_phrases:
                    phrases = (*phrases, self.open_phrases[stem])
        if key[-FILTER:] in self.tail_filter or key[-SHORTEST_STEM:] in self.tail_filter:
            for at in range(len(key) - SHORTEST_STEM + 1):
                kinds |= self.tails.get(key[at:], 0)
        return (kinds, phrases) if kinds or phrases else NO_HITS

    def _begun(self, entries: tuple[_Head, ...], rest: str, written_word: str) -> int:
        kinds = 0
        for kind, written, endings in entries:
            fits = endings is None or not rest or rest in endings
            if fits and (len(written) >= LONG or written_word.startswith(written)):
                kinds |= kind
        return kinds


class Builder:
    """Puts the entries of one script into its table."""

    def __init__(self, table: Table, script: int) -> None:
        self._table = table
        self._script = script
        self._endings: dict[tuple[str, ...], frozenset[str]] = {}

    def add(self, kind: int, listed: str, morphology: Morphology, *, is_checked: bool) -> None:
        """Take the entries of a list, one a line; ``is_checked``: those of this script."""
        whole = self._table.whole
        entries = listed.split("\n")
        keys = plain(listed).split("\n") if is_checked else entries
        for entry, key in zip(entries, keys, strict=True):
            if is_checked and not self._is_ours(entry, key):
                continue
            if key.isalpha():
                if len(key) < LONG and key != entry:
                    self._table.accented.setdefault(key, []).append((entry, kind))
                else:
                    whole[key] = whole.get(key, 0) | kind
            else:
                self._marked(kind, entry, key, morphology)

    def _is_ours(self, entry: str, key: str) -> bool:
        looked_up = key if key.isalpha() else max(WORD.findall(key), key=len, default="a")
        letter = looked_up[0]
        return ord(letter) >> 8 == self._script and (entry.isascii() or SPACELESS_LETTER.search(entry) is None)

    def _marked(self, kind: int, entry: str, key: str, morphology: Morphology) -> None:
        """An entry with markers, blanks or signs."""
        stem = key.strip("*~")
        if WORD.fullmatch(stem) is not None:
            self._word(kind, stem, entry, key, morphology)
            return
        if "-" in stem and (joined := stem.replace("-", "")).isalpha():
            self._word(kind, joined, joined, key, morphology)
        table = self._table
        words = WORD.findall(stem)
        anchor = max(words, key=len)
        at = words.index(anchor)
        ends = [key[match.end() : match.end() + 1] for match in WORD.finditer(key)]
        if ends[at] in OPEN:
            group = table.open_phrases.setdefault(anchor, Phrases())
            table.head_filter.add(anchor[:FILTER])
        else:
            group = table.phrases.setdefault(anchor, Phrases())
        next_to = at + 1 if at + 1 < len(words) else at - 1
        beside = words[next_to] if next_to >= 0 else ""
        if beside and ends[next_to] in OPEN:
            beside = f"{beside[:SHORTEST_STEM]}~" if len(beside) >= SHORTEST_STEM else ""
        if not beside:
            group.alone = _listed(group.alone, kind, key)
        elif at + 1 < len(words):
            group.after = _with(group.after, beside, kind, key)
        else:
            group.before = _with(group.before, beside, kind, key)

    def _word(self, kind: int, stem: str, entry: str, key: str, morphology: Morphology) -> None:
        """One word with ``*`` or ``~``, or a word whose marks are no letters."""
        table = self._table
        if key[0] == "*":
            for ending in ("", *(self._of(morphology) if key[-1] == "~" else ())):
                end = stem + ending
                table.tails[end] = table.tails.get(end, 0) | kind
                table.tail_filter.add(end[-FILTER:])
        elif key[-1] == "~":
            written = entry.strip("~") if len(stem) < LONG else stem
            table.heads[stem] = (*table.heads.get(stem, ()), (kind, written, self._of(morphology)))
            table.head_filter.add(stem[:FILTER])
        elif key[-1] == "*":
            written = entry.strip("*") if len(stem) < LONG else stem
            table.heads[stem] = (*table.heads.get(stem, ()), (kind, written, None))
            table.head_filter.add(stem[:FILTER])
        else:
            table.whole[stem] = table.whole.get(stem, 0) | kind

    def _of(self, morphology: Morphology) -> frozenset[str]:
        known = self._endings.get(morphology.endings)
        if known is None:
            known = self._endings[morphology.endings] = frozenset(plain("\n".join(morphology.endings)).split("\n"))
        return known


def _with(listed: dict[str, Listed] | None, word: str, kind: int, key: str) -> dict[str, Listed]:
    """The phrases by a word beside, with one more."""
    found = {} if listed is None else listed
    found[word] = _listed(found.get(word, ()), kind, key)
    return found


def _listed(entries: Listed, kind: int, key: str) -> Listed:
    """Entries with one more; what several kinds and languages have stands there once."""
    if not entries:
        return ((kind, key),)
    known = {entry: kinds for kinds, entry in entries}
    known[key] = known.get(key, 0) | kind
    return tuple((kinds, entry) for entry, kinds in known.items())


def faults(entries: tuple[str, ...], morphology: Morphology) -> Iterator[tuple[str, str]]:
    """The entries of a list that mean nothing, each with what is wrong with it."""
    whole = "\n".join(entries)
    is_marked = "*" in whole or "~" in whole
    if (
        SUSPICIOUS.search(whole) is None
        and len(set(entries)) == len(entries)
        and (morphology.endings or "~" not in whole)
        and (not is_marked or whole.isascii() or SPACELESS_LETTER.search(whole) is None)
    ):
        return
    seen: set[str] = set()
    for entry in entries:
        reason = "is there twice" if entry in seen else _fault(entry, morphology)
        seen.add(entry)
        if reason is not None:
            yield entry, reason


def _fault(entry: str, morphology: Morphology) -> str | None:
    form = FORM.fullmatch(entry)
    if form is None or (form["head"] and form["tail"] == "*"):
        return "has * or ~ where it means nothing: * begins or ends an entry, ~ ends a word"
    if not any(map(str.isalpha, entry)):
        return "has no letter"
    if "~" in entry and not morphology.endings:
        return "has ~, but the file lists no endings"
    if ("*" in entry or "~" in entry) and SPACELESS_LETTER.search(entry) is not None:
        return "has * or ~ in a script without blanks, where a word is found anywhere"
    if "*" in entry and len(form["bare"]) < SHORTEST_STEM:
        return f"has * at fewer than {SHORTEST_STEM} letters, which would be found in most words"
    return None
