"""Several daemons on one PostgreSQL: what comes in at one is known to all, and what one leaves behind another finishes."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.peers.daemon import Daemon, House, agent_token, mail, rows_of, wait_for
from tests.peers.faulty import FaultyReceiver, Temper, running_faulty
from tests.peers.postgres import Postgres
from tests.peers.scripted_imap import ScriptedImap

pytestmark = pytest.mark.e2e

ANN = "ann@corp.example"
BOXES = 12


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
    """A replica whose file says something else is named in log, status and doctor of the other ones, with the section, and the same one is
    not; once it has read its file again all is well."""
    with running_faulty(Temper()) as receiver:
        first, second, third = houses(receiver, 3)
        third.more = '[pull]\ngrace = "30s"'
        third.configure()
        with all_running([first, second, third]) as daemons:
            wait_for(lambda: "replicas.differ" in first.log.read_text(encoding="utf-8"), "the first one says so")
            checks = daemons[0].get("/readyz").json()["checks"]
            assert "another configuration" in checks["replicas"] and "([pull])" in checks["replicas"]
            examined = first.visit("doctor", "--json")
            assert "has another configuration in [pull]" in examined.stdout, examined.stdout + examined.stderr
            third.more = ""
            third.configure()
            assert third.visit("reload").returncode == 0
            wait_for(lambda: "replicas" not in daemons[0].get("/readyz").json()["checks"], "they agree again")
        lines = [json.loads(line) for line in first.log.read_text(encoding="utf-8").splitlines() if "replicas.differ" in line]
        assert {line["message"].count(",") for line in lines} == {0}  # one name, of the third


MAILBOX = """
[[imap]]
name = "box-{number}"
host = "127.0.0.1"
port = {port}
tls = "none"
username = "u{number}@corp.example"
password_file = "{password}"
"""


@contextmanager
def mailboxes(tmp_path: Path, count: int) -> Iterator[tuple[list[ScriptedImap], str]]:
    """Servers with a mailbox each, and the configuration that watches them."""
    password = tmp_path / "password"
    password.write_text("pw")
    password.chmod(0o600)
    with ExitStack() as stack:
        servers = [stack.enter_context(ScriptedImap()) for _ in range(count)]
        tables = [MAILBOX.format(number=number, port=one.port, password=password) for number, one in enumerate(servers)]
        yield servers, "\n".join(tables)


def watched_at(daemon: Daemon) -> dict[str, str]:
    """The mailboxes that a daemon watches itself, and the mode of each."""
    return {one["mailbox"]: one["mode"] for one in daemon.get("/readyz").json().get("mailboxes", ())}


def counts(daemons: Sequence[Daemon]) -> list[int]:
    """How many mailboxes each watches, fewest first."""
    return sorted(len(watched_at(one)) for one in daemons)


def test_replicas_share_the_mailboxes(houses: Callable[[FaultyReceiver, int], list[House]], tmp_path: Path) -> None:
    """Evenly; what a killed one had is watched by the others, what one gives back that stops too, and each code is pushed once. Any
    of them shows all, and a wait at one heats the mailbox that another one watches."""
    with running_faulty(Temper()) as receiver, mailboxes(tmp_path, BOXES) as (servers, tables):
        three = houses(receiver, 3)
        for house in three:
            house.more = tables
            house.configure()
        with all_running(three) as daemons:
            wait_for(lambda: counts(daemons) == [4, 4, 4], "even shares")
            wait_for(lambda: all(one.idling == 1 for one in servers), "each is watched once")
            rows: list[dict[str, Any]] = []

            def all_shown() -> bool:
                shown = three[2].visit("imap", "status", "--json")
                rows[:] = rows_of(shown.stdout) if shown.returncode == 0 else []
                return len(rows) == BOXES and all(one["is_well"] for one in rows)

            wait_for(all_shown, "the third one shows all of them")
            assert sum(bool(one["watched_by"]) for one in rows) == 8
            box = next(iter(watched_at(daemons[0])))
            identifier = f"u{box.partition('/')[0].removeprefix('box-')}@corp.example"
            url, headers = f"http://127.0.0.1:{three[1].http}/api/v1/codes/wait", agent_token(three[1])
            params = {"identifier": identifier, "timeout": "30"}
            answers: list[str] = []

            def wait() -> None:
                answers.append(httpx.get(url, params=params, headers=headers, trust_env=False, timeout=40).json()["code"])

            waiting = threading.Thread(target=wait)
            waiting.start()
            wait_for(lambda: watched_at(daemons[0])[box] == "hot", "a wait at the second one heats it")
            number = int(box.partition("/")[0].removeprefix("box-"))
            servers[number].deliver(code_mail("84444444", identifier=identifier))
            waiting.join(40)
            assert answers == ["84444444"]
            began = time.monotonic()
            daemons[0].kill()
            wait_for(lambda: counts(daemons[1:]) == [6, 6], "what it had is owned again")
            owned = time.monotonic() - began
            wait_for(lambda: all(one.idling == 1 for one in servers), "and watched again", patience=45)
            print(f"owned again after {owned:.1f} s, watched after {time.monotonic() - began:.1f} s")
            began = time.monotonic()
            assert daemons[1].terminate() == 0
            wait_for(lambda: all(one.idling == 1 for one in servers), "the last one watches all")
            print(f"after a stop watched after {time.monotonic() - began:.1f} s")
            assert counts(daemons[2:]) == [BOXES]
            for number, one in enumerate(servers):
                one.deliver(code_mail(f"8500{number:04d}", identifier=f"u{number}@corp.example"))
            for number in range(BOXES):
                own, code = f"u{number}@corp.example", f"8500{number:04d}"
                wait_for(lambda own=own, code=code: code in receiver.codes(own), "each code is pushed")  # type: ignore[misc]
                wait_for(lambda: daemons[2].waiting() == 0, "nothing is left")
                assert receiver.codes(own).count(code) == 1
    for house in three:
        assert "Traceback" not in house.log.read_text(encoding="utf-8")


def code_mail(code: str, *, identifier: str) -> bytes:
    """A mail with a code, as it lies in a mailbox."""
    return mail(code, identifier=identifier, sender="no-reply@larch.example", number=code)
