"""The contract of a way in as a suite: an ingress passes it by giving it a `Place` (see tests/ingress/test_contract.py).

Nothing here knows a protocol. A sender keeps a mail until it is told that the mail is taken, and offers it again until then: a mail
server with its queue, a mailbox with its UIDs, a folder with its files. So "nothing is lost" can be asked of all of them alike.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from mailbridge.core.mail import Envelope
from mailbridge.intake.admission import Admission
from mailbridge.intake.answer import Answer, Deferred, Full, Stored
from mailbridge.intake.doorway import Doorway
from mailbridge.intake.events import NoEvents
from mailbridge.store import Receipt
from tests.loop import looped, until

RCPT = "codes@bridge.example"
ARRIVED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MEMORY = 1_048_576
ANSWERS: Mapping[str, Answer] = {
    "proof": Deferred(why="proof"),
    "locked": Deferred(why="locked"),
    "gone": Deferred(why="gone"),
    "closed": Deferred(why="closed"),
    "full": Full(),
}
"""Every answer after which nothing was kept, by the name that `Place.says` knows it by."""

PATIENCE = 20.0
KILLED = """
import asyncio, os, sys
sys.path[:0] = [sys.argv[1]]
from tests.ingress.contract.killed import main
asyncio.run(main(*sys.argv[2:]))
"""


class Source(Protocol):
    """Where mails come from. It offers each until it is told that the mail is taken."""

    async def post(self, mail: bytes, *, rcpt: str = RCPT) -> None:
        """One more mail, from now on."""
        ...

    def held(self) -> int:
        """How many mails it has not been told of that they are taken."""
        ...

    async def close(self) -> None:
        """Offer nothing more."""
        ...


class Place(Protocol):
    """An ingress at a place of its own, so that it can be taken down and put up again there, in another process too.

    ``says``: what a sender hears after each of `ANSWERS` and after ``stored``, as its protocol begins the line; empty where a sender
    hears nothing. ``asks``: whether the ingress learns a recipient from the sender, and so refuses those that are not ours.
    """

    says: Mapping[str, str]
    asks: bool

    def serve(self, doorway: Doorway) -> AbstractAsyncContextManager[str]:
        """The ingress, for the length of the block; gives the words by which a source finds it."""
        ...

    def source(self, where: str) -> Source:
        """A source for it."""
        ...

    async def say(self, where: str, mail: bytes) -> str:
        """Hand one mail over, once; what the sender hears. Only where ``says`` is not empty."""
        ...


def mail(number: int = 1) -> bytes:
    """A mail that is like no other, with a line that begins with a dot, and octets that are no text."""
    return (
        f"From: a@larch.example\r\nTo: {RCPT}\r\nMessage-ID: <{number}@larch.example>\r\n\r\n..code {number}\r\n".encode()
        + b"\xff\xfe\r\n"
    )


@dataclass(slots=True)
class Desk:
    """The other side of the door. ``script`` are the next answers; after them everything is stored. An Event is waited for first."""

    script: deque[Answer | Exception | asyncio.Event] = field(default_factory=deque)
    offered: list[Envelope] = field(default_factory=list)
    stored: list[Envelope] = field(default_factory=list)
    at_once: int = 0

    async def accept(self, envelope: Envelope) -> Answer:
        """As the script says."""
        self.offered.append(envelope)
        act = self.script.popleft() if self.script else None
        if isinstance(act, asyncio.Event):
            self.at_once += 1
            try:
                await act.wait()
            finally:
                self.at_once -= 1
        elif isinstance(act, Exception):
            raise act
        elif act is not None:
            return act
        self.stored.append(envelope)
        return Stored(receipt=Receipt(mail_id=len(self.stored)))

    def doorway(self) -> Doorway:
        """It, as an ingress is given it."""
        admission = Admission(is_ours=lambda rcpt: rcpt == RCPT, memory=MEMORY)
        return Doorway(accept=self.accept, admission=admission, events=NoEvents(), now=lambda: ARRIVED)

    @property
    def contents(self) -> list[bytes]:
        """What was stored, each mail once, in the order of its first storing."""
        return list(dict.fromkeys(one.content for one in self.stored))


class IngressContract:
    """What every way in does. Subclasses provide the fixture ``place``."""

    patience: ClassVar[float] = PATIENCE

    @asynccontextmanager
    async def _running(self, place: Place, desk: Desk) -> AsyncIterator[Source]:
        """Ingress and source; afterwards no memory is held."""
        doorway = desk.doorway()
        async with place.serve(doorway) as where:
            source = place.source(where)
            try:
                yield source
            finally:
                await source.close()
        await until(lambda: doorway.admission.reserved == 0)

    async def _until_taken(self, source: Source, desk: Desk, count: int) -> None:
        await until(lambda: source.held() == 0 and len(desk.contents) == count, patience=self.patience)

    @looped
    async def test_a_mail_that_is_stored_is_taken_once_and_octet_for_octet(self, place: Place) -> None:
        """Content untouched, received by our clock, for the recipient that is ours; and it is offered no more."""
        desk = Desk()
        async with self._running(place, desk) as source:
            await source.post(mail())
            await self._until_taken(source, desk, 1)
        (envelope,) = desk.offered
        assert envelope.content == mail()
        assert envelope.rcpt_to == (RCPT,)
        assert envelope.received_at.tzinfo is not None

    @looped
    async def test_nothing_is_acknowledged_before_it_is_stored(self, place: Place) -> None:
        """While the door has not answered, the sender keeps its mail."""
        desk, gate = Desk(), asyncio.Event()
        desk.script.append(gate)
        async with self._running(place, desk) as source:
            await source.post(mail())
            await until(lambda: desk.at_once == 1, patience=self.patience)
            await asyncio.sleep(0.1)
            assert source.held() == 1
            gate.set()
            await self._until_taken(source, desk, 1)

    @pytest.mark.parametrize("why", ANSWERS)
    @looped
    async def test_what_was_not_kept_comes_again(self, place: Place, why: str) -> None:
        """After each answer that is no yes the sender keeps the mail, offers it again, and is rid of it once it is stored."""
        desk = Desk()
        desk.script.append(ANSWERS[why])
        async with self._running(place, desk) as source:
            await source.post(mail())
            await self._until_taken(source, desk, 1)
        assert [one.content for one in desk.offered] == [mail(), mail()]

    @pytest.mark.parametrize("answer", ["stored", *ANSWERS])
    @looped
    async def test_a_sender_hears_what_became_of_its_mail(self, place: Place, answer: str) -> None:
        """In the words of its protocol, where it has words: a yes for a yes, a "come again" for all else, never a "never"."""
        desk = Desk()
        desk.script.extend([ANSWERS[answer]] if answer != "stored" else [])
        async with place.serve(desk.doorway()) as where:
            if place.says:
                assert (await place.say(where, mail())).startswith(place.says[answer])

    @looped
    async def test_a_bug_behind_the_door_is_no_yes(self, place: Place) -> None:
        """An exception acknowledges nothing and ends nothing: the mail comes again, and the next one is taken too."""
        desk = Desk()
        desk.script.append(ZeroDivisionError("a bug"))
        async with self._running(place, desk) as source:
            await source.post(mail(1))
            await self._until_taken(source, desk, 1)
            await source.post(mail(2))
            await self._until_taken(source, desk, 2)

    @looped
    async def test_many_mails_are_all_taken(self, place: Place) -> None:
        """Twenty at once, some of them put off: each is stored, and none is left."""
        desk = Desk()
        desk.script.extend([Deferred(why="locked"), Full()])
        async with self._running(place, desk) as source:
            for number in range(20):
                await source.post(mail(number))
            await self._until_taken(source, desk, 20)
        assert sorted(desk.contents) == sorted(mail(number) for number in range(20))

    @looped
    async def test_what_is_not_for_us_is_not_brought(self, place: Place) -> None:
        """An ingress that is told a recipient refuses others; a mail for one of ours behind it is taken."""
        desk = Desk()
        async with self._running(place, desk) as source:
            if place.asks:
                await source.post(mail(1), rcpt="stranger@else.example")
            await source.post(mail(2))
            await until(lambda: desk.contents == [mail(2)], patience=self.patience)
        assert desk.contents == [mail(2)]

    @looped
    async def test_a_mail_larger_than_all_memory_is_not_brought_whole(self, place: Place) -> None:
        """It is refused, put off, left where it is or cut; it takes no memory for good."""
        desk = Desk()
        async with self._running(place, desk) as source:
            await source.post(mail() + b"x\r\n" * MEMORY)
            await asyncio.sleep(0.3)
        assert all(len(one.content) <= MEMORY for one in desk.stored)

    @looped
    async def test_taken_down_in_the_middle_nothing_is_lost(self, place: Place) -> None:
        """The door does not answer, the ingress ends: the sender still has the mail, and the next ingress gets it."""
        first = Desk(script=deque([asyncio.Event()]))
        async with place.serve(first.doorway()) as where:
            source = place.source(where)
            await source.post(mail())
            await until(lambda: first.at_once == 1, patience=self.patience)
        assert source.held() == 1
        await source.close()
        second = Desk()
        async with place.serve(second.doorway()) as where:
            await self._offered_again(place, where)
        assert second.contents == [mail()]

    async def _offered_again(self, place: Place, where: str) -> None:
        """The mail that was not taken comes once more: from where it lies, or from a sender that has to find the new place."""
        again = place.source(where)
        if again.held() == 0:
            await again.post(mail())
        await until(lambda: again.held() == 0, patience=self.patience)
        await again.close()

    @looped
    async def test_after_its_end_it_brings_nothing(self, place: Place) -> None:
        """What comes when the block is over stays with the sender."""
        desk = Desk()
        async with self._running(place, desk) as source:
            await source.post(mail(1))
            await self._until_taken(source, desk, 1)
        late = place.source("127.0.0.1:1" if place.says else "")
        await late.post(mail(2))
        await asyncio.sleep(0.1)
        assert (late.held(), desk.contents) == (1, [mail(1)])
        await late.close()

    @pytest.mark.parametrize("when", ["before it is on disk", "when it is on disk"])
    @looped
    async def test_killed_between_nothing_is_lost(self, place: Place, when: str, tmp_path: Path) -> None:
        """SIGKILL while a mail is at the door: what the sender was told of is on disk, and the rest is offered again.

        Killed before the mail is on disk it is stored once, by the next process; killed after that, and before the sender heard of
        it, it may be stored twice, and the store knows it again.
        """
        book = tmp_path / "book"
        async with self._process(place, book, when) as (process, where):
            source = place.source(where)
            await source.post(mail())
            await until(lambda: (tmp_path / "book.reached").exists(), patience=self.patience)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            assert source.held() == 1
            await source.close()
        async with self._process(place, book, "") as (_, where):
            await self._offered_again(place, where)
        stored = book.read_text().splitlines()
        assert set(stored) == {mail().hex()}
        assert len(stored) == (1 if when.startswith("before") else 2)

    @asynccontextmanager
    async def _process(self, place: Place, book: Path, hold: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
        """The ingress in a process of its own, which writes what it stores into ``book``; and where a source finds it."""
        root = Path(__file__).resolve().parents[3]
        arguments = (str(root), pickle.dumps(place).hex(), str(book), hold)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        where = (await process.stdout.readline()).decode().strip()
        try:
            yield process, where
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
