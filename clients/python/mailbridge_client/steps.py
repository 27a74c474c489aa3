"""What is asked in which order, and when it is asked again: one plan for the sync and the async client.

Each plan is a generator. It yields a `Call` and is sent its `Answer`, or a `Failure` where none came; it yields a `Pause` and is sent
None when that is over. Time and dice are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar

from mailbridge_client import calls
from mailbridge_client.answers import Code, CodeKind, Expectation, InboxInfo, Why
from mailbridge_client.calls import Answer, Call, Wish
from mailbridge_client.errors import CodeTimeout, MailbridgeError, Unreachable

T = TypeVar("T")

LONGEST_POLL = 50.0
"""Seconds of one request that waits. The daemon takes 60; many a proxy hangs up after 60 without an octet."""

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 3.0
AGAIN = frozenset({429, 502, 503, 504})
BEGINNING = 0.0
"""A moment before every code."""

STEP = timedelta(milliseconds=1)
WHAT: dict[CodeKind, str] = {"code": "code", "link": "link", "totp": "code of an authenticator"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No answer came: ``text`` says why."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Step = Call | Pause
Got = Answer | Failure | None
Plan = Generator[Step, Got, T]


class Planner:
    """Makes the plans, and remembers what was expected and given, so that nothing is given twice or missed in between.

    ``patience``: seconds for which a request that fails for now is sent again. ``clock`` counts seconds, ``dice`` gives 0 to 1.
    """

    def __init__(self, *, patience: float, clock: Callable[[], float], dice: Callable[[], float]) -> None:
        self._patience = patience
        self._clock = clock
        self._dice = dice
        self._expected: dict[str, tuple[datetime, float]] = {}
        self._given: dict[tuple[str, CodeKind], datetime] = {}
        self._own: set[str] = set()

    def wait(self, wish: Wish) -> Plan[Code]:
        """The next code of the wish.

        Raises:
            CodeTimeout: mailbridge answered to the end, and nothing came.
        """
        until = self._clock() + wish.timeout
        since = wish.since
        if since is None:
            since = yield from self._since(wish, until)
        early = 0
        while True:
            began = self._clock()
            seconds = min(max(0.0, until - began), LONGEST_POLL)
            call = calls.wait_call(wish, since=since, timeout=seconds)
            code = calls.read_code((yield from self._asked(call, until=max(until, began))))
            if code is not None:
                self._note(code, wish)
                return code
            if self._clock() >= until:
                why = yield from self._why_if_told(wish.identifier, since)
                raise CodeTimeout(identifier=wish.identifier, what=WHAT[wish.kind], timeout=wish.timeout, why=why)
            early = early + 1 if self._clock() < began + seconds / 2 else 0
            if early:  # a daemon that stops answers at once
                yield Pause(seconds=min(self._pause(None, early), max(0.0, until - self._clock())))

    def latest(self, wish: Wish) -> Plan[Code | None]:
        """The newest code that lives, old as it may be; None where there is none."""
        call = calls.wait_call(wish, since=BEGINNING, timeout=0)
        code = calls.read_code((yield from self._asked(call)))
        if code is not None:
            self._note(code, wish)
        return code

    def expect(self, identifier: str, *, seconds: float, sender: str | None) -> Plan[Expectation]:
        """Announce it. The next wait for the identifier counts from here, while this is in force."""
        answer = yield from self._asked(calls.expect_call(identifier, seconds=seconds, sender=sender))
        expectation = calls.read_expectation(answer)
        self._expected[identifier.casefold()] = (expectation.since, self._clock() + seconds)
        return expectation

    def why(self, identifier: str, since: datetime | float | None) -> Plan[Why]:
        """The causes."""
        return calls.read_why((yield from self._asked(calls.why_call(identifier, since))))

    def create_inbox(
        self, senders: Sequence[str] | None, lifetime: str | float | None, *, is_pushed: bool = False
    ) -> Plan[InboxInfo]:
        """A new inbox. Whatever comes to it is new, so its first wait counts from its beginning."""
        answer = yield from self._asked(calls.create_inbox_call(senders, lifetime, is_pushed=is_pushed))
        made = calls.read_inbox(answer)
        self._own.add(made.identifier.casefold())
        return made

    def inboxes(self) -> Plan[tuple[InboxInfo, ...]]:
        """Those that live."""
        return calls.read_inboxes((yield from self._asked(calls.inboxes_call())))

    def release_inbox(self, inbox: int, identifier: str = "") -> Plan[None]:
        """Erase it, and forget what was given of it."""
        calls.read_nothing((yield from self._asked(calls.release_inbox_call(inbox))))
        line = identifier.casefold()
        self._own.discard(line)
        for kind in WHAT:
            self._given.pop((line, kind), None)

    def _since(self, wish: Wish, until: float) -> Plan[datetime | float]:
        """From when a wait counts that names no moment: from what was expected, or from now by the daemon's clock; for an inbox of
        our own from its beginning; in every case after what was given before."""
        line = wish.identifier.casefold()
        given = self._given.get((line, wish.kind))
        if line in self._own:
            return BEGINNING if given is None else given + STEP
        since, holds_until = self._expected.pop(line, (None, 0.0))
        if since is None or self._clock() > holds_until:
            patience = min(until, self._clock() + self._patience)
            answer = yield from self._asked(calls.expect_call(wish.identifier, seconds=0, sender=wish.sender), until=patience)
            since = calls.read_expectation(answer).since
        return since if given is None else max(since, given + STEP)

    def _note(self, code: Code, wish: Wish) -> None:
        if code.received_at is not None:
            self._given[(wish.identifier.casefold(), wish.kind)] = code.received_at

    def _why_if_told(self, identifier: str, since: datetime | float) -> Plan[Why | None]:
        """What mailbridge says, asked once; None where it says nothing to this token."""
        got = yield calls.why_call(identifier, since)
        if not isinstance(got, Answer):
            return None
        try:
            return calls.read_why(got)
        except MailbridgeError:
            return None

    def _asked(self, call: Call, *, until: float | None = None) -> Plan[Answer]:
        """The answer of a call, sent again while it fails for now.

        Raises:
            Unreachable: it failed to the end.
        """
        end = self._clock() + self._patience if until is None else until
        count = 0
        while True:
            got = yield call
            if isinstance(got, Answer) and got.status not in AGAIN:
                return got
            pause = self._pause(got, count)
            if self._clock() + pause > end:
                raise _unreachable(got)
            yield Pause(seconds=pause)
            count += 1

    def _pause(self, got: Got, count: int) -> float:
        """What the answer asks for, and some more; else a random part of a time that grows."""
        most = min(LONGEST_PAUSE, FIRST_PAUSE * 2**count)
        asked = _seconds(got.retry_after) if isinstance(got, Answer) else None
        if asked is not None:
            return asked + FIRST_PAUSE * self._dice()
        return float(most * (0.1 + 0.9 * self._dice()))


def _seconds(retry_after: str) -> float | None:
    """Retry-After (RFC 9110 10.2.3): seconds, or a date; None where it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _unreachable(got: Got) -> MailbridgeError:
    if isinstance(got, Answer):
        return Unreachable(f"mailbridge cannot be used now: {calls.title_of(got)}", status=got.status)
    return Unreachable(f"mailbridge does not answer: {got.text if got is not None else 'nothing came'}")
