"""Who waits for a code now: runs that poll, agents that hold a request open; and the bell that wakes them when a mail is stored.

It is memory only: what must outlive a restart is in the store. Ask it from any thread; `wake` and waiting itself belong to the
event loop. Whoever wants to know at once that somebody has begun to wait (a mailbox that is watched lazily) subscribes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Literal

from mailbridge.core.dataclass import dataclass

Way = Literal["pull", "api"]
Callback = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Somebody waits for a code of ``identifier`` until ``until`` (aware UTC).

    ``who`` is a run's id or the name of a token, never a secret; ``asked`` how often it has asked so far. ``serial`` tells apart
    requests that are held open under one name. ``sender`` is the one whose codes are waited for, "" for any; ``is_for_link``: a link
    is wanted; ``run`` and ``task`` are Skyvern's own ids of who polls. ``key`` is what no other caller has (`Caller.key`), since
    several may go by one name; "" where nobody asks who it was.
    """

    identifier: str
    who: str
    way: Way
    since: datetime
    until: datetime
    asked: int = 1
    serial: int = 0
    sender: str = ""
    is_for_link: bool = False
    run: str | None = None
    task: str | None = None
    key: str = ""


class Bell:
    """Rings when there is something to look at. Clear it, look, and only then wait: nothing is lost in between."""

    __slots__ = ("_event", "is_over")

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.is_over = False

    def clear(self) -> None:
        """Clear it, before looking."""
        self._event.clear()

    def ring(self) -> None:
        """Wake everybody who waits on it."""
        self._event.set()

    async def wait(self, patience: float) -> bool:
        """Wait; whether it rang within this many seconds."""
        if patience <= 0:
            return False
        try:
            async with asyncio.timeout(patience):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class Waiting:
    """The registry. Identifiers are compared without regard to case."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._waits: dict[tuple[str, Way, str, str, int, str], Wait] = {}
        self._bells: dict[str, set[Bell]] = {}
        self._others: set[Bell] = set()
        self._callbacks: list[Callback] = []
        self._serial = 0
        self.elsewhere: frozenset[str] = frozenset()
        self._is_over = False

    def expect(
        self,
        identifier: str,
        until: datetime,
        *,
        who: str = "",
        way: Way = "pull",
        sender: str = "",
        is_for_link: bool = False,
        run: str | None = None,
        task: str | None = None,
        key: str = "",
    ) -> Wait:
        """Note that somebody waits, or still waits, for a code until then; it lapses by itself."""
        now = self._now()
        wait = Wait(
            identifier=identifier,
            who=who,
            way=way,
            since=now,
            until=until,
            sender=sender,
            is_for_link=is_for_link,
            run=run,
            task=task,
            key=key,
        )
        return self._note(wait, now)

    def begin(self, identifier: str, *, who: str, until: datetime, sender: str = "", is_for_link: bool = False) -> Wait:
        """A request is open; `end` it. Each request counts, whatever its name."""
        with self._lock:
            self._serial += 1
            serial = self._serial
        now = self._now()
        wait = Wait(
            identifier=identifier,
            who=who,
            way="api",
            since=now,
            until=until,
            serial=serial,
            sender=sender,
            is_for_link=is_for_link,
        )
        return self._note(wait, now)

    def _note(self, wait: Wait, now: datetime) -> Wait:
        key = _key(wait)
        with self._lock:
            self._forget(now)
            known = self._waits.get(key)
            if known is not None:
                wait = replace(wait, since=known.since, until=max(wait.until, known.until), asked=known.asked + 1)
            self._waits[key] = wait
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            callback(wait.identifier)
        return wait

    def end(self, wait: Wait) -> None:
        """The wait has ended. Does nothing if it had already expired."""
        with self._lock:
            self._waits.pop(_key(wait), None)

    def is_anyone(self) -> bool:
        """Whether anybody waits."""
        with self._lock:
            self._forget(self._now())
            return bool(self._waits)

    def identifiers(self) -> frozenset[str]:
        """The identifiers that somebody waits for, case-folded."""
        with self._lock:
            self._forget(self._now())
            return frozenset(key[0] for key in self._waits)

    def anywhere(self) -> frozenset[str]:
        """The identifiers that somebody waits for, case-folded, here or at another process (``elsewhere``)."""
        others = self.elsewhere
        return self.identifiers() | others if others else self.identifiers()

    @property
    def count(self) -> int:
        """The number of waits."""
        with self._lock:
            self._forget(self._now())
            return len(self._waits)

    def waits_for(self, identifier: str) -> bool:
        """Whether anybody waits for a code of this identifier."""
        folded = identifier.casefold()
        with self._lock:
            self._forget(self._now())
            return any(key[0] == folded for key in self._waits)

    def all_for(self, identifier: str) -> tuple[Wait, ...]:
        """All waits for a code of this identifier."""
        folded = identifier.casefold()
        with self._lock:
            self._forget(self._now())
            return tuple(wait for key, wait in self._waits.items() if key[0] == folded)

    def everybody(self) -> tuple[Wait, ...]:
        """All waits, the longest first."""
        with self._lock:
            self._forget(self._now())
            waits = tuple(self._waits.values())
        return tuple(sorted(waits, key=lambda one: one.since))

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call ``callback(identifier)`` whenever somebody begins to wait, or asks again, in the event loop's thread.

        It must return at once and not raise. Returns what ends it.
        """
        with self._lock:
            self._callbacks.append(callback)

        def unsubscribe() -> None:
            with self._lock:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return unsubscribe

    @contextmanager
    def bell(self, identifier: str) -> Iterator[Bell]:
        """A bell for the length of the block that rings when a mail for this identifier (``*``: for any) is stored."""
        one = Bell()
        one.is_over = self._is_over
        folded = identifier.casefold()
        self._bells.setdefault(folded, set()).add(one)
        try:
            yield one
        finally:
            ringing = self._bells.get(folded, set())
            ringing.discard(one)
            if not ringing:
                self._bells.pop(folded, None)

    @contextmanager
    def until_close(self, bell: Bell) -> Iterator[None]:
        """Ring another bell once when the daemon stops within the block."""
        bell.is_over = self._is_over
        self._others.add(bell)
        try:
            yield
        finally:
            self._others.discard(bell)

    def wake(self, identifiers: Iterable[str]) -> None:
        """Ring the bells of identifiers for which a mail was stored. In the event loop."""
        for line in ("*", *(one.casefold() for one in identifiers)):
            for one in self._bells.get(line, ()):
                one.ring()

    @property
    def is_over(self) -> bool:
        """Whether the daemon is stopping, so that nobody waits any more."""
        return self._is_over

    def close(self) -> None:
        """The daemon stops: wake everybody without a code; new callers do not wait."""
        self._is_over = True
        for bells in (*self._bells.values(), self._others):
            for one in bells:
                one.is_over = True
                one.ring()

    def _forget(self, now: datetime) -> None:
        """Drop expired waits; the caller holds the lock."""
        lapsed = [key for key, wait in self._waits.items() if wait.until <= now]
        for key in lapsed:
            del self._waits[key]


def _key(wait: Wait) -> tuple[str, Way, str, str, int, str]:
    """The key of a wait."""
    return wait.identifier.casefold(), wait.way, wait.who, wait.key, wait.serial, wait.sender.casefold()
