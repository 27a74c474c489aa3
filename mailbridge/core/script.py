"""Letters as the people of many languages write them: without case, without accents, in one of several forms."""

from __future__ import annotations

import functools
import re
import unicodedata

SPACELESS = "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
"""Thai, Lao, Tibetan, Burmese, Khmer, kana, Han, Hangul: written without blanks, or with particles run into the word."""

SPACELESS_LETTER = re.compile(SPACELESS)
LETTERS = (
    "a-z\u00b5\u00df-\u00f6\u00f8-\u02af\u0300-\u037d\u0386\u0388-\u0481\u0483-\u0487\u048a-\u0559\u0561-\u0588\u0591-\u05bd\u05bf\u05c1\u05c2"
    "\u05c4\u05c5\u05c7\u05d0-\u05f2\u0610-\u061a\u0620-\u065f\u066e-\u06d3\u06d5-\u06dc\u06df-\u06e8\u06ea-\u06ef\u06fa-\u06fc\u0780-\u07b1"
    "\u0900-\u0963\u0971-\u09e3\u09f0\u09f1\u0a01-\u0a63\u0a70-\u0ae3\u0af9-\u0b63\u0b71-\u0bd7\u0c00-\u0c63\u0c80-\u0ce3\u0d00-\u0d63\u0d7a-\u0ddf"
    "\u0df2\u0df3\u10a0-\u10fa\u10fc-\u10ff\u1200-\u135f\u1380-\u138f\u1e00-\u1fff"
)
"""Small letters and their marks in the scripts with blanks between words, for a class of a pattern."""

INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
"""Characters that the text of a mail is freed from before it is read, and so words too."""

UNTIDY = re.compile(r"[^\S\n ]| {2}|(?m:^ | $)")
APOSTROPHES = str.maketrans(dict.fromkeys("’ʼʻ‘ʹ`", "'"))

SAME = {
    "ı": "i",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "ø": "o",
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "ə": "e",
    "ŋ": "n",
    "ɓ": "b",
    "ɗ": "d",
    "ƙ": "k",
    "ё": "е",
    "أ": "ا",
    "إ": "ا",
    "آ": "ا",
    "ى": "ي",
    "ی": "ي",
    "ة": "ه",
    "ک": "ك",
    "ς": "σ",
}
"""Letters that are written as another one where a keyboard or a habit lacks them."""

DROPPED = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0670\u093c\u09bc\u0a3c]")
"""Accents, vowel points and dots that a text has or has not."""


class _Plain(dict[int, str]):
    """What each letter is without its accent, for `str.translate`; filled as letters come."""

    def __missing__(self, number: int) -> str:
        letter = chr(number)
        same = SAME.get(letter)
        if same is None:
            same = letter
            if DROPPED.match(letter) is not None:
                same = ""
            elif unicodedata.name(letter, "").startswith(("LATIN", "GREEK")) or 0x0958 <= number <= 0x0A5E:
                same = DROPPED.sub("", unicodedata.normalize("NFD", letter)) or letter
        self[number] = same
        return same


@functools.cache
def _plain() -> _Plain:
    return _Plain()


def plain(text: str) -> str:
    """The text (without capitals) with one form of every letter, without accents; its length may change."""
    return text if text.isascii() else text.translate(_plain())


def is_spaceless(letter: str) -> bool:
    """Whether a letter is of a script without blanks between words."""
    return SPACELESS_LETTER.match(letter) is not None


def folded(text: str) -> str:
    """The text without case, character for character."""
    if text.isascii():
        return text.lower()
    whole = text.casefold()
    return whole if len(whole) == len(text) else text.replace("İ", "i").lower().replace("ς", "σ")


def normal(entries: list[str]) -> tuple[str, ...]:
    """Entries of a wording file as they are kept: composed, without characters that are not seen, with single blanks."""
    whole = "\n".join(entries)
    if not whole.isascii():
        whole = unicodedata.normalize("NFC", INVISIBLE.sub("", whole)).translate(APOSTROPHES)
    if UNTIDY.search(whole) is not None:
        whole = "\n".join(" ".join(entry.split()) for entry in whole.split("\n"))
    return tuple(whole.split("\n"))
