"""Words of all languages: what is read together is what is read alone, and a phrase is found by the word beside it."""

from __future__ import annotations

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.entries import Morphology
from mailbridge.core.rules import load
from mailbridge.core.script import folded
from mailbridge.core.wording import read_language
from mailbridge.core.words import MOST_KEPT, Index, Words

SHIPPED = [source for source in rule_sources(RuleSettings()) if "/wording/" in source[0]]
PROOFS = [folded(proof) for name, text in SHIPPED for proof in read_language(name, text).proofs.values()]
KIND = 1


def index_of(*entries: str, endings: tuple[str, ...] = ()) -> Index:
    """An index of one list of one language."""
    index = Index()
    index.add(KIND, entries, Morphology(endings=endings))
    return index


def found(index: Index, text: str) -> list[str]:
    """What stands in a text."""
    return [text[start:end] for start, end in Words(index, KIND).spans(text)]


def test_lines_read_together_hold_what_they_hold_alone() -> None:
    """Over the proofs of every language, each line of a mail is read as if it were the only one."""
    together, alone = load(SHIPPED).wording, load(SHIPPED).wording
    for start in range(0, len(PROOFS), 40):
        lines = PROOFS[start : start + 40]
        assert together.read_together(lines) == " ".join(lines)
        for line in lines:
            one, other = together.index.read(line), alone.index.read(line)
            assert (one.kinds, sorted(one.spans), one.is_spaceless) == (other.kinds, sorted(other.spans), other.is_spaceless), (
                line
            )


def test_a_phrase_over_two_lines_is_in_the_mail_and_in_neither_line() -> None:
    """A mail program that breaks a line does not break a phrase of the mail; yet no line has it."""
    index = index_of("sign in", "code")
    lines = ["the code to sign", "in to acme"]
    assert found(index, index.read_together(lines)) == ["code", "sign in"]
    assert [found(index, line) for line in lines] == [["code"], []]


def test_what_stands_before_a_word_of_a_phrase_stands_in_its_line() -> None:
    """A sign that belongs to an entry is not taken from the line before."""
    index = index_of("% off")
    lines = ["now 20 %", "off the coast"]
    index.read_together(lines)
    assert found(index, lines[1]) == []
    assert found(index, "now 20 % off") == ["off"]


@pytest.mark.parametrize(
    ("entry", "text", "holds"),
    [
        ("login code", "your login code", True),
        ("login code", "your login codes", False),
        ("login kod~", "login kodunuz", True),
        ("login kod~", "login koxunuz", False),
        ("kod~ girin", "kodunuzu girin", True),
        ("kod~ girin", "kodunuzu gir", False),
        ("pin to enter", "pin to enter", True),
        ("pin to enter", "pin to exit", False),
        ("a code", "a code", True),
        ("a code", "the code", False),
        ("login code*", "login codewort", True),
    ],
)
def test_a_phrase_stands_where_the_word_beside_fits(entry: str, text: str, holds: bool) -> None:
    """The word beside is the entry's own, or, where the entry lets it go on, one that begins like it."""
    assert bool(found(index_of(entry, endings=("unuz", "unuzu")), text)) is holds


def test_nothing_of_other_mails_is_kept_for_long() -> None:
    """What was read before a mail is forgotten with it, so that a worker does not grow with the mails that it has read."""
    index = index_of("code")
    for number in range(40):
        index.read_together([f"line {number} {place}" for place in range(100)])
    assert index.kept <= MOST_KEPT + 101
