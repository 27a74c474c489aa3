"""What the HTML part of a mail may show beyond its plain part: looked for without building the page, which costs as much as all the rest.

The plain part alone decides where it leaves no doubt. It must not where it only says that the mail is to be seen as HTML: the code is
there, and what reads like one in the plain part may be the name by which the mail greets, of a stranger's choice.
"""

from __future__ import annotations

import html
import re
import string
from collections.abc import Callable

from mailbridge.core.candidates import ascii_digits
from mailbridge.core.swallowed import MARKS, SHEET, TAG

UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
BETWEEN = re.compile(r"([0-9])[\s\u00a0.\-–‐‑]+(?=[0-9])")
"""What parts the digits of one code, or two numbers: nobody knows without the page."""

NUMBER = re.compile(r"[0-9]{4,}")
YEAR = re.compile(r"(?:19|20)[0-9]{2}")
WORD = re.compile(r"[A-Za-z]{0,9}[0-9][A-Za-z0-9]{0,9}|[A-Z]{4,10}|[a-z]{3,6}(?:-[a-z]{3,6}){1,3}")
"""A word with a digit, capitals, groups of small letters with hyphens."""

BOXES = re.compile(r"(?<![A-Za-z0-9])[A-Z0-9](?:\s+[A-Z0-9]){3,9}(?![A-Za-z0-9])")
"""Letters and digits one by one, as in a row of boxes."""

SINGLE = frozenset(string.ascii_uppercase + string.digits)
"""What stands between blanks in every such row."""

MARKED = ("<!", "--", "<?")
"""One of these is in every mark."""


def has_another_value(source: str, plain: str, is_shaped: Callable[[str], bool]) -> bool:
    """Whether the source of an HTML part holds what may be a code and does not stand in a plain text. ``is_shaped``: whether a word alone
    has the shape of one. Linear; in doubt True.

    No tag, attribute or comment hides anything: only the marks themselves are taken out, and style sheets.
    """
    marked = SHEET.sub(" ", source)
    shown = TAG.sub(" ", MARKS.sub(" ", marked) if any(one in marked for one in MARKED) else marked)
    shown, known = _plain(html.unescape(shown) if "&" in shown else shown), _plain(plain)
    pieces = set(shown.split())  # a page says the same again and again, and no word has a blank in it
    if not SINGLE.isdisjoint(pieces) and BOXES.search(shown) is not None:
        return True
    joined, known_joined = BETWEEN.sub(r"\1", shown), BETWEEN.sub(r"\1", known)
    if any(one not in known_joined and not YEAR.fullmatch(one) for one in NUMBER.findall(joined)):
        return True
    words = dict.fromkeys(WORD.findall(" ".join(pieces)))
    return any(one not in known and is_shaped(one) for one in words if not one.isdigit())


def _plain(text: str) -> str:
    return UNSEEN.sub("", text if text.isascii() else ascii_digits(text))
