"""kill -9 at random moments under load, with a receiver that fails: nothing acknowledged is lost, and order holds."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Delivery, State
from mailbridge.store.sqlite import open_sqlite
from tests.peers.daemon import House, wait_for
from tests.peers.faulty import FaultyReceiver, Temper, running_faulty

KILLS = int(os.environ.get("MAILBRIDGE_KILLS", "15"))
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(max(300, 30 * KILLS))]

SEED = int(os.environ.get("MAILBRIDGE_SEED", "0")) or time.time_ns() % 1_000_000
CLIENTS = 4
IDENTIFIERS = 3
SENDERS = 3
FIRST_CODE = 10_000_000
KEPT_TO_THE_END = '[retention]\ncode = "1d"\n'
"""A campaign of hours is judged by the codes in the outbox, which are erased a quarter of an hour after they have expired."""


@dataclass(slots=True)
class Client(threading.Thread):
    """Sends to identifiers of its own, one mail at a time, and each again until it is acknowledged."""

    house: House
    number: int
    token: str = ""
    acknowledged: list[tuple[str, str, str]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    deferred: int = 0
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread.__init__(self, daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Until `stop`."""
        dice = random.Random(self.number)
        serial = 0
        while not self._is_over.is_set():
            serial += 1
            code = str(FIRST_CODE + serial * CLIENTS + self.number)
            identifier = f"user{self.number}-{dice.randrange(IDENTIFIERS)}@example.com"
            sender = f"no-reply{dice.randrange(SENDERS)}@larch.example"
            while not self._is_over.is_set() and not self._is_sent(code, identifier, sender):
                self._is_over.wait(0.02)
            self._is_over.wait(dice.uniform(0.0, 0.1))

    def _is_sent(self, code: str, identifier: str, sender: str) -> bool:
        try:
            reply = self._reply(code, identifier, sender)
        except (OSError, smtplib.SMTPException):
            return False
        if reply == 250:
            self.acknowledged.append((identifier, sender, code))
        elif reply >= 500:
            self.refused.append(reply)
        else:
            self.deferred += 1
        return reply == 250

    def _reply(self, code: str, identifier: str, sender: str) -> int:
        """By HTTP where there is a token for it, as SMTP would word it; else by SMTP."""
        if not self.token:
            return self.house.send(code, identifier=identifier, sender=sender)[0]
        status = self.house.post(code, identifier=identifier, sender=sender, token=self.token)
        return {204: 250, 429: 451, 503: 451}.get(status, 1_000 + status)  # so that a refusal tells its status

    def stop(self) -> None:
        """End after the mail in hand."""
        self._is_over.set()
        self.join(30)


def kill_at_random(house: House, dice: random.Random, clients: Sequence[Client]) -> None:
    """Start a daemon and kill it: mostly when it works, sometimes while it starts."""

    def taken() -> int:
        return sum(len(one.acknowledged) for one in clients)

    before = taken()
    daemon = house.start()
    if dice.random() < 0.1:
        time.sleep(dice.uniform(0.0, 0.6))
    else:
        wait_for(lambda: taken() > before, "a mail is taken", patience=60)
        time.sleep(dice.uniform(0.0, 1.2))
    os.kill(daemon.process.pid, signal.SIGKILL)
    daemon.process.wait()
    wait_for(lambda: not is_alive(daemon.process.pid), "its worker ends by itself")


def is_alive(group: int) -> bool:
    """Whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def deliveries_of(house: House) -> list[Delivery]:
    """Everything in the outbox."""

    async def read() -> list[Delivery]:
        settings = StoreSettings(url=f"sqlite:///{house.database}")
        store = open_sqlite(settings, RetentionSettings(), clock=SteadyClock(), grace=timedelta(), is_visitor=True)
        found = await store.outbox.deliveries(limit=1_000_000)
        await store.close()
        return list(found)

    return asyncio.run(read())


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What a run of kills came to."""

    kills: int
    acknowledged: int
    deferred: int
    received: int
    superseded: int
    lost: list[str]
    duplicates: int
    inversions: list[str]
    wrong_newest: list[str]


def judged(receiver: FaultyReceiver, deliveries: list[Delivery], clients: list[Client], *, kills: int = KILLS) -> Verdict:
    """Compare what was acknowledged with what is at the receiver and in the outbox."""
    acknowledged = [one for client in clients for one in client.acknowledged]
    outbox = {one.draft.content.reveal(): one for one in deliveries}
    received = {row.code for row in receiver.rows}
    newest: dict[tuple[str, str], str] = {}
    for code, one in outbox.items():
        key = (one.draft.identifier, one.draft.sender)
        newest[key] = max(code, newest.get(key, code))
    lost = []
    for identifier, sender, code in acknowledged:
        is_superseded = code in outbox and outbox[code].state is State.SUPERSEDED and newest[identifier, sender] > code
        if code not in received and not is_superseded:
            lost.append(f"{code} {outbox[code].state if code in outbox else 'not in the outbox'}")
    inversions, wrong = [], []
    for identifier in {one[0] for one in acknowledged}:
        codes = receiver.codes(identifier)
        inversions += [
            f"{identifier}: {code} after {max(codes[:at])}"
            for at, code in enumerate(codes)
            if codes[:at] and code < max(codes[:at])
        ]
        last = max(code for code, one in outbox.items() if one.draft.identifier == identifier)
        if codes[-1:] != [last]:
            wrong.append(f"{identifier}: {codes[-1:]} and not {last}")
    return Verdict(
        kills=kills,
        acknowledged=len(acknowledged),
        deferred=sum(client.deferred for client in clients),
        received=len(receiver.rows),
        superseded=sum(one.state is State.SUPERSEDED for one in outbox.values()),
        lost=lost,
        duplicates=sum(count - 1 for count in Counter(row.code for row in receiver.rows).values()),
        inversions=inversions,
        wrong_newest=wrong,
    )


@pytest.mark.parametrize("way", ["smtp", "http"])
def test_nothing_is_lost_and_order_holds(tmp_path: Path, way: str) -> None:
    """Every acknowledged code is at the receiver, or superseded by a newer one; none arrives after a newer one of its identifier."""
    dice = random.Random(SEED)
    with running_faulty(Temper(refuses=0.10, loses=0.15, is_late=0.05, lateness=0.8)) as receiver:
        house = House(tmp_path, receiver.base_url, more=KEPT_TO_THE_END)
        token = ""
        if way == "http":
            with house.running():
                token = house.token()
        clients = [Client(house, number, token) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(KILLS):
            kill_at_random(house, dice, clients)
        with house.running() as daemon:
            time.sleep(0.5)  # some load on the last one too
            for client in clients:
                client.stop()
            receiver.temper = Temper()
            wait_for(lambda: daemon.waiting() == 0, "the outbox is empty", patience=60)
            assert daemon.terminate() == 0
        verdict = judged(receiver, deliveries_of(house), clients)
        print("seed", SEED, json.dumps(asdict(verdict)))
    assert [reply for client in clients for reply in client.refused] == []
    assert verdict.acknowledged > KILLS
    assert verdict.lost == []
    assert verdict.inversions == []
    assert verdict.wrong_newest == []
    with apsw.Connection(str(house.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert "Traceback" not in house.log.read_text(encoding="utf-8")
