"""Events: what a receiver is told of, one by one, and how each is said to a person in two lines without a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from mailbridge.core.dataclass import dataclass

RECEIVED = "code.received"

TYPES: Mapping[str, str] = {
    RECEIVED: "a code or a link is there",
    "code.superseded": "a code was given up before it was sent, since a newer one came",
    "code.missing": "somebody waited for a code, and none came",
    "mail.held": "nothing of a mail is pushed before a person has looked at it",
    "mail.no_code": "a mail came in that holds no code",
    "delivery.done": "a target has taken a code",
    "delivery.dead": "a code was not delivered",
    "mailbox.down": "a watched mailbox is not read any more",
    "mailbox.up": "it is read again",
    "gmail.confirmation": "somebody asks whether mail may be forwarded here",
    "alarm.raised": "something needs a person",
    "alarm.cleared": "it is over",
}
"""Every type, and what it says. Types are stable: receivers compare them."""

USUAL = tuple(one for one in TYPES if one != "delivery.done")
"""What a webhook is told of that does not say."""

NEEDS_YOU = ("code.missing", "delivery.dead", "mailbox.*", "gmail.confirmation", "alarm.*")
"""What a notice tells of that does not say: only what needs a person, and that it is over."""

TEST = "test"
"""The type of the event that a person sends to try a target or a notice."""

LONGEST_LINE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. ``id`` is the same whenever it is told, ``line`` its line in the journal (0: it has none, and is told by the outbox).

    ``data`` is JSON without a secret. ``identifiers`` are those it is about, ``subject`` what further events of its kind are counted
    by: a target's name, a mailbox's, an identifier.
    """

    id: str
    type: str
    at: datetime
    data: Mapping[str, Any]
    line: int = 0
    identifiers: tuple[str, ...] = ()
    subject: str = ""
    is_of_mail: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which events a listener wants: patterns of types and of identifiers, ``*`` for any text."""

    types: Sequence[str] = ("*",)
    identifiers: Sequence[str] = ("*",)

    def takes(self, event: Event) -> bool:
        """Whether an event is one of these. One that is about nobody in particular goes to everybody; a mail of which nobody knows whose
        it is goes only to those who want all identifiers."""
        if not any(fnmatchcase(event.type, one) for one in self.types):
            return False
        if event.identifiers or event.is_of_mail:
            return any(one == "*" or _serves(one, event.identifiers) for one in self.identifiers)
        return True


def lifetime(kind: str) -> timedelta:
    """How long it is worth telling of an event that could not be told."""
    return timedelta(minutes=10) if kind == "code.missing" else timedelta(hours=8)


def schedule(kind: str, attempts: int) -> timedelta | None:
    """How long to wait after so many attempts (from 1): 5 s, 1, 5, 30 min, 2 h and then 5 h. A wait that ended empty is told of twice
    at the most: None."""
    if kind == "code.missing":
        return timedelta(seconds=5) if attempts == 1 else None
    steps = (5, 60, 300, 1_800, 7_200, 18_000)
    return timedelta(seconds=steps[min(attempts, len(steps)) - 1])


def title_of(event: Event) -> str:
    """What happened, in a few words, for a person."""
    data = event.data
    match event.type:
        case "code.missing":
            return f"No code came for {masked(_text(data, 'identifier'))}"
        case "code.received":
            return f"A {_text(data, 'kind') or 'code'} came for {masked(_text(data, 'identifier'))}"
        case "delivery.dead":
            return f"A code for {masked(_text(data, 'identifier'))} was not delivered to {_text(data, 'target')}"
        case "delivery.done":
            return f"{_text(data, 'target')} has a code for {masked(_text(data, 'identifier'))}"
        case "code.superseded":
            return f"A newer code came for {masked(_text(data, 'identifier'))}"
        case "mail.held":
            return "A mail is held"
        case "mail.no_code":
            return "A mail without a code came"
        case "mailbox.down":
            return f"The mailbox {_text(data, 'mailbox')} is not read any more"
        case "mailbox.up":
            return f"The mailbox {_text(data, 'mailbox')} is read again"
        case "gmail.confirmation":
            return f"{masked(_text(data, 'account')) or 'Somebody'} asks to forward mail here"
        case "alarm.raised":
            return f"{_text(data, 'alarm')} needs you"
        case "alarm.cleared":
            return f"{_text(data, 'alarm')} is well again"
        case _:
            return "This is a test"


def message_of(event: Event, *, more: int = 0) -> str:
    """Why, and what to do; ``more`` further ones of its kind came meanwhile. One line, and never longer than a phone shows."""
    data = event.data
    causes = data.get("causes")
    parts = [str(one) for one in causes[:2]] if isinstance(causes, list) else []
    parts += [_text(data, "reason")] if not parts else []
    parts += [HINTS.get(event.type, "")]
    parts += [f"and {more} more"] if more else []
    line = "; ".join(one for one in map(one_line, parts) if one)
    for identifier in event.identifiers:
        line = line.replace(identifier, masked(identifier))
    return line or ("mailbridge can reach you" if event.type == TEST else TYPES.get(event.type, event.type))


HINTS: Mapping[str, str] = {
    "mail.held": "`mailbridge mail list --held`",
    "delivery.dead": "`mailbridge delivery list --state dead`",
    "gmail.confirmation": "`mailbridge gmail confirm`",
    "mailbox.down": "`mailbridge imap status`",
}


def masked(identifier: str) -> str:
    """An identifier as it may stand on somebody's phone: the first letter of a local part, and the domain."""
    local, at, domain = identifier.partition("@")
    if not at:
        return f"{identifier[:2]}…" if len(identifier) > 3 else identifier
    return f"{local[:1]}…@{domain}"


def one_line(text: str) -> str:
    """A text as one line without what is not seen, cut to what a phone shows."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def _serves(pattern: str, identifiers: Sequence[str]) -> bool:
    return any(fnmatchcase(one.casefold(), pattern.casefold()) for one in identifiers)


def _text(data: Mapping[str, Any], key: str) -> str:
    return one_line(str(data.get(key) or ""))
