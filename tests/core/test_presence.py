"""Which of some patterns are in a text."""

from __future__ import annotations

from mailbridge.core.presence import NEVER, Presence


def test_all_patterns_of_a_text_are_named() -> None:
    """Every pattern that is there is found, also where they overlap, and no other."""
    presence = Presence({"digits": r"\d{4}", "letters": "[a-z]{3}", "both": "a1", "never": NEVER})
    assert presence.found("abca1234") == {"digits", "letters", "both"}
    assert presence.found("ab 12") == frozenset()
    assert presence.any("1234")
    assert not presence.any("")


def test_text_beyond_ascii_is_searched_by_characters() -> None:
    """Letters of any script are one character each."""
    assert Presence({"two": "^.ö$"}).any("äö")
    assert not Presence({"two": "^.ö$"}).any("äüö")


def test_a_text_that_grows_the_automaton_is_answered_right() -> None:
    """Where an attacker's text visits ever new states, a pattern is found all the same."""
    presence = Presence({"gap": "a[ab]{60}c"})
    text = "".join("ab"[(number * number // 7) % 2] for number in range(20_000))
    assert not presence.any(text)
    assert presence.any(text + "a" * 61 + "c")
