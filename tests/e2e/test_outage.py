"""A target that is down, slow or talks nonsense, and a daemon that is stopped: accepted mail goes out when it can, or never too late."""

from __future__ import annotations

import itertools
import smtplib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_disk import Sender
from tests.peers.daemon import House, free_port, rows_of, wait_for
from tests.peers.faulty import Temper, running_faulty

pytestmark = pytest.mark.e2e

CODES = itertools.count(60_000_000)


def test_a_target_that_is_down(tmp_path: Path) -> None:
    """Mail is accepted, /readyz is 200 and says what is down; when it is back every code arrives, once and in order."""
    port = free_port()
    house = House(tmp_path, f"http://127.0.0.1:{port}")
    send = Sender(house)
    with house.running() as daemon:
        for sender in ("a", "b", "c"):
            assert house.send(str(next(CODES)), identifier="ann@example.com", sender=f"{sender}@larch.example")[0] == 250
        assert [send() for _ in range(10)] == [250] * 10
        wait_for(lambda: daemon.get("/readyz").json()["status"] == "degraded", "it is told")
        ready = daemon.get("/readyz")
        assert ready.status_code == 200
        assert "not reachable" in ready.json()["checks"]["target skyvern"]
        with running_faulty(port=port) as receiver:
            wait_for(lambda: daemon.waiting() == 0, "the outbox is empty", patience=60)
            send.assert_all_at(receiver)
            assert receiver.codes("ann@example.com") == sorted(receiver.codes("ann@example.com"))
            assert len(receiver.rows) == 13
            assert daemon.get("/readyz").json()["status"] == "ready"


@pytest.mark.parametrize(
    ("temper", "name"),
    [(Temper(latency=0.2), "slow"), (Temper(garbage=1.0), "garbage"), (Temper(loses=1.0), "lost"), (Temper(hangs=0.3), "hangs")],
    ids=["slow", "garbage", "lost", "hangs"],
)
def test_a_target_that_is_ill(tmp_path: Path, temper: Temper, name: str) -> None:
    """Slow answers, nonsense, lost answers and none at all: every code is there in the end, and none twice."""
    with running_faulty(temper) as receiver:
        house = House(tmp_path, receiver.base_url)
        send = Sender(house)
        with house.running() as daemon:
            assert [send() for _ in range(6)] == [250] * 6
            wait_for(lambda: daemon.waiting() == 0, "the outbox is empty", patience=60)
            send.assert_all_at(receiver)


def test_what_expired_while_the_daemon_was_down(tmp_path: Path) -> None:
    """A code whose time ended meanwhile is never pushed, is shown as expired, and holds up nobody."""
    port = free_port()
    house = House(tmp_path, f"http://127.0.0.1:{port}", more='[rules]\nlifetime = "8s"')
    old = str(next(CODES))
    with house.running() as daemon:
        assert house.send(old, identifier="ann@example.com", sender="a@larch.example")[0] == 250
        daemon.kill()
    time.sleep(8.2)  # its lifetime itself: there is nothing to wait for
    with running_faulty(port=port) as receiver, house.running() as daemon:
        new = str(next(CODES))
        assert house.send(new, identifier="ann@example.com", sender="b@larch.example")[0] == 250
        wait_for(lambda: receiver.codes("ann@example.com"), "the new code arrives")
        wait_for(lambda: daemon.waiting() == 0, "the outbox is empty")
        assert receiver.codes("ann@example.com") == [new]
    states = [row["state"] for row in rows_of(house.visit("deliver", "list", "--json").stdout)]
    assert states == ["delivered", "expired"]


@contextmanager
def load(house: House, *, connections: int) -> Iterator[list[str]]:
    """Mails as fast as they are taken, for the length of the block; yields the codes that were acknowledged."""
    acknowledged: list[str] = []
    is_over = threading.Event()

    def keep_sending() -> None:
        while not is_over.is_set():
            code = str(next(CODES))
            try:
                if house.send(code, identifier=f"user{code}@example.com")[0] == 250:
                    acknowledged.append(code)
            except (OSError, smtplib.SMTPException):
                is_over.wait(0.01)

    threads = [threading.Thread(target=keep_sending, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        is_over.set()
        for thread in threads:
            thread.join(20)


def test_a_stop_under_load(tmp_path: Path) -> None:
    """SIGTERM while mail comes in: exit 0, and what was acknowledged is delivered before or after it, once."""
    with running_faulty(Temper(latency=0.02)) as receiver:
        house = House(tmp_path, receiver.base_url)
        with load(house, connections=6) as acknowledged:
            for _ in range(3):
                with house.running() as daemon:
                    already = len(acknowledged)
                    wait_for(lambda: len(acknowledged) > already + 20, "mail is coming in")  # noqa: B023
                    assert daemon.terminate() == 0
        with house.running() as daemon:
            wait_for(lambda: daemon.waiting() == 0, "the outbox is empty", patience=60)
        codes = [row.code for row in receiver.rows]
        assert set(acknowledged) <= set(codes)
        assert len(codes) == len(set(codes))
    assert "Traceback" not in house.log.read_text()


def test_a_stop_while_the_target_hangs(tmp_path: Path) -> None:
    """The flush is waited out, the exit is 0, and the next start asks before it sends again."""
    with running_faulty(Temper(hangs=1.0)) as receiver:
        house = House(tmp_path, receiver.base_url, more="")
        send = Sender(house)
        with house.running() as daemon:
            assert [send() for _ in range(5)] == [250] * 5
            assert daemon.terminate() == 0
        receiver.temper = Temper()
        with house.running() as daemon:
            wait_for(lambda: daemon.waiting() == 0, "the outbox is empty", patience=60)
        send.assert_all_at(receiver)
