"""Two daemons on one PostgreSQL behind a real HAProxy, as config/docker-compose.ha.yml has them."""

from __future__ import annotations

import asyncio
import signal
import smtplib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from tests.peers import haproxy, postgres
from tests.peers.daemon import RCPT, Daemon, House, agent_token, mail, wait_for
from tests.peers.faulty import FaultyReceiver, Temper, running_faulty
from tests.peers.haproxy import Balancer, checked, running_haproxy
from tests.peers.postgres import Postgres, running_postgres

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(haproxy.PROGRAM is None, reason=haproxy.MEND),
    pytest.mark.skipif(not postgres.found(), reason=postgres.MEND),
]
ANN = "ann@corp.example"


class Pair:
    """Two daemons that run, HAProxy before them, and the receiver behind them."""

    def __init__(
        self, houses: list[House], daemons: list[Daemon], front: Balancer, receiver: FaultyReceiver, server: Postgres
    ) -> None:
        self.houses, self.daemons, self.front, self.receiver, self.server = houses, daemons, front, receiver, server

    def send(self, code: str, *, client: str = "127.0.0.1") -> int:
        """A mail by HAProxy, from an address of loopback; what was answered."""
        content = mail(code, identifier=ANN, sender="no-reply@larch.example", number=code)
        with smtplib.SMTP("127.0.0.1", self.front.smtp, timeout=30, source_address=(client, 0)) as smtp:
            try:
                smtp.sendmail("no-reply@larch.example", [RCPT], content)
            except smtplib.SMTPResponseException as refusal:
                return refusal.smtp_code
        return 250


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both, ready, for all tests here."""
    folder = tmp_path_factory.mktemp("balanced")
    with ExitStack() as stack:
        receiver = stack.enter_context(running_faulty(Temper()))
        server = stack.enter_context(running_postgres())
        houses = haproxy.houses_on(server, folder, receiver.base_url)
        daemons = [stack.enter_context(one.running(env=haproxy.ENVIRONMENT)) for one in houses]
        front = stack.enter_context(running_haproxy(folder, houses))
        found = Pair(houses, daemons, front, receiver, server)
        try:
            yield found
        finally:
            for one in found.daemons:
                one.kill()


def test_haproxy_takes_the_configuration() -> None:
    """As it is shipped: nothing to say but that the names of containers are not known here."""
    done = checked(haproxy.CONFIGURATION)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in (done.stdout + done.stderr).splitlines() if "[WARNING]" in line or "[ALERT]" in line]
    assert [line for line in warnings if "could not resolve address 'mailbridge-" not in line] == []


def test_a_wrong_configuration_is_noticed(tmp_path: Path) -> None:
    """A misspelt keyword is refused: the check above is one."""
    bad = tmp_path / "haproxy.cfg"
    bad.write_text(haproxy.CONFIGURATION.read_text(encoding="utf-8").replace("send-proxy-v2", "send-proxy-v9"), encoding="utf-8")
    assert checked(bad).returncode != 0


def test_the_client_of_a_mail_is_the_one_before_haproxy(pair: Pair) -> None:
    """By the PROXY protocol: what is stored, and counted, is the address that connected to HAProxy."""
    assert pair.send("61000001", client="127.0.0.77") == 250
    assert pair.send("61000002", client="127.0.0.78") == 250
    assert peers_of(pair.houses[0])[:2] == ["127.0.0.78", "127.0.0.77"]


def test_what_only_machines_ask_is_not_passed_on(pair: Pair) -> None:
    """/metrics is each replica's own; /readyz is answered by HAProxy for both."""
    assert pair.front.get("/metrics").status_code == 404
    assert pair.front.get("/readyz").status_code == 200


def test_one_that_is_told_to_stop_is_not_noticed_outside(pair: Pair) -> None:
    """While a replica stops, and comes back, every mail gets its 250 in one try, every request its 200, and every wait its code."""
    headers = agent_token(pair.houses[0])
    odd: list[str] = []
    sent: list[str] = []
    is_over = threading.Event()

    def mails() -> None:
        for number in range(62_000_000, 62_010_000):
            if is_over.is_set():
                return
            try:
                reply = pair.send(str(number))
            except (OSError, smtplib.SMTPException) as fault:
                odd.append(f"mail: {fault!r}")
                continue
            sent.append(str(number))
            if reply != 250:
                odd.append(f"mail: {reply}")

    def requests() -> None:
        while not is_over.is_set():
            try:
                status = pair.front.get(f"/api/v1/codes?identifier={ANN}", **headers).status_code
            except httpx.HTTPError as fault:
                odd.append(f"request: {fault!r}")
                continue
            if status != 200:
                odd.append(f"request: {status}")

    threads = [threading.Thread(target=one) for one in (mails, requests)]
    for one in threads:
        one.start()
    try:
        for number, house in enumerate(pair.houses):
            pair.front.until_sends_to(2 - number)
            before = len(sent)
            wait_for(lambda before=before: len(sent) > before + 3, "mail comes in")  # type: ignore[misc]
            assert pair.daemons[number].terminate() == 0
            before = len(sent)
            wait_for(lambda before=before: len(sent) > before + 3, "mail comes in by the other one")  # type: ignore[misc]
            pair.daemons[number] = house.start(env=haproxy.ENVIRONMENT)
            pair.daemons[number].until_ready()
            pair.front.until_sends_to(number + 1)
    finally:
        is_over.set()
        for one in threads:
            one.join(60)
    assert odd == []
    wait_for(lambda: pair.daemons[0].waiting() == 0, "nothing is left")
    assert pair.receiver.codes(ANN)[-1] == sent[-1]


def test_mail_is_answered_where_no_replica_is_ready(pair: Pair) -> None:
    """The database is down: HTTP says that nobody is ready, and a sender gets 451 from a replica instead of a closed connection. When the
    database is back both are ready again by themselves, and take mail."""
    pair.server.stop(signal.SIGQUIT)
    try:
        wait_for(lambda: pair.front.get("/readyz").status_code == 503, "nobody is ready")
        assert [pair.send(f"6300000{number}") for number in range(4)] == [451] * 4
    finally:
        pair.server.start()
    wait_for(lambda: pair.front.get("/readyz").status_code == 200, "somebody is ready")
    assert pair.send("63000009") == 250
    wait_for(lambda: "63000009" in pair.receiver.codes(ANN), "it is pushed")


def peers_of(house: House) -> list[str]:
    """Where the stored mails came from, the newest first."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    async def read() -> list[str]:
        assert house.key_file is not None
        settings = StoreSettings(url=house.url)
        clock = SteadyClock()
        store = await open_postgres(
            settings, RetentionSettings(), key_path=house.key_file, clock=clock, grace=timedelta(), is_visitor=True
        )
        page = await store.mails.page(limit=10)
        await store.close()
        return [one.peer for one in page]

    return asyncio.run(read())
