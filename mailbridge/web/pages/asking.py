"""The request of a view, how the view uses a verb, and its answer."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.operator import verbs
from mailbridge.operator.asks import Ask
from mailbridge.operator.asks import asked as as_asked
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.shapes import Shape
from mailbridge.operator.verbs import By, Operator, Verb
from mailbridge.store.sessions import Session
from mailbridge.web.auth import RANKS
from mailbridge.web.pages.keeping import Kept
from mailbridge.web.pages.words import text

log = logging.getLogger("mailbridge.page")

A = TypeVar("A", bound=Ask)
G = TypeVar("G", bound=Shape)

NEED_FRESH = frozenset(
    one.name
    for one in (
        verbs.MAIL_REVEAL,
        verbs.MAIL_RAW,
        verbs.MAIL_TEXT,
        verbs.CODE_REVEAL,
        verbs.CODE_LATEST,
        verbs.TOTP_CODE,
        verbs.TOTP_ADD,
        verbs.TOTP_BIND,
        verbs.TOTP_REMOVE,
        verbs.MAIL_CONFIRM,
        verbs.ENTRY_ADD,
        verbs.ENTRY_REMOVE,
        verbs.RULE_ADD,
        verbs.SESSION_REMOVE,
        verbs.MAILBOX_ADD,
        verbs.MAILBOX_REMOVE,
        verbs.SETUP_ANSWER,
    )
)
"""Verbs that need a fresh login: they show a code, or change which senders are trusted and where codes go."""

NOTED = frozenset({"file", "filter", "test"})
"""Answers of a setup that only confirm what was done: they need no fresh login."""

VIEWER = Fault(kind=Kind.FORBIDDEN, title=text("fault.viewer"))


class Refused(Exception):  # noqa: N818  (an answer, no accident)
    """A verb refused; the fault says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.title)
        self.fault = fault


class Stale(Exception):  # noqa: N818
    """The login is too old for this; log in again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A template and its values."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """Redirect to another page, which shows ``said`` (a key of the words) as done."""

    path: str
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A download under a name."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """Nothing is new: the browser keeps what it shows."""


Answer = Page | Go | File | Same

UNTOLD = frozenset({verbs.SETUP_GO.name})
"""Verbs that an open page uses every other second: they are in no log, and what they did is in the setup's own list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request for a view. ``name`` is that of its path in `entrance.PATHS`, ``number`` the one in it; ``files`` are what a form uploads; ``is_part``: htmx asks for a piece of a page; ``kept`` is a form that waited for a younger login."""

    operator: Operator
    session: Session
    is_fresh: Callable[[Session], bool]
    now: datetime
    name: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, list[str]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    number: int = 0
    is_part: bool = False
    request: str = ""
    kept: Kept | None = None

    @property
    def is_operator(self) -> bool:
        """Whether more than looking is allowed."""
        return self.session.role == "operator"

    def sent(self, name: str) -> str:
        """A field of the form; "" if it is absent."""
        return next(iter(self.form.get(name, ())), "")

    def need_fresh(self) -> None:
        """Require a fresh login. Raises Stale."""
        if not self.is_fresh(self.session):
            raise Stale

    def tell(self, verb: str, outcome: str, number: int | None = None) -> None:
        """Write down who used what, and never what was shown."""
        log.info(
            "used on the page",
            extra={
                "event": log_events.PAGE_USED,
                "verb": verb,
                "by": self.session.name,
                "session": self.session.id,
                "outcome": outcome,
            }
            | ({} if number is None else {"number": number}),
        )

    async def attempt(self, verb: Verb[A, G], ask: A) -> G | Fault:
        """What a verb answers. What is not only looked at stands in the log: who did what.

        Raises:
            Stale: it needs a young login.
        """
        if RANKS[self.session.role] < RANKS[verb.role] or verb.is_local:
            return VIEWER
        is_note = verb.name == verbs.SETUP_ANSWER.name and getattr(ask, "name", "") in NOTED
        if verb.name in NEED_FRESH and not is_note:
            self.need_fresh()
        found = await verb.run(self.operator, ask, By(name=self.session.name, request=self.request))
        if verb.method == "POST" and verb.name not in UNTOLD:
            self.tell(verb.name, str(found.kind) if isinstance(found, Fault) else "done", getattr(ask, "id", None))
        return found

    async def do(self, verb: Verb[A, G], ask: A) -> G:
        """The same where a fault is the whole answer.

        Raises:
            Refused, Stale: it was not done.
        """
        found = await self.attempt(verb, ask)
        if isinstance(found, Fault):
            raise Refused(found)
        return found


PLACE = re.compile(r"at `\$\.(\w+)")


def filled(kind: type[A], values: Mapping[str, Any]) -> A | dict[str, str]:
    """The fields of a form as the request of a verb; or the mistake in each field (a key of the words), by its name."""
    try:
        return as_asked(kind, values, is_text=False)
    except msgspec.ValidationError as fault:
        place = PLACE.search(str(fault))
        name = place.group(1) if place is not None else "form"
        return {name: "unusable" if str(values.get(name, "")).strip() else "needed"}


def said(fault: Fault) -> str:
    """A fault as one text beside a field."""
    return "; ".join(fault.problems) or fault.title
