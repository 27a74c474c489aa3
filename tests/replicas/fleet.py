"""Several daemons on one PostgreSQL while they are disturbed: who sends to them, who reads their events, and the records of it all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import smtplib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Delivery
from tests.e2e.test_kill import is_alive
from tests.peers.daemon import Daemon, House, wait_for
from tests.peers.faulty import FaultyReceiver, Temper
from tests.peers.postgres import Postgres
from tests.replicas.history import History, Line, Push, Row, Seen, Sent, Verdict, judge

TOKEN = "the-token-of-the-tests-that-reads-all-events"
ENVIRON = {"MAILBRIDGE_HTTP__TOKEN": TOKEN}
KEPT = '[retention]\ncode = "24h"\n'
"""What the configuration of a fleet needs, so that codes can still be told apart at its end."""

FAILING = Temper(refuses=0.10, loses=0.08, is_late=0.05, lateness=0.8, hangs=0.02, drops=0.10)
IDENTIFIERS = 3
SENDERS = 2
FIRST_CODE = 10_000_000
ACCEPTED = 250
PATIENCE = 240.0
"""Seconds that several daemons which start at once may take on a busy machine."""


def deliveries_of(house: House) -> list[Delivery]:
    """Everything in the outbox that the replicas share."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    async def read() -> list[Delivery]:
        assert house.key_file is not None
        store = await open_postgres(
            StoreSettings(url=house.url),
            RetentionSettings(),
            key_path=house.key_file,
            clock=SteadyClock(),
            grace=timedelta(),
            is_visitor=True,
        )
        found = await store.outbox.deliveries(limit=1_000_000)
        await store.close()
        return list(found)

    return asyncio.run(read())


@dataclass
class Sender(threading.Thread):
    """Sends mail to identifiers of its own, each to any replica, one at a time and each until it is acknowledged: so what it was told
    is an order of its codes over all replicas. With a ``token`` it posts them by HTTP."""

    houses: Sequence[House]
    number: int
    of: int
    token: str = ""
    pause: float = 0.1
    sent: list[Sent] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    deferred: int = 0
    unanswered: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._is_over = threading.Event()
        self._dice = random.Random(self.number)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Until `stop`."""
        serial = 0
        while not self._is_over.is_set():
            serial += 1
            code = str(FIRST_CODE + serial * self.of + self.number)
            identifier = f"user{self.number}-{self._dice.randrange(IDENTIFIERS)}@corp.example"
            sender = f"no-reply{self._dice.randrange(SENDERS)}@larch.example"
            began, acknowledged = time.time(), None
            while acknowledged is None and not self._is_over.is_set():
                if self._is_accepted(code, identifier, sender):
                    acknowledged = time.time()
                else:
                    self._is_over.wait(0.1)
            self.sent.append(Sent(identifier=identifier, sender=sender, code=code, began=began, acknowledged=acknowledged))
            self._is_over.wait(self._dice.uniform(0.0, self.pause))

    def _is_accepted(self, code: str, identifier: str, sender: str) -> bool:
        try:
            reply = self._reply(self._dice.choice(self.houses), code, identifier, sender)
        except (OSError, smtplib.SMTPException):
            self.unanswered += 1
            return False
        if 500 <= reply < 600:
            self.refused.append(reply)
        self.deferred += reply != ACCEPTED
        return reply == ACCEPTED

    def _reply(self, house: House, code: str, identifier: str, sender: str) -> int:
        if not self.token:
            return house.send(code, identifier=identifier, sender=sender)[0]
        status = house.post(code, identifier=identifier, sender=sender, token=self.token)
        return {204: ACCEPTED, 429: 451, 503: 451}.get(status, 500 + status // 10)

    def stop(self) -> None:
        """End after the try in hand."""
        self._is_over.set()
        self.join(60)


class Reader(threading.Thread):
    """Follows the events from the first one on, at one replica until it is gone, and goes on at any other one from where it was."""

    def __init__(self, houses: Sequence[House], number: int) -> None:
        super().__init__(daemon=True)
        self.ids: list[int] = []
        self.joined = 0
        self._houses = houses
        self._dice = random.Random(number)
        self._is_over = threading.Event()

    def run(self) -> None:
        """Until `stop`, which takes effect with the next event or the end of the stream."""
        with httpx.Client(trust_env=False, timeout=httpx.Timeout(5, read=20)) as client:
            while not self._is_over.is_set():
                with contextlib.suppress(httpx.HTTPError):
                    self._follow(client, self._dice.choice(self._houses))
                self._is_over.wait(0.2)

    def _follow(self, client: httpx.Client, house: House) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Last-Event-ID": str(self.ids[-1] if self.ids else 0)}
        with client.stream("GET", f"http://{house.host}:{house.http}/api/v1/events", headers=headers) as answer:
            self.joined += answer.status_code == 200
            number = 0
            for line in answer.iter_lines():
                if self._is_over.is_set():
                    return
                if line.startswith("id: "):
                    number = int(line.removeprefix("id: "))
                elif not line and number:  # an event counts when it is complete
                    self.ids.append(number)
                    number = 0

    def stop(self) -> None:
        """End soon."""
        self._is_over.set()


@dataclass
class Fleet:
    """The replicas, what disturbs them, and when it did."""

    houses: list[House]
    server: Postgres
    receiver: FaultyReceiver
    befores: list[Sequence[str]] = field(default_factory=list)
    environs: list[Mapping[str, str]] = field(default_factory=list)
    daemons: dict[int, Daemon] = field(default_factory=dict)
    senders: list[Sender] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    disturbed: list[tuple[float, float]] = field(default_factory=list)
    breaking: int = 0
    kills: int = 0
    crashes: int = 0

    def start(self, number: int) -> Daemon:
        """Start a replica. It may not be ready yet."""
        before = self.befores[number] if self.befores else ()
        environ = self.environs[number] if self.environs else {}
        self.daemons[number] = self.houses[number].start(before=before, env=ENVIRON | dict(environ))
        return self.daemons[number]

    def until_ready(self, numbers: Sequence[int] | None = None) -> None:
        """Wait until these replicas accept mail, or all."""
        for number in self.daemons if numbers is None else numbers:
            self.daemons[number].until_ready(patience=PATIENCE)

    @contextlib.contextmanager
    def running(self, *, senders: int = 4, readers: int = 2, pause: float = 0.1) -> Iterator[None]:
        """All replicas ready, mail coming in by SMTP and HTTP, and readers that follow the events."""
        try:
            for number in range(len(self.houses)):
                self.start(number).until_ready(
                    patience=PATIENCE
                )  # one after the other: the first one makes the tables and the key
            token = self.houses[0].token() if senders > 1 else ""
            self.senders = [
                Sender(self.houses, number, senders, token if number % 2 else "", pause=pause) for number in range(senders)
            ]
            self.readers = [Reader(self.houses, number) for number in range(readers)]
            for thread in (*self.senders, *self.readers):
                thread.start()
            yield
        finally:
            for sender in self.senders:
                sender.stop()
            for reader in self.readers:
                reader.stop()
            for daemon in self.daemons.values():
                daemon.kill()

    @contextlib.contextmanager
    def disturbance(self) -> Iterator[None]:
        """Something is broken in this block."""
        began = time.time()
        self.breaking += 1
        try:
            yield
        finally:
            self.breaking -= 1
            self.disturbed.append((began, time.time()))

    def kill(self, numbers: Sequence[int]) -> None:
        """kill -9 of replicas, all at one moment."""
        with self.disturbance():
            for number in numbers:
                os.kill(self.daemons[number].process.pid, signal.SIGKILL)
            for number in numbers:
                process = self.daemons[number].process
                process.wait()
                wait_for(lambda group=process.pid: not is_alive(group), "its worker ends by itself")  # type: ignore[misc]
        self.kills += len(numbers)

    def finished(self) -> Verdict:
        """No more mail, a receiver that is well, and everything waited for that must come about; then the judgement."""
        for sender in self.senders:
            sender.stop()
        self.receiver.temper = Temper()
        self.until_ready()
        try:
            wait_for(lambda: self.waiting() == 0, "the outbox is empty", patience=90)
        except AssertionError:
            print([one for one in deliveries_of(self.houses[0]) if one.state in ("pending", "in_flight")])
            raise
        return judge(self.history())

    def acknowledged(self) -> int:
        """How many mails were acknowledged so far."""
        return sum(one.acknowledged is not None for sender in self.senders for one in sender.sent)

    def waiting(self) -> int:
        """How many deliveries are unfinished, as the server says."""
        query = "SELECT count(*) FROM delivery WHERE state IN ('pending', 'in_flight')"
        return int(self.server.ask(query, database=self.database)[0][0])

    @property
    def database(self) -> str:
        """The name of the database that the replicas share."""
        return self.houses[0].url.rpartition("/")[2].partition("?")[0]

    def history(self) -> History:
        """The records, once readers have come to the end of the journal or nothing comes to them any more."""
        while True:
            journal = self._journal()
            newest = journal[-1].id
            with contextlib.suppress(AssertionError):
                wait_for(
                    lambda newest=newest: all(one.ids[-1:] >= [newest] for one in self.readers),  # type: ignore[misc]
                    "readers come to the end",
                    patience=30,
                )
            if self._journal() == journal:
                break
        return History(
            sent=[one for sender in self.senders for one in sender.sent],
            rows=[_row(one) for one in deliveries_of(self.houses[0])],
            pushes=[
                Push(
                    identifier=one.identifier,
                    code=one.code,
                    began=one.began.timestamp(),
                    taken=one.at.timestamp(),
                    is_answered=one.is_answered,
                )
                for one in self.receiver.rows
            ],
            journal=journal,
            readers={f"reader {number}": Seen(after=0, ids=tuple(one.ids)) for number, one in enumerate(self.readers)},
            disturbed=self.disturbed,
        )

    def _journal(self) -> list[Line]:
        rows = self.server.ask("SELECT id, event, delivery_id FROM journal ORDER BY id", database=self.database)
        return [Line(id=number, event=event, delivery=delivery) for number, event, delivery in rows]

    def told(self) -> dict[str, int]:
        """What is counted beside the verdict."""
        return {
            "kills": self.kills,
            "crashes": self.crashes,
            "disturbances": len(self.disturbed),
            "deferred": sum(one.deferred for one in self.senders),
            "unanswered": sum(one.unanswered for one in self.senders),
            "streams": sum(one.joined for one in self.readers),
        }

    def has_no_traceback(self) -> bool:
        """Whether no replica said what only a bug says."""
        return not any("Traceback" in house.log.read_text(encoding="utf-8") for house in self.houses)


def _row(one: Delivery) -> Row:
    def seconds(moment: datetime | None) -> float | None:
        return None if moment is None else moment.timestamp()

    return Row(
        id=one.id,
        identifier=one.draft.identifier,
        sender=one.draft.sender,
        code=one.draft.content.reveal(),
        state=str(one.state),
        reason=one.reason,
        deadline=one.deadline.timestamp(),
        final_at=seconds(one.final_at),
    )


def furnished(
    server: Postgres, receiver: FaultyReceiver, folder: Path, count: int, *, more: str = KEPT, or_at: Sequence[Postgres] = ()
) -> list[House]:
    """Folders of replicas that share a new database and a key. ``or_at``: other servers that may have it after a fail-over."""
    name = f"fleet_{time.time_ns()}"
    server.ask(f'CREATE DATABASE "{name}"')
    hosts = ",".join(f"{one.host}:{one.port}" for one in (server, *or_at))
    url = f"postgresql://postgres@{hosts}/{name}"
    houses = []
    for number in range(count):
        own = folder / f"replica-{number}"
        own.mkdir()
        houses.append(House(own, receiver.base_url, url=url, key_file=folder / "shared.key", more=more))
    return houses
