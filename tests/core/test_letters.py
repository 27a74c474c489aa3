"""Letters drawn at random are told from words, in capitals and small letters, of many languages."""

from __future__ import annotations

import random
import string
from collections.abc import Callable

import pytest

from mailbridge.core.letter_table import SURPRISE
from mailbridge.core.letters import reads_as_word, wordlikeness

WORDS = [
    "please",
    "below",
    "ready",
    "valid",
    "never",
    "again",
    "phone",
    "email",
    "login",
    "blank",
    "always",
    "online",
    "secret",
    "mobile",
    "button",
    "device",
    "number",
    "active",
    "closed",
    "failed",
    "expired",
    "invalid",
    "private",
    "missing",
    "account",
    "support",
    "allowed",
    "website",
    "special",
    "company",
    "pending",
    "required",
    "disabled",
    "personal",
    "security",
    "optional",
    "approved",
    "received",
    "download",
    "settings",
    "computer",
    "possible",
    "bitte",
    "nachricht",
    "konto",
    "anmeldung",
    "merci",
    "bonjour",
    "connexion",
    "gracias",
    "cuenta",
    "sesion",
    "obrigado",
    "conta",
    "grazie",
    "accesso",
    "bedankt",
    "wachtwoord",
    "tack",
    "konto",
    "dziekuje",
    "haslo",
    "prosim",
    "heslo",
    "kiitos",
    "salasana",
    "tunnus",
    "hvala",
    "lozinka",
    "geslo",
    "koszonom",
    "jelszo",
    "multumesc",
    "parola",
    "tesekkurler",
    "sifre",
    "terima",
    "kasih",
    "sandi",
    "asante",
    "nenosiri",
]


def drawn(alphabet: str, length: int) -> list[str]:
    """Two thousand strings drawn at random."""
    dice = random.Random(7)
    return ["".join(dice.choices(alphabet, k=length)) for _ in range(2_000)]


@pytest.mark.parametrize(
    ("alphabet", "length", "least"),
    [
        (string.ascii_uppercase, 6, 0.96),
        (string.ascii_uppercase, 8, 0.96),
        (string.ascii_lowercase, 6, 0.92),
        (string.ascii_lowercase, 8, 0.94),
    ],
)
def test_random_letters_are_no_word(alphabet: str, length: int, least: float) -> None:
    """Nearly all strings that are drawn at random are taken for what they are."""
    found = drawn(alphabet, length)
    assert sum(not reads_as_word(one) for one in found) >= least * len(found)


@pytest.mark.parametrize("write", [str.lower, str.upper], ids=["small", "capitals"])
def test_words_read_as_words(write: Callable[[str], str]) -> None:
    """Common words of languages with Latin letters are words, small and in capitals, but for one in thirty."""
    assert sum(reads_as_word(write(word)) for word in WORDS) >= 0.97 * len(WORDS)


def test_a_margin_makes_strange_words_words() -> None:
    """Where words are expected, what is a little stranger is a word too."""
    bits = wordlikeness("sdiqlo")
    assert not reads_as_word("sdiqlo")
    assert reads_as_word("sdiqlo", margin=-bits)


def test_the_table_has_a_row_for_every_two_letters() -> None:
    """27 rows of 27 times 27 steps: the boundary of a word, and a to z."""
    assert len(SURPRISE) == 27
    assert {len(row) for row in SURPRISE} == {729}
