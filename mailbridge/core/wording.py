"""The words of many languages that stand around codes, links and lifetimes: read from data, matched by re2 in one pass."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import re2

KINDS = ("code", "other", "idiom", "enter", "act", "expiry", "minutes", "hours", "common")
SPACELESS = (
    (0x0600, 0x06FF),
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0xAC00, 0xD7AF),
)
"""Scripts without blanks between words, or with so many forms of one that a word is looked for anywhere."""

AUTOMATON = 32 << 20
"""Octets that re2 may use: with 8 MiB it falls back to a search that takes twenty times as long (measured)."""

HEBREW = (0x0590, 0x05FF)
PROCLITICS = "[ובהלכמש]{0,2}"
"""Hebrew writes "and", "in", "the", "to", "as", "from", "that" without a blank before the word."""


@dataclass(frozen=True, slots=True)
class Wording:
    """One compiled pattern a kind of word. ``units`` tells hours from minutes."""

    code: re2._Regexp
    other: re2._Regexp
    idiom: re2._Regexp
    enter: re2._Regexp
    act: re2._Regexp
    expiry: re2._Regexp
    minutes: re2._Regexp
    hours: re2._Regexp
    common: re2._Regexp


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One wording file: the words of each kind, and the sentence that proves each line."""

    origin: str
    name: str
    words: Mapping[str, tuple[str, ...]]
    proofs: Mapping[str, str]


def read_language(origin: str, text: str) -> Language:
    """Read one wording file.

    Raises:
        ValueError: it is no TOML, or not a table of words for each kind.
    """
    content = tomllib.loads(text)
    name = content.pop("name", None)
    if not isinstance(name, str) or not name:
        raise ValueError("needs a name: the language in English")
    words: dict[str, tuple[str, ...]] = {}
    proofs: dict[str, str] = {}
    for kind, entry in content.items():
        if kind not in KINDS:
            raise ValueError(f"[{kind}] is unknown; known are {', '.join(KINDS)}")
        listed = entry.get("words") if isinstance(entry, dict) else None
        if not isinstance(listed, list) or not all(isinstance(word, str) and word.strip() for word in listed):
            raise ValueError(f"[{kind}] needs words = a list of words")
        words[kind] = tuple(word.casefold() for word in listed)
        if isinstance(entry.get("proof"), str):
            proofs[kind] = entry["proof"]
    return Language(origin=origin, name=name, words=words, proofs=proofs)


def compiled(languages: Iterable[Language]) -> Wording:
    """All languages as one: a mail need not say which is its own."""
    words: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for language in languages:
        for kind, listed in language.words.items():
            words[kind].update(listed)
    return Wording(**{kind: _compiled(words[kind], kind) for kind in KINDS})


def _compiled(words: Iterable[str], kind: str) -> re2._Regexp:
    """The longest of the words that begin at a place is the one that is seen: ``zip code``, and not ``code``.

    A word of four letters or more matches inside longer ones, which is how many languages make their words for a code; what
    other numbers are called must begin a word (``order``, not ``border``); a short word, or a unit of time, is a word of its own.
    """
    options = re2.Options()
    options.max_mem = AUTOMATON
    options.longest_match = True
    options.log_errors = False
    groups: dict[str, list[str]] = {"inside": [], "hebrew": [], "begins": [], "whole": []}
    for word in sorted(words):
        groups[_place(word, kind)].append(re2.escape(word))
    # One pair of edges for all of a group: a class of all letters is a large automaton.
    parts = list(groups["inside"])
    if groups["hebrew"]:
        parts.append(rf"(?:^|[^\pL\pM]){PROCLITICS}(?:{'|'.join(groups['hebrew'])})")
    if groups["begins"]:
        parts.append(rf"(?:^|[^\pL\pM])(?:{'|'.join(groups['begins'])})")
    if groups["whole"]:
        parts.append(rf"(?:^|[^\pL\pM])(?:{'|'.join(groups['whole'])})(?:[^\pL\pM]|$)")
    return re2.compile("|".join(parts) or r"[^\s\S]", options)


def _place(word: str, kind: str) -> str:
    if any(HEBREW[0] <= ord(letter) <= HEBREW[1] for letter in word):
        return "hebrew"
    if any(low <= ord(letter) <= high for letter in word for low, high in SPACELESS):
        return "inside"
    if len(word) < 4 or kind in ("minutes", "hours", "common"):
        return "whole"
    return "begins" if kind in ("other", "idiom", "enter") else "inside"
