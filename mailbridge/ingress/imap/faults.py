"""What can go wrong with a mailbox. Each fault has a kind, says what happened and what fixes it, and how long to leave the
mailbox alone."""

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
"""Octets in Python's notation, which the library puts into some of its texts."""
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
    """What a fault needs: patience, a pause, or a person."""

    NETWORK = "network"
    """No connection, or one that died: retry soon."""
    MAIL = "mail"
    """One mail cannot be fetched, and the connection was lost with it: retry at once, for the other mails."""
    BUSY = "busy"
    """The server asks for a pause."""
    REFUSED = "refused"
    """The server does not accept these credentials: retry rarely, so that no account is locked."""
    CONSENT = "consent"
    """The permission is gone: do not retry until a person has given it again."""
    SETTING = "setting"
    """The configuration does not fit the server: retry rarely."""


class MailboxFault(Exception):  # noqa: N818  (its kind says what it is)
    """A mailbox cannot be watched now. The text names what happened and what fixes it, and contains no secret."""

    def __init__(self, kind: Kind, text: str, *, pause: timedelta | None = None, uid: int | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.pause = pause
        self.uid = uid
        """The mail in whose answer it happened, if known."""


class Refusal(MailboxFault):
    """The server said NO or BAD to one command. The connection is still good."""


class Silence(MailboxFault):
    """The server said nothing when it should answer. ``is_before_greeting``: it did not even accept the connection, or the
    handshake."""

    is_before_greeting = False


class Skipped(MailboxFault):
    """Of several commands sent together, the server answered a later one and not the one before it."""


class IdleRefused(Exception):  # noqa: N818  (an answer rather than an error)
    """The server answered IDLE with NO or BAD: this connection must be polled."""


@contextmanager
def legible() -> Iterator[None]:
    """For a block in which the library reads: octets that are not IMAP, to which it reacts in many ways, become a network
    fault."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AssertionError) as fault:
        raise MailboxFault(
            Kind.NETWORK, f"the server's answer cannot be read ({type(fault).__name__}); is it an IMAP server?"
        ) from None


def shown(octets: bytes) -> str:
    """A server's words, suitable for a log line or a terminal: printable, one line, not long."""
    text = octets.decode("utf-8", "replace")
    return re.sub(r"[^\x20-\x7e\u00a1-\u02ff\u0370-\u1fff\u3040-\ud7ff]+", " ", text).strip()[:TEXT_LIMIT]


def words_of(fault: Exception) -> str:
    """The server's words in an exception of the library. The library has them as octets, in the exception itself or its cause,
    or written as a Python literal."""
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
    """How long the server asks to be left alone (Microsoft's throttling text), at most 15 minutes. None if it does not say."""
    found = HINT.search(text)
    return min(timedelta(milliseconds=int(found[1])), LONGEST_HINT) if found else None


def is_busy(text: str) -> bool:
    """Whether a NO, BAD or BYE means "not now" and not "not you"."""
    folded = text.casefold()
    return any(code in text.upper() for code in BUSY_CODES) or any(word in folded for word in BUSY_WORDS)


def is_quota(text: str) -> bool:
    """Whether a quota is used up, which takes hours to refill."""
    return any(word in text.upper() for word in QUOTA_WORDS)


def is_for_all(text: str) -> bool:
    """Whether a NO to a FETCH concerns every mail, because the server wants fewer requests. Any other NO concerns the mail
    itself."""
    folded = text.casefold()
    return (
        hint_of(text) is not None
        or any(code in text.upper() for code in LIMIT_CODES)
        or any(word in folded for word in LIMIT_WORDS)
    )


def goodbye(text: str) -> MailboxFault:
    """The fault for a BYE."""
    kind = Kind.BUSY if is_busy(text) or hint_of(text) else Kind.NETWORK
    return MailboxFault(kind, f"the server closed the session: {text}", pause=hint_of(text))


def refusal(what: str, text: str) -> Refusal:
    """The fault for a NO or BAD to a command other than the login."""
    kind = Kind.BUSY if is_busy(text) or hint_of(text) else Kind.NETWORK
    return Refusal(kind, f"{what} was refused: {text}", pause=hint_of(text))
