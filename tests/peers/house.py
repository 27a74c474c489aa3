"""A whole mailbridge with a real target, a DNS of its own and a Google that is none, run in a thread for tests that speak SMTP."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx

from mailbridge.app.daemon import Bridge, bridge
from mailbridge.config import settings as s
from mailbridge.core.delivery import Delivery, State
from mailbridge.core.secret import Secret
from mailbridge.practice.receiver import Practice, practice_app
from mailbridge.store import MailRow
from mailbridge.trust.dns import Dns
from mailbridge.web.server import serve_app
from tests.peers.dns_server import DnsServer, dns_server

T = TypeVar("T")
PATIENCE = 60.0
OPEN = (State.PENDING, State.IN_FLIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the listener said to a mail, and the number that it is stored under."""

    code: int
    text: str
    mail_id: int | None


class House:
    """``receiver`` is the target, as a peer: the daemon knows its address and key, and does not know that it is for practice."""

    def __init__(self, *, running: Bridge, receiver: Practice, dns: DnsServer, loop: asyncio.AbstractEventLoop) -> None:
        self.running = running
        self.receiver = receiver
        self.dns = dns
        self._loop = loop
        host, _, port = running.smtp_addresses[0].rpartition(":")
        self.smtp = (host, int(port))

    def do(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run something in the daemon's loop."""

        async def go() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(go(), self._loop).result(PATIENCE)

    def send(self, content: bytes, *, rcpt: str, mail_from: str = "bounces@acme.example", client: str = "127.0.0.1") -> Reply:
        """Send one mail, octet for octet, from a loopback address of choice."""
        with smtplib.SMTP(*self.smtp, timeout=PATIENCE, source_address=(client, 0), local_hostname="localhost") as one:
            one.ehlo()
            one.mail(mail_from)
            code, text = one.rcpt(rcpt)
            if code == 250:
                code, text = one.data(content)
        words = text.decode("ascii", "replace")
        number = words.rpartition(" ")[2]
        return Reply(code=code, text=words, mail_id=int(number) if code == 250 and number.isdigit() else None)

    def talk(self, *parts: bytes) -> bytes:
        """Send octets as they are, a part after each answer, and give back all that was answered."""
        with socket.create_connection(self.smtp, timeout=PATIENCE) as one:
            heard = one.recv(65_536)
            for part in parts[:-1]:
                one.sendall(part)
                heard += one.recv(65_536)
            one.sendall(parts[-1])
            one.shutdown(socket.SHUT_WR)
            while chunk := one.recv(65_536):
                heard += chunk
        return heard

    def row(self, mail_id: int | None) -> MailRow:
        """A stored mail."""
        assert mail_id is not None
        found = self.do(lambda: self.running.engine.store.mails.one(mail_id))
        assert found is not None
        return found

    def deliveries(self, mail_id: int | None) -> tuple[Delivery, ...]:
        """What was made of a mail for the target, when all of it is done."""
        until = time.monotonic() + PATIENCE
        while True:
            rows = self.do(lambda: self.running.engine.store.outbox.deliveries(mail_id=mail_id))
            if not any(row.state in OPEN for row in rows):
                return tuple(rows)
            assert time.monotonic() < until, "a delivery does not come to its end"
            time.sleep(0.005)

    def pushed(self) -> int:
        """How many codes and links the target has got so far."""
        return len(self.receiver.rows(limit=1_000))


def settings(folder: Path, *, base_url: str, key: str, **sections: Any) -> s.Settings:
    """Settings for a house; ``sections`` replace the usual ones."""
    usual: dict[str, Any] = {
        "smtp": s.SmtpSettings(listen=("127.0.0.1:0",), max_per_ip=200, tls=False),
        "http": s.HttpSettings(listen="127.0.0.1:0"),
        "domains": s.DomainSettings(accept=("bridge.example",)),
        "identity": s.IdentitySettings(learn_from_skyvern=False),
        "skyvern": s.SkyvernSettings(base_url=base_url, api_key=Secret(key)),
        "store": s.StoreSettings(url=f"sqlite:///{folder}/mailbridge.db"),
    }
    return s.Settings(**{**usual, **sections})


@contextlib.contextmanager
def house(folder: Path, *, browser: Callable[[], httpx.AsyncClient] | None = None, **sections: Any) -> Iterator[House]:
    """A running house; everything of it is gone at the end."""
    ready: list[House] = []
    faults: list[BaseException] = []
    up, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def live() -> None:
        receiver = Practice()
        async with serve_app(practice_app(receiver), listen="127.0.0.1:0") as target, dns_server() as dns:
            chosen = settings(folder, base_url=f"http://{target.address}", key=receiver.api_key, **sections)
            resolver = Dns(timeout=chosen.trust.dns_timeout, nameservers=[dns.address], failure=timedelta(milliseconds=200))
            more: dict[str, Any] = {"browser": browser} if browser is not None else {}
            async with bridge(chosen, state_dir=folder, dns=resolver, **more) as running:
                ready.append(House(running=running, receiver=receiver, dns=dns, loop=loop))
                up.set()
                await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(live())
        except BaseException as fault:
            faults.append(fault)
        finally:
            up.set()

    thread = threading.Thread(target=run, name="house")
    thread.start()
    try:
        assert up.wait(30)
        if faults:
            raise faults[0]
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        loop.close()
    if faults:
        raise faults[0]
