"""What the HTML part of a mail may show beyond its plain part: looked for without building the page, which costs as much as all the rest.

The plain part alone decides where it leaves no doubt. It must not where it only says that the mail is to be seen as HTML: the code is
there, and what reads like one in the plain part may be the name by which the mail greets, of a stranger's choice.
"""

from __future__ import annotations

import html
import re
import string
from collections.abc import Callable
from operator import itemgetter

from mailbridge.core.candidates import ascii_digits
from mailbridge.core.swallowed import SHEET

UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
BETWEEN = b" \t\n\v\f\r\x1c\x1d\x1e\x1f.-"
"""What parts the digits of one code, or two numbers: nobody knows without the page."""

OTHER_BETWEEN = re.compile(r"[^\S\x00-\x7f]|[–‐‑]")
"""The same beyond ASCII: blanks and dashes."""

NO_DIGIT = bytes(octet if octet in b"0123456789" else 0x20 for octet in range(256))
SHORTEST = 4
"""Digits of a number that may be a code."""

YEAR = re.compile(r"(?:19|20)[0-9]{2}")
WORD = re.compile(r"[A-Za-z]{0,9}[0-9][A-Za-z0-9]{0,9}|[A-Z]{4,10}|[a-z]{3,6}(?:-[a-z]{3,6}){1,3}")
"""A word with a digit, capitals, groups of small letters with hyphens."""

PUNCTUATION = ".,:;!?()'\""
BOXES = re.compile(r"[A-Z0-9](?<![A-Za-z0-9][A-Z0-9])(?:\s+[A-Z0-9]){3,9}(?![A-Za-z0-9])")
"""Letters and digits one by one, as in a row of boxes."""

SINGLE = frozenset(string.ascii_uppercase + string.digits)
"""What stands between blanks in every such row."""

TAG_BEGINS = frozenset(string.ascii_letters + "/!?")
"""What stands behind the ``<`` of a tag."""

TAKEN_OUT = re.compile(r"<(?:[!?]|(?i:style|script|title)\b)")
"""How that begins of which more is taken out than a tag: a mark, or a style sheet."""

DECLARATION = re.compile(r"<!(?:\[[^<>\]]*\]>|(?=\w))")


def has_another_value(source: str, plain: str, is_shaped: Callable[[str], bool]) -> bool:
    """Whether the source of an HTML part holds what may be a code and does not stand in a plain text. ``is_shaped``: whether a word alone
    has the shape of one. Linear; in doubt True.

    No tag, attribute or comment hides anything: only the marks themselves are taken out, and style sheets.
    """
    shown, words = _shown(source)
    known = _seen(plain)
    if not SINGLE.isdisjoint(words) and BOXES.search(shown) is not None:
        return True
    return _has_another_number(shown, known) or _has_another_word(words, known, is_shaped)


def _shown(source: str) -> tuple[str, set[str]]:
    """The text of a page with a blank for each tag, and its words, each once. A page repeats its tags and what it says between them,
    so each piece is read once."""
    first, *pieces = source.split("<")
    kinds = set(pieces)
    joined = "<".join([first, *kinds])
    if "--" in joined or TAKEN_OUT.search(joined):
        first, *pieces = _without_marks(SHEET.sub(" ", source)).split("<")
        kinds = set(pieces)
    texts = {piece: _text(f" {piece.partition('>')[2]}" if piece[:1] in TAG_BEGINS else f"<{piece}") for piece in kinds}
    first = _text(first)
    shown = itemgetter(*pieces)(texts) if len(pieces) > 1 else texts.values()  # a loop takes twice as long
    return "".join([first, *shown]), set(" ".join([first, *texts.values()]).split())


def _without_marks(source: str) -> str:
    """The source with a blank for each mark of a comment or a declaration; what stands between them stays."""
    source = source.replace("<!--", " ").replace("-->", " ").replace("--!>", " ").replace("<?", " ")
    return DECLARATION.sub(" ", source) if "<!" in source else source


def _has_another_number(shown: str, known: str) -> bool:
    numbers = {one for one in _numbers(shown) if len(one) >= SHORTEST} - (runs := _numbers(known))
    if not numbers:
        return False
    joined = " ".join(runs)
    return any(one not in joined and not YEAR.fullmatch(one) for one in numbers)


def _numbers(text: str) -> set[str]:
    """The digits of a text, joined where only blanks, dots and dashes part them."""
    if not text.isascii():
        text = OTHER_BETWEEN.sub(" ", text)
    return set(text.encode("ascii", "replace").translate(NO_DIGIT, BETWEEN).decode("ascii").split())


def _has_another_word(words: set[str], known: str, is_shaped: Callable[[str], bool]) -> bool:
    others = filter(_may_be_drawn, words.difference(known.split()))
    found = dict.fromkeys(WORD.findall(" ".join(others)))
    return any(one not in known and is_shaped(one) for one in found if not one.isdigit())


def _may_be_drawn(word: str) -> bool:
    """Whether a word has more than small letters behind a first one: most have not, and in those no code is looked for."""
    letters = word.strip(PUNCTUATION)
    return not (letters.isalpha() and (letters.islower() or letters.istitle()))


def _text(source: str) -> str:
    """What is seen of a piece of source without tags."""
    text = html.unescape(source) if "&" in source else source
    return text if text.isascii() else _seen(text)


def _seen(text: str) -> str:
    """A text with the digits of any script as ASCII, and without characters that are not seen."""
    return UNSEEN.sub("", ascii_digits(text))
