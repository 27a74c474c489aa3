"""The words of all languages, found in a text in one pass: whole words, with the endings and compounds that their file allows.

What an entry is, and the tables of them, stand in `core.entries`. Words are looked up by hash, and not searched for by an automaton:
that of a hundred languages takes ten times as long to build, and with 32 MiB a kind it falls back to its slow search (measured with
re2). Scripts without blanks between words are searched by re2, for an entry may stand anywhere there.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import re2

from mailbridge.core.entries import NO_HITS, SHORTEST_STEM, Builder, Hits, Morphology, Phrase, Split, Table
from mailbridge.core.script import SPACELESS_LETTER, plain

AUTOMATON = 32 << 20
"""Octets that re2 may use for the words of one kind in scripts without blanks."""

MOST_PROCLITICS = 2
MOST_KNOWN = 30_000
MOST_READ = 4_000
"""Words and lines of which it is remembered, by their hash, what they are: a mail says the same in several parts and steps."""

MOST_KEPT = 500
"""Lines that are remembered over the end of a mail: of those of other mails few come again."""

Span = tuple[int, int]
"""The place of a word's first letter, and the place behind its last."""

_Span = tuple[int, int, int]
"""The place of an entry, the place behind it, and its kinds."""


class _Read(NamedTuple):
    """What stands in a text: the kinds in it, each entry, and whether it has a script without blanks."""

    kinds: int
    spans: Sequence[_Span]
    is_spaceless: bool


NO_SPANS: Sequence[_Span] = ()
NOTHING_READ = _Read(0, NO_SPANS, False)


class Index:
    """The entries of every kind. Tables are built for a script when the first text in it comes: most mails need one of twelve."""

    def __init__(self) -> None:
        self._lists: list[tuple[int, str, Morphology]] = []
        self._tables: dict[int, Table] = {}
        self._spaceless: dict[int, tuple[frozenset[str], re2._Regexp]] = {}
        self._proclitics: dict[int, tuple[str, ...]] = {}
        self._words: dict[int, Hits] = {}
        self.known: dict[int, _Read] = {}  # what stands in a line, by its hash, so that nothing of a mail is kept
        self._parsed: dict[str, Phrase] = {}

    @property
    def kept(self) -> int:
        """How many lines are remembered as read."""
        return len(self.known)

    def add(self, kind: int, entries: tuple[str, ...], morphology: Morphology) -> None:
        """Take entries of one language, without capitals and well formed (see `faults`). ``kind`` is a bit."""
        # One text a list: a hundred languages have 24,000 entries, and most of them are of scripts that no mail here has.
        self._lists.append((kind, "\n".join(entries), morphology))

    def read(self, text: str) -> _Read:
        """Every entry in a text without capitals; entries may overlap."""
        found = self.known.get(hash(text))
        if found is None:
            if len(self.known) > MOST_READ:
                self.known.clear()
            found = self._keep(text, self._spans(text))
        return found

    def knows(self, lines: Iterable[str]) -> bool:
        """Whether each of some lines is remembered as read."""
        return self.known.keys() >= set(map(hash, lines))

    def read_together(self, lines: Sequence[str]) -> str:
        """Read lines in one pass, each of them and all in one, so that `read` knows them; all in one, a blank between two, is returned.

        An entry that begins in one line and ends in another stands in neither.
        """
        whole = " ".join(lines)
        if hash(whole) in self.known:
            return whole
        if len(self.known) > MOST_KEPT:
            self.known.clear()
        spans = self._spans("\n".join(lines))
        self._keep(whole, spans)
        starts = [0, *itertools.accumulate(len(line) + 1 for line in lines)]
        by_line: dict[int, list[_Span]] = {}
        for start, end, kinds in spans:
            number = bisect_right(starts, start) - 1
            if end < starts[number + 1]:
                by_line.setdefault(number, []).append((start - starts[number], end - starts[number], kinds))
        for number, line in enumerate(lines):
            if number in by_line or not line.isascii():
                self._keep(line, by_line.get(number, NO_SPANS))
            else:
                self.known[hash(line)] = NOTHING_READ
        return whole

    def _keep(self, text: str, spans: Sequence[_Span]) -> _Read:
        """Remember what a text holds, by its hash, so that nothing of a mail is kept."""
        is_spaceless = not text.isascii() and SPACELESS_LETTER.search(text) is not None
        kinds = 0
        for _, _, more in spans:
            kinds |= more
        found = _Read(kinds, spans, is_spaceless) if kinds or is_spaceless else NOTHING_READ
        self.known[hash(text)] = found
        return found

    def _spans(self, text: str) -> Sequence[_Span]:
        split = Split(text)
        known = self._words
        if len(known) > MOST_KNOWN:
            known.clear()
        found = []
        for at, hits in enumerate(map(known.get, map(hash, split.words))):
            if hits is NO_HITS:
                continue
            kinds, phrases = hits or self._hits(split.words[at])
            if kinds:
                found.append((split.start(at), split.end(at), kinds))
            for group in phrases:
                for kinds, entry in group.beside(at, split.words):
                    span = self._phrase(entry).placed(at, split)
                    if span is not None:
                        found.append((*span, kinds))
        return found or NO_SPANS

    def _phrase(self, entry: str) -> Phrase:
        known = self._parsed.get(entry)
        if known is None:
            known = self._parsed[entry] = Phrase.of(entry)
        return known

    def _hits(self, written_word: str) -> Hits:
        """What a word may be; from now on it is known by its hash, so that nothing of a mail is kept."""
        found = self._words[hash(written_word)] = self._looked_up(written_word)
        return found

    def _looked_up(self, written_word: str) -> Hits:
        key = written_word if written_word.isascii() else plain(written_word)
        if not key:
            return NO_HITS
        script = ord(key[0]) >> 8
        table = self._tables.get(script)
        if table is None:
            table = self._table(script)
        found = table.found(key, written_word)
        if found is NO_HITS and ("ae" in key or "oe" in key or "ue" in key or "aa" in key):
            found = table.found(key.replace("ae", "a").replace("oe", "o").replace("ue", "u").replace("aa", "a"), written_word)
        if not found[0] and script in self._proclitics:
            # That a word with its article begins a phrase says nothing of the word without it.
            behind = self._behind(key, table, self._proclitics[script], MOST_PROCLITICS)
            found = (behind[0], (*found[1], *behind[1])) if behind is not NO_HITS else found
        return found

    def _behind(self, key: str, table: Table, proclitics: tuple[str, ...], most: int) -> Hits:
        """What a word may be behind what its language writes to the front of it."""
        for one in proclitics:
            rest = key[len(one) :]
            if not key.startswith(one) or len(rest) < SHORTEST_STEM - 1:
                continue
            found = table.found(rest, rest)
            if found is NO_HITS and most > 1:
                found = self._behind(rest, table, proclitics, most - 1)
            if found is not NO_HITS:
                return found
        return NO_HITS

    def _table(self, script: int) -> Table:
        table = self._tables[script] = Table()
        builder = Builder(table, script)
        for kind, listed, morphology in self._lists:
            is_ascii = listed.isascii()
            if is_ascii and script:
                continue
            builder.add(kind, listed, morphology, is_checked=not is_ascii)
            if script and morphology.proclitics and ord(morphology.proclitics[0][0]) >> 8 == script:
                known = self._proclitics.get(script, ())
                self._proclitics[script] = tuple(dict.fromkeys((*known, *map(plain, morphology.proclitics))))
        return table

    def spaceless(self, kind: int, text: str) -> Iterator[tuple[int, int]]:
        """The entries of a kind in scripts without blanks, wherever they stand."""
        known = self._spaceless.get(kind)
        if known is None:
            known = self._spaceless[kind] = self._pattern(kind)
        letters, pattern = known
        if not letters.isdisjoint(text):
            for match in pattern.finditer(text):
                yield match.span()

    def _pattern(self, kind: int) -> tuple[frozenset[str], re2._Regexp]:
        """The pattern of a kind, and letters of which every text has one that it matches."""
        options = re2.Options()
        options.max_mem = AUTOMATON
        options.longest_match = True
        options.log_errors = False
        entries = {
            entry
            for bit, listed, _ in self._lists
            if bit == kind and SPACELESS_LETTER.search(listed) is not None
            for entry in listed.split("\n")
            if SPACELESS_LETTER.search(entry) is not None
        }
        words = sorted(re2.escape(entry).replace(r"\ ", " ?").replace(r"\-", "-?") for entry in entries)
        # The last letter of an entry by its number is one of its rarest: there are more Han and Hangul than kana.
        return frozenset(map(max, entries)), re2.compile("|".join(words) or r"[^\s\S]", options)


class Words:
    """The words of one kind. Of those that begin at one place the longest is found: ``zip code``, not ``zip``."""

    __slots__ = ("_index", "_kind", "_read")

    def __init__(self, index: Index | None = None, kind: int = 0) -> None:
        self._index = index or Index()
        self._read = self._index.known
        self._kind = kind

    def any(self, text: str) -> bool:
        """Whether a text without capitals has one of the words."""
        read = self._read.get(hash(text)) or self._index.read(text)
        if read.kinds & self._kind:
            return True
        return read.is_spaceless and next(self._index.spaceless(self._kind, text), None) is not None

    def spans(self, text: str) -> Sequence[Span]:
        """Where the words stand in a text without capitals, from left to right; none overlaps another."""
        read = self._read.get(hash(text)) or self._index.read(text)
        # Of most texts and kinds there is nothing to be found, and nearly all of the time went into finding that out.
        if not read.kinds & self._kind and not read.is_spaceless:
            return ()
        spans = {(start, -end) for start, end, kinds in read.spans if kinds & self._kind}
        if read.is_spaceless:
            spans.update((start, -end) for start, end in self._index.spaceless(self._kind, text))
        if len(spans) == 1:
            return [(start, -end) for start, end in spans]
        found: list[Span] = []
        last = 0
        for start, end in sorted(spans):
            if start >= last:
                last = -end
                found.append((start, last))
        return found


def merged(mappings: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Names with their numbers; what means two numbers in two languages is left out."""
    found: dict[str, int] = {}
    double: set[str] = set()
    for mapping in mappings:
        for name, number in mapping.items():
            if found.setdefault(name, number) != number:
                double.add(name)
    return {name: number for name, number in found.items() if name not in double}
