"""Codes that a mail itself binds to a site, in a form for machines: nothing about them has to be guessed.

``OTP-Token: "123456"; origin="https://acme.example"`` (draft-goto-otp-token, a Structured Field of RFC 9651), ``One-Time-Code:
code=123456; origin=…`` (draft-wells-origin-bound-one-time-codes) and the last line ``@acme.example #123456`` (WICG, origin-bound
one-time codes). Anybody can write them: they count where the mail is proven, and is of that site.
"""

from __future__ import annotations

import re
from typing import Literal

from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Message
from mailbridge.core.secret import Secret

CODE = r"[A-Za-z0-9](?:[A-Za-z0-9-]{1,18}[A-Za-z0-9])"
ORIGIN = r"https://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?::\d{1,5})?/?"
TOKEN = re.compile(rf'\s*"(?P<code>{CODE})"\s*;(?:[^"]*;)?\s*origin="{ORIGIN}"\s*(?:;.*)?')
ONE_TIME = re.compile(rf'(?i)\s*code\s*=\s*"?(?P<code>{CODE})"?\s*;\s*origin\s*=\s*"?{ORIGIN}"?\s*;?\s*')
LINE = re.compile(
    rf"@(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{{0,251}}[A-Za-z0-9])?) #(?P<code>{CODE})(?: @\S{{1,253}})?(?: %\S{{1,253}})?"
)

HEADERS = (("OTP-Token", TOKEN), ("One-Time-Code", ONE_TIME))
Place = Literal["otp-token", "one-time-code", "body"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A code and the host of the site that it is for. ``place`` is the header that says so, in small letters, or ``body``."""

    code: Secret
    host: str
    place: Place


def bound_codes(message: Message) -> tuple[Bound, ...]:
    """What a mail binds, surest first. A header that is there twice says nothing. Pure and total."""
    found: list[Bound] = []
    for name, pattern in HEADERS:
        values = message.all_headers(name)
        match = pattern.fullmatch(values[0]) if len(values) == 1 and len(values[0]) <= 1_000 else None
        if match is not None:
            place: Place = "otp-token" if name == "OTP-Token" else "one-time-code"
            found.append(Bound(code=Secret(match["code"]), host=match["host"].lower(), place=place))
    last = LINE.fullmatch(_last_line(message))
    if last is not None and "." in last["host"]:
        found.append(Bound(code=Secret(last["code"]), host=last["host"].lower(), place="body"))
    return tuple(found)


def agreed(found: tuple[Bound, ...], told: str | None) -> tuple[Bound, ...]:
    """What is bound, without a last line that the words of the mail do not bear out: ``told`` is the code that they say, None for none.

    A header is the site's alone. The last line may be a name or a comment that a stranger has written and the site shows.
    """
    return tuple(one for one in found if one.place != "body" or (told is not None and is_same_code(one.code.reveal(), told)))


def is_same_code(one: str, other: str) -> bool:
    """Whether two are one code, however its groups are parted."""
    return one.replace("-", "").casefold() == other.replace("-", "").casefold()


def _last_line(message: Message) -> str:
    page = message.plain or message.html
    lines = [line.text.strip() for line in page.lines[-20:]] if page is not None else []
    return next((line for line in reversed(lines) if line), "")[:600]
