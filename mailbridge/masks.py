"""The second line of defence against secrets in what is written: known ones become a mask, in every form in which they travel.

The first line is the type `Secret`, which does not show itself. This one is for what comes back from elsewhere: a server that repeats
a password, a library that logs its requests, an exception with an address in its text.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

import re2

from mailbridge.core.secret import MASK, Secret

SHORTEST = 6
"""Characters of a secret that is masked; shorter ones stand by chance in too much else, and a mask there would tell them."""

LONGEST = 48
"""Characters of a form that is looked for as a whole. Of longer ones (access tokens have thousands) three pieces are."""

PIECE = 24
RUN = r"[A-Za-z0-9._~+/=%\\-]*"
"""What a token or its encoded form is written with; around a piece of one, all of it goes."""

CORE = 6
"""Characters of Base64 that are enough to know a secret by."""

MOST_PASSING = 256
"""Secrets for a while that are remembered: access tokens, which are renewed once an hour. Each new one costs a compilation."""

MAX_MEMORY = 64 * 1_048_576


class Masks:
    """The secrets that are known to this process. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str | bytes, None] = {}
        self._passing: OrderedDict[str | bytes, None] = OrderedDict()
        self._pattern: re2._Regexp | None = None
        self._is_stale = False

    def guard(self, *secrets: Secret | bytes | None) -> None:
        """Mask these from now on, permanently; octets are keys."""
        self._add(self._kept, secrets)

    def guard_for_now(self, *secrets: Secret | bytes | None) -> None:
        """Mask these until some hundred others have come: for secrets that are fetched again and again."""
        self._add(self._passing, secrets)

    def masked(self, text: str) -> str:
        """The text with every known secret masked, also an encoded one."""
        if self._is_stale:
            self._compile()
        if self._pattern is None:
            return text
        text = str(text)  # re2 builds another of the same type, and a member of an enumeration is one of a few
        if not text.isascii():
            text = text.encode("utf-8", "backslashreplace").decode("utf-8")  # halves of characters, which re2 does not take
        if self._pattern.search(text) is None:  # at half the cost, and there is seldom one
            return text
        found: str = self._pattern.sub(MASK, text)
        return found

    def _add(self, known: dict[str | bytes, None], secrets: tuple[Secret | bytes | None, ...]) -> None:
        values = [one.reveal() if isinstance(one, Secret) else one for one in secrets if one is not None]
        with self._lock:
            for value in values:
                if len(value) < SHORTEST:
                    continue
                self._is_stale |= value not in known
                known.pop(value, None)
                known[value] = None
            while len(self._passing) > MOST_PASSING:
                self._passing.popitem(last=False)

    def _compile(self) -> None:
        with self._lock:
            if self._is_stale:
                self._pattern = _pattern((*self._kept, *self._passing))
                self._is_stale = False


def _pattern(values: Iterable[str | bytes]) -> re2._Regexp | None:
    """A pattern that finds any of these, whole or as the token that a piece of it belongs to; None for no values."""
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.max_mem = MAX_MEMORY
    whole: dict[str, None] = {}
    pieces: dict[str, None] = {}
    for value in values:
        for form in forms(value):
            if len(form) <= LONGEST:
                whole[form] = None
            else:
                middle = len(form) // 2
                pieces |= dict.fromkeys((form[:PIECE], form[middle : middle + PIECE], form[-PIECE:]))
        pieces |= dict.fromkeys(cores(value))
    # The longest first, so that no form hides another that begins like it.
    literals = [re2.escape(one) for one in sorted(whole, key=len, reverse=True)]
    if pieces:
        literals.append(f"{RUN}(?:{'|'.join(map(re2.escape, pieces))}){RUN}")
    return re2.compile("|".join(literals), options) if literals else None


def forms(value: str | bytes) -> Iterator[str]:
    """A secret as it is, and as URLs, JSON, Python, IMAP and hexadecimals write it; case is the matter of who looks for it."""
    octets = _octets(value)
    yield from (repr(octets)[2:-1], quote(octets, safe=""), quote(octets), quote_plus(octets))
    if len(octets) <= LONGEST:
        yield octets.hex()
    if isinstance(value, str):
        text = octets.decode("utf-8", "backslashreplace")
        yield text
        yield text.replace("\\", "\\\\").replace('"', '\\"')
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield repr(text)[1:-1]


def cores(value: str | bytes) -> Iterator[str]:
    """What of a secret is the same in every Base64 text that holds it, whatever stands before and behind it.

    So a password is found in the one text of ``user:password`` (RFC 7617) or of NUL, user, NUL, password (RFC 4616).
    """
    octets = _octets(value)
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + octets).decode("ascii").rstrip("=")
        first = (before * 8 + 5) // 6
        last = (before + len(octets)) * 8 // 6
        core = encoded[first:last]
        if len(core) >= CORE:
            core = core if len(core) <= LONGEST else core[:PIECE]
            yield from {core, core.replace("+", "-").replace("/", "_"), quote(core, safe="")}


def _octets(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "backslashreplace")
