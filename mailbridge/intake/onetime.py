"""Addresses for one test mail each: bound to an identifier, known to nobody but the operator who asked, and over in a minute.

Where several processes share a store, any of them takes the mail: an address carries its time and a proof that it is ours, so that it can
be accepted at once, and whom it is for stands in the store.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Envelope
from mailbridge.core.recipients import ALPHABET, RANDOM_LENGTH, unguessable_address
from mailbridge.store.one_time import OneTimeAddresses

LIFETIME = timedelta(seconds=60)
MOST = 100
"""Most addresses at once; a new one replaces the oldest."""

HEAD = 65_536
"""Octets of a fetched mail in which the address is looked for: a mailbox has no recipient of ours."""

MINUTE, DICE, PROOF = 4, 4, 8
"""Letters of an address that any process can check: when it was made, some by chance, and the proof of both."""

SHAPE = re.compile(rb"test-[2-9a-z]{16}@[a-z0-9.-]{1,253}")
MOST_SHAPED = 5
"""So many things that look like such an address are looked at in one mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test that was asked for, by whom, for which identifier."""

    __test__ = False

    rcpt: str
    identifier: str
    by: str
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What processes on one store need to take each other's tests: where they are kept, a secret that all have, and one clock."""

    kept: OneTimeAddresses
    key: bytes
    now: Callable[[], datetime]

    def address(self, domain: str, dice: bytes) -> str:
        """A new address at a domain."""
        head = _letters(self._minute(), MINUTE) + _letters(int.from_bytes(dice, "big"), DICE)
        return f"test-{head}{self._proof(head, domain)}@{domain}"

    def is_live(self, address: str) -> bool:
        """Whether an address, folded, was made by one of us a moment ago."""
        local, _, domain = address.partition("@")
        letters = local.removeprefix("test-")
        if local == letters or len(letters) != MINUTE + DICE + PROOF:
            return False
        head, proof = letters[:-PROOF], letters[-PROOF:]
        recent = [_letters(self._minute() - ago, MINUTE) for ago in range(-1, 1 + LIFETIME // timedelta(minutes=1))]
        return head[:MINUTE] in recent and hmac.compare_digest(proof.encode(), self._proof(head, domain).encode())

    def _minute(self) -> int:
        return int(self.now().timestamp() // 60)

    def _proof(self, head: str, domain: str) -> str:
        key = hashlib.sha256(b"mailbridge: addresses of tests" + self.key).digest()
        mac = hmac.digest(key, f"{head}@{domain.casefold()}".encode(), "sha256")
        return _letters(int.from_bytes(mac, "big"), PROOF)


class OneTime:
    """The addresses that live. ``now`` is a monotonic clock in seconds; ``together`` None: no other process takes mail. In the event loop
    alone."""

    def __init__(self, *, now: Callable[[], float], dice: Callable[[int], bytes], together: Together | None = None) -> None:
        self._now = now
        self._dice = dice
        self._together = together
        self._tests: dict[str, Test] = {}

    async def make(self, identifier: str, *, domain: str, by: str) -> Test:
        """A new address at a domain. Raises StoreUnavailable."""
        self._forget()
        while len(self._tests) >= MOST:
            self._tests.pop(next(iter(self._tests)))
        random = self._dice(RANDOM_LENGTH)
        if self._together is None:
            rcpt = unguessable_address(domain, random, prefix="test")
        else:
            rcpt = self._together.address(domain, random)
            await self._together.kept.keep(rcpt.casefold(), identifier=identifier, by=by, lives=LIFETIME)
        test = Test(rcpt=rcpt, identifier=identifier, by=by, until=self._now() + LIFETIME.total_seconds())
        self._tests[rcpt.casefold()] = test
        return test

    def is_live(self, rcpt: str) -> bool:
        """Whether an address still accepts its mail."""
        self._forget()
        folded = rcpt.casefold()
        return folded in self._tests or (self._together is not None and self._together.is_live(folded))

    async def of(self, envelope: Envelope) -> Test | None:
        """The test that a mail is for: by its only recipient, or by what a mail that was fetched from a mailbox is written to.

        Raises:
            StoreUnavailable: it is for one of another process, which is not to be had now.
        """
        if not self._tests and self._together is None:
            return None
        self._forget()
        if envelope.is_fetched:
            head = envelope.content[:HEAD].partition(b"\r\n\r\n")[0].lower()
            mine = next((one for rcpt, one in self._tests.items() if rcpt.encode() in head), None)
            shaped = [found.decode() for found in SHAPE.findall(head)[:MOST_SHAPED]] if mine is None else []
        else:
            only = envelope.rcpt_to[0].casefold() if len(envelope.rcpt_to) == 1 else ""
            mine, shaped = self._tests.get(only), [only]
        return mine if mine is not None else await self._of_others(shaped)

    async def spend(self, test: Test) -> None:
        """Its mail has come: there is no second one. Raises StoreUnavailable."""
        self._tests.pop(test.rcpt.casefold(), None)
        if self._together is not None:
            await self._together.kept.spend(test.rcpt.casefold())

    async def _of_others(self, addresses: list[str]) -> Test | None:
        """The test of another process that one of these is for."""
        together = self._together
        if together is None:
            return None
        for address in dict.fromkeys(addresses):
            found = await together.kept.find(address) if together.is_live(address) else None
            if found is not None:
                return Test(rcpt=address, identifier=found[0], by=found[1], until=self._now() + LIFETIME.total_seconds())
        return None

    def _forget(self) -> None:
        now = self._now()
        self._tests = {rcpt: one for rcpt, one in self._tests.items() if one.until > now}


def _letters(number: int, count: int) -> str:
    """The last so many digits of a number, in letters."""
    letters = []
    for _ in range(count):
        number, rest = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[rest])
    return "".join(letters)
