"""Whether letters are a word of some language or were drawn at random, by how often each follows the two before it.

The table is counted over word lists of 27 languages that are written with Latin letters. It knows no word, so that it also
judges words, names and endings that stand in no list.
"""

from __future__ import annotations

from mailbridge.core.letter_table import STEP, SURPRISE

DRAWN = 4.7
"""Bits of surprise of a letter that is drawn at random: log2 of 26."""

BITS = {chr(code): STEP * (code - 48) for code in range(48, 127)}
"""The bits of surprise that a character of the table tells."""

CAPITALS = {3: -3.0, 4: -2.5, 5: -0.5, 6: 2.5, 7: 1.5}
SMALL = {3: -8.0, 4: -6.0, 5: -3.0, 6: -0.5, 7: -0.5}
"""Up to how many bits letters of a length count as drawn at random, in capitals and in small letters.

Of six capitals drawn at random 2 in 100 are taken for a word, of six small letters 6 in 100; of common words 1 in 100 is taken
for random letters. Short words say less, and a small word in a sentence is a word more often than capitals are.
"""

LONGER = {True: 1.0, False: -0.5}
"""The same for more letters than the tables have, in capitals and in small letters."""


def wordlikeness(letters: str) -> float:
    """By how many bits ASCII letters are likelier as a word than drawn at random; below 0 where they are unlikely as a word."""
    first = second = 0
    bits = DRAWN * (len(letters) + 1)
    for letter in letters.lower().encode():
        third = letter - 96
        bits -= BITS[SURPRISE[first][second * 27 + third]]
        first, second = second, third
    return bits - BITS[SURPRISE[first][second * 27]]


def reads_as_word(letters: str, *, margin: float = 0.0) -> bool:
    """Whether ASCII letters are taken for a word rather than for letters drawn at random.

    ``margin`` is by how many bits less a word may be likely: where words are expected, strange ones are words too.
    """
    is_capital = letters.isupper()
    limit = (CAPITALS if is_capital else SMALL).get(len(letters), LONGER[is_capital])
    return wordlikeness(letters) > limit - margin
