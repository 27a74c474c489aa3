"""What sign-in mails say, in every language that the extractor knows, as phrases that a search for whole words finds.

The wording files have stems and endings; a search such as Gmail's knows neither. So a phrase is taken as it stands, as it stands without
its marks, or as the proof of its file has it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence

from mailbridge.config.rulepack import shipped_names, shipped_source
from mailbridge.config.settings import RuleSettings

EACH = 5
"""Phrases of a language. Its files begin with those that are met most; Gmail forwards by twenty filters at most, of 1,000 characters each."""

LETTER = r"[^\s\d.,:;!?]"
"""A letter or a sign of one, such as a vowel of Tamil, which is no letter by itself."""

SHORTEST = 5
"""Characters of a phrase in letters of the Latin script: shorter ones (OTP, TAN) are words of much else."""


def sign_in_phrases() -> list[str]:
    """The phrases, each once, in the order of the languages' codes. Reads half a megabyte of files: not for an event loop."""
    found: dict[str, None] = {}
    for name in shipped_names(RuleSettings(builtin=False)):
        code = tomllib.loads(shipped_source(name)[1]).get("code", {})
        proof = code.get("proof", "")
        proof = proof if isinstance(proof, str) else " ".join(proof)
        own = list(_of_a_language(code.get("words", ()), proof)) or list(_of_a_language(code.get("generic", ()), proof))
        found |= dict.fromkeys(own)
    return list(found)


def _of_a_language(words: Sequence[str], proof: str) -> Iterator[str]:
    """The first phrases that can be found, the one of the proof before all."""
    shown = [found for one in words if (found := _as_proven(one, proof))]
    plain = [found for one in words if (found := _without_marks(one))]
    yield from list(dict.fromkeys([*shown, *plain]))[:EACH]


def _as_proven(word: str, proof: str) -> str:
    """The phrase as the proof of its file contains it; "" if the proof has another one."""
    pattern = re.escape(word.lstrip("*")).replace(r"\~", rf"{LETTER}{{0,4}}").replace(r"\*", f"{LETTER}*")
    found = re.search(rf"(?<!\w){pattern}(?!\w)", proof, re.IGNORECASE)
    return found.group().casefold() if found is not None and _is_telling(found.group()) else ""


def _without_marks(word: str) -> str:
    """The phrase without the ending of its last word; "" for a stem that is not a word."""
    plain = word.removeprefix("*").removesuffix("~")
    return plain if not set("*~") & set(plain) and _is_telling(plain) else ""


def _is_telling(phrase: str) -> bool:
    return len(phrase) >= SHORTEST or not phrase.isascii()
