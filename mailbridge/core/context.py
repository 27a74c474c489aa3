"""What holds for a whole mail: what it speaks of, how long it is, and which numbers stand in it."""

from __future__ import annotations

import re
from datetime import timedelta

from mailbridge.core import script
from mailbridge.core.candidates import DIGIT, Shape, ascii_digits, masked
from mailbridge.core.dataclass import dataclass
from mailbridge.core.looks import COPYRIGHT_LINE, SHORT_NUMBER, has_copyright
from mailbridge.core.naming import EDGES, OWN_NAME
from mailbridge.core.parts import Parts
from mailbridge.core.presence import Presence
from mailbridge.core.reading import Reader, without_names

LONG_TEXT = 2_000
SHORT_TEXT = 600
JOINING = Presence(
    {
        # The number of a room, as the programs to meet in show it: nine to eleven digits in three groups.
        "room": r"\b\d{3}[ -]?\d{3,4}[ -]?\d{3,4}\b",
        # These programs: their names are the same in every language.
        "venue": r"(?i)\b(?:zoom|webex|teams|google meet|gotomeeting|goto meeting|jitsi|bluejeans|whereby|livestorm|lifesize|voov|lark)\b|腾讯会议|飞书",
        # A number to be keyed into a telephone.
        "keyed": r"\b\d{4,10}#",
    }
)
"""What tells a meeting apart from other mails with a number."""

SIGNATURE = "--"
"""The line above a signature (RFC 3676 4.3), without its blank."""

FEW = 12
"""Letters up to which a text without a subject says nothing: it is a number, and no more."""

PRICE = re.compile(r"[$€£¥₹₽₩₺₴₫฿] ?\d|\d ?[$€£₹₽₩₺₴₫฿]")
PERCENT = re.compile(r"\d ?[%％]|[%％] ?\d")
NUMBER = re.compile(r"\d(?:[ \-–.‐‑]?\d)*")
NUMERIC = frozenset({"digits", "mixed"})
CALM = frozenset({COPYRIGHT_LINE, SHORT_NUMBER})
"""What says nothing against the only number of a mail, and is no second one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """``lone`` is the value of the one thing of a code's shape in a short mail without dates, prices or other numbers, else "".

    ``is_bare``: the mail has no subject and hardly a letter beside it. ``is_of_site``: a program wrote it that calls itself by name, and it has no
    links: so sites send codes.
    """

    speaks_of_code: bool
    body_speaks_of_code: bool
    states_lifetime: bool
    speaks_of_signing_in: bool
    is_long: bool
    is_short: bool
    names_a_price: bool
    speaks_of_else: bool
    subject_kind: str | None
    is_meeting: bool
    lone: str
    is_bare: bool
    is_of_site: bool
    names: frozenset[str]
    subject: str
    is_listed: bool
    has_files: bool
    has_links: bool
    link_texts: frozenset[str]


def context_of(parts: Parts, reader: Reader, stated: timedelta | None) -> Context:
    """Read what holds for the whole mail. ``stated`` is the lifetime that it states."""
    whole = "\n".join(parts.texts)
    folded = reader.wording.read_together([script.folded(text) for text in parts.texts])
    size = len(folded) / (2 if "html" in parts.lines and "plain" in parts.lines else 1)
    called = [[one.is_code for one in reader.labels(text)] for text in parts.texts]
    codes = sum(map(sum, called))
    names_a_price = ("$" in whole or not whole.isascii()) and PRICE.search(whole) is not None
    is_short = size < SHORT_TEXT
    has_subject = "subject" in parts.lines
    is_calm = is_short and not names_a_price and not parts.is_listed
    return Context(
        speaks_of_code=codes > 0,
        body_speaks_of_code=any(map(any, called[has_subject:])),
        states_lifetime=stated is not None,
        speaks_of_signing_in=reader.wording.act.any(folded),
        is_long=size > LONG_TEXT,
        is_short=is_short,
        names_a_price=names_a_price,
        speaks_of_else=sum(map(len, called)) > 2 * codes,
        subject_kind=subject_kind(parts.texts[0], called[0]) if has_subject else None,
        is_meeting=is_meeting(whole, folded, reader),
        lone=lone_value(_above_feet(parts, reader, whole), reader, parts.names) if is_calm else "",
        is_bare=not (has_subject and parts.texts[0].strip()) and sum(map(str.isalpha, whole)) < FEW,
        is_of_site=parts.is_automatic and not parts.addresses and any(name in folded for name in parts.names),
        names=parts.names,
        subject=parts.texts[0] if has_subject else "",
        is_listed=parts.is_listed,
        has_files=parts.has_files,
        has_links=bool(parts.addresses),
        link_texts=parts.link_texts,
    )


def _above_feet(parts: Parts, reader: Reader, whole: str) -> list[str]:
    """The lines that a person sees, and the texts of pictures, without the foot of each part: a signature, or the sender's address."""
    found = [line.text for line in (*parts.lines.get("subject", ()), *parts.lines.get("image", ()))]
    has_marks = SIGNATURE in whole or has_copyright(whole)
    for source in ("html", "plain"):
        lines = [line.text for line in parts.lines.get(source, ())]
        foot = _foot(lines, reader) if has_marks else None
        found += lines[:foot]
    return found


def _foot(lines: list[str], reader: Reader) -> int | None:
    """The line with which the foot of a part begins; None where it has none, or tells a code there."""
    begin = next((at for at, text in enumerate(lines) if at and (text.strip() == SIGNATURE or has_copyright(text))), None)
    return None if begin is None or any(_may_tell_a_code(text, reader) for text in lines[begin:]) else begin


def _may_tell_a_code(text: str, reader: Reader) -> bool:
    """Whether a line speaks of a code, tells to enter something, or is a number and no more: then the mark above it, which may be a
    stranger's, began no foot."""
    if any(one.is_code for one in reader.labels(text)) or reader.wording.enter.any(script.folded(text)):
        return True
    bare = text.strip(EDGES)
    return any(shape.shown == bare and shape.refusal is None for shape in reader.shapes(ascii_digits(text)))


def subject_kind(subject: str, called: list[bool]) -> str | None:
    """What the subject speaks of: ``code``, ``other`` (an order, an offer …), or None. ``called``: of each of its labels, whether it
    is a code's."""
    if any(called):
        return "code"
    return "other" if called or has_percentage(subject) else None


def has_percentage(text: str) -> bool:
    """Whether a line names a part of a hundred."""
    return ("%" in text or "％" in text) and PERCENT.search(text) is not None


def is_meeting(whole: str, folded: str, reader: Reader) -> bool:
    """Whether the mail invites to a meeting: in the words of the programs for it, or by their name and a room's number."""
    if reader.wording.meeting.any(folded):
        return True
    found = JOINING.found(whole)
    return "room" in found and len(found) > 1


def lone_value(texts: list[str], reader: Reader, names: frozenset[str] = frozenset()) -> str:
    """The value of the only thing of a code's shape; "" where there is none or another, or a date, a price or another number."""
    lines = [(text, without_names(reader.shapes(text), names)) for text in map(ascii_digits, dict.fromkeys(texts))]
    found = {shape.value for _, shapes in lines for shape in shapes if _is_able(shape)}
    for text, shapes in lines:
        if len(found) > 1:
            return ""
        if DIGIT.search(text) is None:
            continue
        plain = masked(text)
        looks = reader.looks(plain)
        if looks and any(why not in CALM for _, _, why in looks):
            return ""
        if has_percentage(plain):
            return ""
        known = [(shape.start, shape.end) for shape in shapes if _is_able(shape) or shape.refusal == OWN_NAME]
        rest = _without(plain, [*known, *((low, high) for low, high, _ in looks)])
        found.update(number for number in NUMBER.findall(rest) if sum(map(str.isdigit, number)) > 2)
    return found.pop() if len(found) == 1 else ""


def _is_able(shape: Shape) -> bool:
    """Whether a shape may be the only one of its mail."""
    return shape.refusal is None and (shape.kind in NUMERIC or shape.is_random)


def _without(text: str, places: list[tuple[int, int]]) -> str:
    for start, end in places:
        text = text[:start] + "\0" * len(text[start:end]) + text[end:]
    return text
