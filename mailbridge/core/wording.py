"""The words of many languages that stand around codes, links and lifetimes: read from data, matched by re2 in one pass."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import re2

KINDS = ("code", "other", "act", "expiry", "minutes", "hours")
SPACELESS = (
    (0x0590, 0x06FF),
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0xAC00, 0xD7AF),
)


@dataclass(frozen=True, slots=True)
class Wording:
    """One compiled pattern a kind of word. ``units`` tells hours from minutes."""

    code: re2._Regexp
    other: re2._Regexp
    act: re2._Regexp
    expiry: re2._Regexp
    minutes: re2._Regexp
    hours: re2._Regexp


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
    return Wording(**{kind: _compiled(words[kind], is_whole=kind in ("minutes", "hours")) for kind in KINDS})


def _compiled(words: Iterable[str], *, is_whole: bool) -> re2._Regexp:
    """Longest first, so that ``zip code`` is seen before ``code``; short words only where no letter adjoins."""
    options = re2.Options()
    options.max_mem = 8 << 20
    options.log_errors = False
    inside: list[str] = []
    whole: list[str] = []
    for word in sorted(words, key=lambda one: (-len(one), one)):
        is_spaceless = any(low <= ord(letter) <= high for letter in word for low, high in SPACELESS)
        (inside if is_spaceless or (len(word) >= 4 and not is_whole) else whole).append(re2.escape(word))
    parts = list(inside)
    if whole:
        # One pair of edges for all of them: a class of all letters is a large automaton.
        parts.append(rf"(?:^|[^\pL\pM])(?:{'|'.join(whole)})(?:[^\pL\pM]|$)")
    return re2.compile("|".join(parts) or r"[^\s\S]", options)
