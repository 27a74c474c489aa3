"""Addresses for one test mail each: bound to an identifier, known to nobody but the operator who asked, and over in a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from mailbridge.core.mail import Envelope
from mailbridge.core.recipients import RANDOM_LENGTH, unguessable_address

LIFETIME = timedelta(seconds=60)
MOST = 100
"""Addresses at once; the oldest makes room."""

HEAD = 65_536
"""Octets of a fetched mail in which the address is looked for: a mailbox has no recipient of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test that was asked for, by whom, for which identifier."""

    __test__ = False

    rcpt: str
    identifier: str
    by: str
    until: float


class OneTime:
    """The addresses that live. ``now`` is a monotonic clock in seconds. In the event loop alone."""

    def __init__(self, *, now: Callable[[], float], dice: Callable[[int], bytes]) -> None:
        self._now = now
        self._dice = dice
        self._tests: dict[str, Test] = {}

    def make(self, identifier: str, *, domain: str, by: str) -> Test:
        """A new address at a domain."""
        self._forget()
        while len(self._tests) >= MOST:
            self._tests.pop(next(iter(self._tests)))
        rcpt = unguessable_address(domain, self._dice(RANDOM_LENGTH), prefix="test")
        test = Test(rcpt=rcpt, identifier=identifier, by=by, until=self._now() + LIFETIME.total_seconds())
        self._tests[rcpt.casefold()] = test
        return test

    def is_live(self, rcpt: str) -> bool:
        """Whether an address takes its mail still."""
        self._forget()
        return rcpt.casefold() in self._tests

    def of(self, envelope: Envelope) -> Test | None:
        """The test that a mail is for: by its only recipient, or by what a mail that was fetched from a mailbox is written to."""
        if not self._tests:
            return None
        self._forget()
        if envelope.is_fetched:
            head = envelope.content[:HEAD].partition(b"\r\n\r\n")[0].lower()
            return next((one for rcpt, one in self._tests.items() if rcpt.encode() in head), None)
        return self._tests.get(envelope.rcpt_to[0].casefold()) if len(envelope.rcpt_to) == 1 else None

    def spend(self, test: Test) -> None:
        """Its mail has come: there is no second one."""
        self._tests.pop(test.rcpt.casefold(), None)

    def _forget(self) -> None:
        now = self._now()
        self._tests = {rcpt: one for rcpt, one in self._tests.items() if one.until > now}
