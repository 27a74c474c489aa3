"""Several daemons on one PostgreSQL: what comes in at one is known to all, and what one leaves behind another finishes."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.peers import postgres as peer
from tests.peers.daemon import Daemon, House, wait_for
from tests.peers.faulty import FaultyReceiver, Temper, running_faulty
from tests.peers.postgres import Postgres, running_postgres

pytestmark = pytest.mark.e2e

ANN = "ann@corp.example"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server for all tests here."""
    if not peer.found():
        pytest.skip(peer.MEND)
    with running_postgres() as running:
        yield running


@pytest.fixture
def houses(server: Postgres, tmp_path: Path) -> Callable[[FaultyReceiver, int], list[House]]:
    """Folders of replicas that share a new database and a key."""
    name = f"replicas_{tmp_path.name.lower().replace('-', '_')}"
    server.ask(f'CREATE DATABASE "{name}"')

    def make(receiver: FaultyReceiver, count: int) -> list[House]:
        found = []
        for number in range(count):
            folder = tmp_path / f"replica-{number}"
            folder.mkdir()
            found.append(House(folder, receiver.base_url, url=server.url(name), key_file=tmp_path / "shared.key"))
        return found

    return make


@contextmanager
def all_running(houses: list[House]) -> Iterator[list[Daemon]]:
    """A daemon in each, ready; the first one makes the database."""
    with ExitStack() as stack:
        yield [stack.enter_context(house.running()) for house in houses]


def agent_token(house: House) -> dict[str, str]:
    """What lets an agent ask for any code."""
    made = house.visit("token", "add", "--identifier", "*", "--json")
    assert made.returncode == 0, made.stderr
    return {"Authorization": f"Bearer {json.loads(made.stdout)['token']}"}


def test_a_mail_at_one_is_waited_for_at_the_other(houses: Callable[[FaultyReceiver, int], list[House]]) -> None:
    """A long poll at the second replica ends with each code that comes in at the first, which a token of the first may ask for."""
    with running_faulty(Temper()) as receiver:
        first, second = houses(receiver, 2)
        with all_running([first, second]) as (_, other):
            headers = agent_token(first)
            took: list[float] = []
            for number in range(8):
                code = str(70_000_000 + number)
                found: list[tuple[str, float]] = []

                def wait(found: list[tuple[str, float]] = found) -> None:
                    url = f"http://127.0.0.1:{second.http}/api/v1/codes/wait"
                    params = {"identifier": ANN, "timeout": "30", "consume": "true"}
                    answer = httpx.get(url, params=params, headers=headers, trust_env=False, timeout=40)
                    found.append((answer.json()["code"], time.perf_counter()))

                waiting = threading.Thread(target=wait)
                waiting.start()
                wait_for(lambda: 'mailbridge_waiting{way="api"} 1.0' in other.get("/metrics").text, "the other one is waited at")
                assert first.send(code, identifier=ANN)[0] == 250
                acknowledged = time.perf_counter()
                waiting.join(40)
                assert [one for one, _ in found] == [code]
                took.append((found[0][1] - acknowledged) * 1000)
            print(
                "from the 250 at one to the answer at the other, ms:",
                sorted(round(one, 1) for one in took),
                statistics.median(took),
            )


def test_what_a_killed_one_had_in_flight_another_delivers(houses: Callable[[FaultyReceiver, int], list[House]]) -> None:
    """The push of the first replica hangs when it is killed; the second asks, sends, and only then what came after."""
    with running_faulty(Temper(hangs=1.0)) as receiver:
        first, second = houses(receiver, 2)
        with all_running([first, second]) as (daemon, other):
            assert first.send("81111111", identifier=ANN, sender="a@larch.example")[0] == 250
            wait_for(lambda: receiver.requests == 1, "the first code is under way")
            assert second.send("82222222", identifier=ANN, sender="b@larch.example")[0] == 250
            daemon.kill()
            receiver.temper = Temper()
            wait_for(lambda: receiver.codes(ANN) == ["81111111", "82222222"], "both, in their order")
            wait_for(lambda: other.waiting() == 0, "nothing is left")


def test_a_replica_that_stops_leaves_nothing_waiting(houses: Callable[[FaultyReceiver, int], list[House]]) -> None:
    """What it could not send in its time is sent by the other one at once."""
    with running_faulty(Temper(refuses=1.0, status=503)) as receiver:
        first, second = houses(receiver, 2)
        with all_running([first, second]) as (daemon, other):
            assert first.send("83333333", identifier=ANN)[0] == 250
            wait_for(lambda: receiver.requests > 0, "it was tried")
            assert daemon.terminate() == 0
            receiver.temper = Temper()
            wait_for(lambda: receiver.codes(ANN) == ["83333333"], "the other one sends it")
            wait_for(lambda: other.waiting() == 0, "nothing is left")


def test_another_configuration_is_told(houses: Callable[[FaultyReceiver, int], list[House]]) -> None:
    """A replica whose file says something else is named in the log of the other one, and the same one is not."""
    with running_faulty(Temper()) as receiver:
        first, second, third = houses(receiver, 3)
        third.more = '[pull]\ngrace = "30s"'
        third.configure()
        with all_running([first, second, third]):
            wait_for(lambda: "replicas.differ" in first.log.read_text(encoding="utf-8"), "the first one says so")
        lines = [json.loads(line) for line in first.log.read_text(encoding="utf-8").splitlines() if "replicas.differ" in line]
        assert {line["message"].count(",") for line in lines} == {0}  # one name, of the third


MAILBOX = """
[[imap]]
name = "box"
host = "127.0.0.1"
port = 1
tls = "none"
username = "ann@corp.example"
password_file = "{}"
"""


def test_one_replica_watches_the_mailboxes(houses: Callable[[FaultyReceiver, int], list[House]], tmp_path: Path) -> None:
    """The oldest one that is alive; when it is killed the other one begins, and a third does not."""
    password = tmp_path / "password"
    password.write_text("pw")
    password.chmod(0o600)
    with running_faulty(Temper()) as receiver:
        three = houses(receiver, 3)
        for house in three:
            house.more = MAILBOX.format(password)
            house.configure()
        with all_running(three) as daemons:

            def watching() -> list[bool]:
                return [bool(one.get("/readyz").json().get("mailboxes")) for one in daemons[-2:]]

            wait_for(lambda: bool(daemons[0].get("/readyz").json().get("mailboxes")), "the first one watches")
            assert watching() == [False, False]
            daemons[0].kill()
            wait_for(lambda: watching() == [True, False], "the second one watches")
