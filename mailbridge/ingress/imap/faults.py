"""What can go wrong with a mailbox: each fault is of a kind, says what happened what fixes it, and how long to leave it alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum

TEXT_LIMIT = 200
"""Characters of a server's own words that are shown."""

HINT = re.compile(r"Suggested Backoff Time:\s*(\d{1,9})\s*milliseconds", re.IGNORECASE)
LONGEST_HINT = timedelta(minutes=15)
PYTHON = re.compile(r"""\[?b'(?:[^'\\]|\\.)*'\]?|\[?b"(?:[^"\\]|\\.)*"\]?""")
"""Octets as Python writes them, which the library puts into some of its texts."""
BUSY_CODES = ("[LIMIT]", "[INUSE]", "[UNAVAILABLE]", "[SERVERBUG]", "[THROTTLED]", "[OVERQUOTA]")
BUSY_WORDS = (
    "too many",
    "maximum number",
    "exceeded",
    "throttl",
    "try again later",
    "temporar",
    "not connected",
    "server busy",
    "unavailable",
    "internal error",
)
LIMIT_CODES = ("[LIMIT]", "[INUSE]", "[THROTTLED]", "[OVERQUOTA]")
QUOTA_WORDS = ("[OVERQUOTA]", "BANDWIDTH", "QUOTA")
LIMIT_WORDS = ("too many", "maximum number", "exceeded", "throttl", "not connected")


class Kind(StrEnum):
    """What a fault asks for: patience, a pause, or a person."""

    NETWORK = "network"
    """No connection, or one that died: again soon."""
    MAIL = "mail"
    """One mail cannot be had, and the connection went with it: again at once, for the other mails."""
    BUSY = "busy"
    """The server asks to be left alone for a while."""
    REFUSED = "refused"
    """The server does not take these credentials: again seldom, so that no account gets locked."""
    CONSENT = "consent"
    """The permission is gone: never again until a person has given it anew."""
    SETTING = "setting"
    """The configuration does not fit the server: again seldom."""


class MailboxFault(Exception):  # noqa: N818  (its kind says what it is)
    """A mailbox cannot be watched now. The text names what happened and what fixes it, and no secret."""

    def __init__(self, kind: Kind, text: str, *, pause: timedelta | None = None, uid: int | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.pause = pause
        self.uid = uid
        """The mail in whose answer it happened, where that is known."""


class Refusal(MailboxFault):
    """The server said NO or BAD to one command; the connection is as well as before."""


class Silence(MailboxFault):
    """The server said nothing when it was its turn. ``is_before_greeting``: it did not even take the connection, or the handshake."""

    is_before_greeting = False


class Skipped(MailboxFault):
    """The server answered a command that was sent together with others, and not the one before it."""


class IdleRefused(Exception):  # noqa: N818  (an answer rather than an error)
    """The server answered IDLE with NO or BAD: this connection has to be polled."""


@contextmanager
def legible() -> Iterator[None]:
    """Around the library's own reading: octets that are no IMAP, which it answers in many ways, are a fault of the network."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AssertionError) as fault:
        raise MailboxFault(
            Kind.NETWORK, f"the server's answer cannot be read ({type(fault).__name__}); is it an IMAP server?"
        ) from None


def shown(octets: bytes) -> str:
    """A server's words, fit for a line in a log or on a terminal: printable, one line, not long."""
    text = octets.decode("utf-8", "replace")
    return re.sub(r"[^\x20-\x7e\u00a1-\u02ff\u0370-\u1fff\u3040-\ud7ff]+", " ", text).strip()[:TEXT_LIMIT]


def words_of(fault: Exception) -> str:
    """The server's words in an exception of the library, which has them as octets, in itself or in the one behind it, or written
    as a literal of Python."""
    for one in (fault.__context__, fault):
        if one is not None and one.args and isinstance(one.args[0], bytes):
            return shown(one.args[0])
    return shown(PYTHON.sub(lambda found: _unquoted(found[0]), str(fault)).encode())


def _unquoted(literal: str) -> str:
    try:
        value = ast.literal_eval(literal.strip("[]"))
    except (ValueError, SyntaxError):
        return literal
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else literal


def hint_of(text: str) -> timedelta | None:
    """How long the server asks to be left alone (Microsoft's throttling text), at most 15 minutes; None if it does not say."""
    found = HINT.search(text)
    return min(timedelta(milliseconds=int(found[1])), LONGEST_HINT) if found else None


def is_busy(text: str) -> bool:
    """Whether a NO, BAD or BYE means "not now" rather than "not you"."""
    folded = text.casefold()
    return any(code in text.upper() for code in BUSY_CODES) or any(word in folded for word in BUSY_WORDS)


def is_quota(text: str) -> bool:
    """Whether it is a quota that is used up, which takes hours to fill again."""
    return any(word in text.upper() for word in QUOTA_WORDS)


def is_for_all(text: str) -> bool:
    """Whether a NO to a FETCH means every mail, since the server has had enough of us; any other is about the mail itself."""
    folded = text.casefold()
    return (
        hint_of(text) is not None
        or any(code in text.upper() for code in LIMIT_CODES)
        or any(word in folded for word in LIMIT_WORDS)
    )


def goodbye(text: str) -> MailboxFault:
    """What a BYE asks for."""
    kind = Kind.BUSY if is_busy(text) or hint_of(text) else Kind.NETWORK
    return MailboxFault(kind, f"the server closed the session: {text}", pause=hint_of(text))


def refusal(what: str, text: str) -> Refusal:
    """What a NO or BAD to a command other than the login asks for."""
    kind = Kind.BUSY if is_busy(text) or hint_of(text) else Kind.NETWORK
    return Refusal(kind, f"{what} was refused: {text}", pause=hint_of(text))
