"""Mixed load with faults for an hour: nothing may be lost, and after the tenth minute nothing may grow by more than 2 %.

``python -m tests.soak.hour [--minutes 60] [--folder dist/soak]``, which is what `make soak` runs (SOAK_MINUTES). Prints the verdict, writes
soak.json and soak.svg, and exits 1 where the verdict is bad. A run of less than 20 minutes does not judge growth.

One daemon on SQLite takes mails by SMTP, HTTP and from a real Dovecot (where there is one), while people wait, poll and follow the events.
Retention is shortened to minutes, so that what is kept has its full size before the tenth minute. Faults take turns, a minute apart: the
receiver fails, its network drops every answer, clients break off in the middle, the database is locked, files may not grow, the clock is a
day off, the IMAP server is down.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import resource
import smtplib
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import httpx

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Delivery, State
from mailbridge.store.sqlite import open_sqlite
from tests.e2e.test_clock import DAY, MAILBOX, SetClock
from tests.ingress.imap.watched import ANN, code_mail
from tests.peers.daemon import Daemon, House, agent_token, wait_for
from tests.peers.dovecot import Dovecot, is_installed, running_dovecot
from tests.peers.faulty import FaultyReceiver, Taken, Temper, running_faulty
from tests.soak.measured import MOST_GROWTH, TITLES, Sample, growth, plots, sample

EVERY = 3.0
"""Seconds between two samples."""

APART = 60.0
LONGEST = 15.0
"""Seconds from fault to fault, and that one lasts, at the most; in a short run they come as often as there are kinds of them."""

KEPT = """
[retention]
code = "1m"
mail = "2m"
journal = "4m"
[rules]
lifetime = "3m"
"""
IDENTIFIERS = 150
EVERYTHING = 1_000_000
LOG_LINES = 20_000
"""Of the daemon's log, kept where a verdict is bad."""
FIRST = itertools.count(20_000_000)
SMTP_PAUSE, POST_PAUSE, IMAP_PAUSE, READ_PAUSE = 0.2, 0.5, 2.0, 0.2


@dataclass
class Load:
    """Everybody who sends and everybody who asks, each a thread, until `stop`."""

    house: House
    tokens: dict[str, str]
    dovecot: Dovecot | None
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    last_event: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        works: list[tuple[Callable[[], None], float]] = [
            (self._smtp, SMTP_PAUSE),
            (self._smtp, SMTP_PAUSE),
            (self._post, POST_PAUSE),
            (self._wait, READ_PAUSE),
            (self._wait, READ_PAUSE),
            (self._look, READ_PAUSE),
            (self._follow, READ_PAUSE),
        ]
        works += [(self._deliver, IMAP_PAUSE)] if self.dovecot is not None else []
        for work, pause in works:
            one = threading.Thread(target=self._again, args=(work, pause), daemon=True)
            self._threads.append(one)
            one.start()

    def stop(self) -> None:
        """End each after what it has in hand."""
        self._is_over.set()
        for one in self._threads:
            one.join(60)

    def _again(self, work: Callable[[], None], pause: float) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(OSError, smtplib.SMTPException, httpx.HTTPError):
                work()
            self._is_over.wait(pause)

    def _until_taken(self, way: str, code: str, identifier: str, send: Callable[[], int]) -> None:
        """Send again and again until it is taken, as a mail server does. What is never taken was never promised."""
        while not self._is_over.is_set():
            try:
                reply = send()
            except (OSError, smtplib.SMTPException, httpx.HTTPError):
                reply = 0
            with self._lock:
                self.answers[f"{way} {reply}"] += 1
                if reply in (250, 204):
                    self.acknowledged.append((identifier, code))
                    return
            self._is_over.wait(0.2)

    def _smtp(self) -> None:
        code, identifier = _next()
        self._until_taken("smtp", code, identifier, lambda: self.house.send(code, identifier=identifier)[0])

    def _post(self) -> None:
        code, identifier = _next()
        token = self.tokens["ingest"]
        self._until_taken(
            "http", code, identifier, lambda: self.house.post(code, identifier=identifier, sender="a@larch.example", token=token)
        )

    def _deliver(self) -> None:
        """A mail into the mailbox is promised once the IMAP server has it."""
        code, _ = _next()
        assert self.dovecot is not None
        self.dovecot.deliver(code_mail(code))
        with self._lock:
            self.answers["imap"] += 1
            self.acknowledged.append((ANN, code))

    def _wait(self) -> None:
        identifier = _next()[1]
        self._get("wait", f"/api/v1/codes/wait?identifier={identifier}&timeout=5&since={time.time() - 30:.0f}", patience=15)

    def _look(self) -> None:
        for path in ("/readyz", "/metrics", "/api/v1/mail?limit=20", "/api/v1/deliveries?limit=20", "/api/v1/waiting"):
            self._get(path.partition("?")[0], path, who="viewer", patience=15)

    def _get(self, name: str, path: str, *, patience: float, who: str = "agent") -> None:
        url = f"http://127.0.0.1:{self.house.http}{path}"
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        status = httpx.get(url, headers=headers, trust_env=False, timeout=patience).status_code
        with self._lock:
            self.answers[f"{name} {status}"] += 1

    def _follow(self) -> None:
        """The events, with a new connection every so often; how many deliveries were superseded is what is read from them."""
        url = f"http://127.0.0.1:{self.house.http}/api/v1/events"
        headers = {"Authorization": f"Bearer {self.tokens['agent']}"}
        headers |= {"Last-Event-ID": self.last_event} if self.last_event else {}
        with httpx.stream("GET", url, headers=headers, trust_env=False, timeout=20) as stream:
            for line in stream.iter_lines():
                if line.startswith("id:"):
                    self.last_event = line.partition(":")[2].strip()
                if line.startswith("data:"):
                    with self._lock:
                        self.answers["events"] += 1
                        self.answers["superseded"] += '"superseded"' in line
                if self._is_over.is_set() or random.random() < 0.001:
                    return


def _next() -> tuple[str, str]:
    number = next(FIRST)
    return str(number), f"user{number % IDENTIFIERS}@corp.example"


class Faults:
    """What goes wrong, in turns. Each is over when its block ends."""

    def __init__(self, daemon: Daemon, receiver: FaultyReceiver, clock: SetClock, dovecot: Dovecot | None) -> None:
        self.daemon, self.receiver, self.clock, self.dovecot = daemon, receiver, clock, dovecot
        self.kinds = [self.bad_receiver, self.dead_network, self.broken_clients, self.locked, self.full, self.wrong_clock]
        self.kinds += [self.no_mailbox] if dovecot is not None else []

    @contextmanager
    def bad_receiver(self) -> Iterator[None]:
        """It answers 500, loses answers and is late."""
        self.receiver.temper = Temper(refuses=0.4, loses=0.2, is_late=0.1)
        yield
        self.receiver.temper = Temper()

    @contextmanager
    def dead_network(self) -> Iterator[None]:
        """Nothing that it answers arrives."""
        self.receiver.temper = Temper(loses=1.0)
        yield
        self.receiver.temper = Temper()

    @contextmanager
    def broken_clients(self) -> Iterator[None]:
        """Connections by SMTP and HTTP that break off in the middle, or say nothing."""
        begun = [_half(port, text) for port, text in self._openings() for _ in range(40)]
        yield
        for number, one in enumerate(begun):
            if number % 2:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another process has the database."""
        with contextlib.closing(apsw.Connection(str(self.daemon.house.database))) as holder:
            holder.set_busy_timeout(10_000)
            holder.execute("BEGIN IMMEDIATE")
            yield
            holder.execute("ROLLBACK")

    @contextmanager
    def full(self) -> Iterator[None]:
        """No file may grow, as on a full disk or beyond a quota."""
        pid = self.daemon.process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
        yield
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    @contextmanager
    def wrong_clock(self) -> Iterator[None]:
        """The machine's clock is a day ahead, or behind."""
        self.clock.set_by(random.choice((-DAY, DAY)))
        yield
        self.clock.set_by(0)

    @contextmanager
    def no_mailbox(self) -> Iterator[None]:
        """The IMAP server is gone as in a power cut."""
        assert self.dovecot is not None
        self.dovecot.crash()
        yield
        self.dovecot.start()

    def _openings(self) -> list[tuple[int, bytes]]:
        house = self.daemon.house
        post = b"POST /ingest/mime?rcpt=a@b HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\nSubject"
        return [
            (house.smtp, b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<codes@mailbridge.localhost>\r\nDATA\r\nSubj"),
            (house.http, post),
        ]


def _half(port: int, text: bytes) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=30)
    one.sendall(text)
    return one


def missing(acknowledged: Sequence[tuple[str, str]], rows: Sequence[Taken]) -> list[tuple[str, str]]:
    """Those acknowledged, by identifier and code, whose code did not arrive."""
    received = {row.code for row in list(rows)}
    return [(identifier, code) for identifier, code in acknowledged if code not in received]


def lost(acknowledged: Sequence[tuple[str, str]], rows: Sequence[Taken], kept: Sequence[Delivery]) -> list[tuple[str, str]]:
    """Those missing although nothing took their place.

    Where the store still has a code's delivery (``kept``) that says what became of it: it must have been superseded, and a newer one of
    its identifier and sender must have arrived. A newer code that arrived excuses none that expired, was refused or held. Of a code that
    retention has erased by now only the receiver tells: a later one of its identifier must have come.
    """
    received = {row.code for row in rows}
    newest: dict[str, str] = {}
    for row in rows:
        newest[row.identifier] = max(newest.get(row.identifier, ""), row.code)
    by_code = {one.draft.content.reveal(): one for one in kept}
    arrived = [one for one in kept if one.draft.content.reveal() in received]
    found = []
    for identifier, code in missing(acknowledged, rows):
        delivery = by_code.get(code)
        if delivery is None:
            is_excused = newest.get(identifier, "") > code
        else:
            is_excused = delivery.state is State.SUPERSEDED and any(_is_newer(one, delivery) for one in arrived)
        if not is_excused:
            found.append((identifier, code))
    return found


def _is_newer(one: Delivery, other: Delivery) -> bool:
    """Whether one takes the other's place: of the same identifier and sender, stored later or received later."""
    are_akin = (one.draft.identifier, one.draft.sender.lower()) == (other.draft.identifier, other.draft.sender.lower())
    return are_akin and (one.id > other.id or one.received_at > other.received_at)


def deliveries(house: House) -> list[Delivery]:
    """Those that the store still has the code of, oldest first; no daemon runs on it."""

    async def read() -> list[Delivery]:
        store = open_sqlite(
            StoreSettings(url=f"sqlite:///{house.database}"),
            RetentionSettings(),
            clock=SteadyClock(),
            grace=timedelta(seconds=1),
            is_visitor=True,
        )
        try:
            return [one for one in reversed(await store.outbox.deliveries(limit=EVERYTHING)) if one.draft.content.reveal()]
        finally:
            await store.close()

    return asyncio.run(read())


def traces(of: Sequence[tuple[str, str]], load: Load, rows: Sequence[Taken], kept: Sequence[Delivery]) -> list[dict[str, object]]:
    """What is known of codes that did not arrive, for whoever looks for the cause."""

    def told(one: Delivery) -> str:
        times = " ".join(f"{at:%H:%M:%S.%f}" for at in (one.received_at, one.deadline, one.final_at) if at is not None)
        return f"{one.id} {one.draft.content.reveal()} {one.state}: {one.reason or '-'}; attempts {one.attempts}; {times}"

    return [
        {
            "code": code,
            "acknowledged": [one for line, one in load.acknowledged if line == identifier],
            "received": [(row.code, row.at.isoformat()) for row in rows if row.identifier == identifier],
            "deliveries": [told(one) for one in kept if one.draft.identifier == identifier],
        }
        for identifier, code in of
    ]


def soak(minutes: float, folder: Path) -> tuple[list[Sample], list[tuple[float, float]], dict[str, Any]]:
    """Run it. Returns the samples, the times of faults in minutes, and what is to be judged."""
    with ExitStack() as stack:
        dovecot = stack.enter_context(running_dovecot(folder / "d")) if is_installed() else None
        receiver = stack.enter_context(running_faulty(Temper()))
        clock = SetClock(folder)
        more = KEPT + (MAILBOX.format(port=dovecot.imaps, ca=dovecot.ca) if dovecot is not None else "")
        house = House(folder, receiver.base_url, level="info", more=more)
        house.config.chmod(0o600)
        daemon = stack.enter_context(house.running(env=clock.env))
        agent = agent_token(house)["Authorization"].partition(" ")[2]
        made = json.loads(house.visit("token", "add", "--role", "viewer", "--json").stdout)
        load = Load(house, {"agent": agent, "viewer": made["token"], "ingest": house.token()}, dovecot)
        faults = Faults(daemon, receiver, clock, dovecot)
        load.start()
        try:
            samples, times = _watched(minutes, daemon, faults)
        finally:
            load.stop()
        wait_for(lambda: daemon.waiting() == 0, "the outbox is empty", patience=180)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not lost(load.acknowledged, receiver.rows, ()), "all mails of the mailbox are pushed", patience=120)
        readyz, ended = daemon.get("/readyz").json(), daemon.terminate(patience=60)
        kept = deliveries(house)
        gone = lost(load.acknowledged, receiver.rows, kept)
        found: dict[str, Any] = {
            "acknowledged": len(load.acknowledged),
            "received": len({row.code for row in receiver.rows}),
            "missing": len(missing(load.acknowledged, receiver.rows)),
            "judged_by_store": len(kept),
            "lost": [f"{code} of {identifier}" for identifier, code in gone],
            "readyz": readyz,
            "answers": dict(sorted(load.answers.items())),
            "faults": len(times),
            "traces": traces(gone, load, receiver.rows, kept),
            "ended": ended,
            "tracebacks": house.log.read_text(encoding="utf-8").count("Traceback"),
        }
        if gone or ended or found["tracebacks"]:
            found["log"] = house.log.read_text(encoding="utf-8").splitlines()[-LOG_LINES:]
    return samples, times, found


def _watched(minutes: float, daemon: Daemon, faults: Faults) -> tuple[list[Sample], list[tuple[float, float]]]:
    """Samples for so long, while one fault after the other comes and goes. The last fault is over before the end."""
    began = time.monotonic()
    end = began + minutes * 60
    apart = min(APART, minutes * 60 / (len(faults.kinds) + 1))
    samples: list[Sample] = []
    times: list[tuple[float, float]] = []
    kinds = itertools.cycle(faults.kinds)
    fault_at = began + apart / 2
    with ExitStack() as stack:
        over_at = end
        while time.monotonic() < end and daemon.process.poll() is None:
            now = time.monotonic()
            if now >= over_at:
                stack.close()
                times[-1] = (times[-1][0], (now - began) / 60)
                over_at = end
            if now >= fault_at and now + apart < end:
                stack.enter_context(next(kinds)())
                over_at, fault_at = now + min(LONGEST, apart / 2), fault_at + apart
                times.append(((now - began) / 60, (over_at - began) / 60))
            if (one := sample(daemon.process.pid, daemon.house.database, began)) is not None:
                samples.append(one)
            time.sleep(EVERY)
    return samples, times


def main() -> int:
    """Run, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("SOAK_MINUTES", "60")))
    parser.add_argument("--folder", type=Path, default=Path("dist/soak"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mailbridge-soak-") as folder:
        Path(folder).chmod(0o755)
        samples, times, found = soak(options.minutes, Path(folder))
    grown = {name: growth(samples, name) for name in TITLES}
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "soak.svg").write_text(plots(samples, times), encoding="utf-8")
    told = {**found, "growth": grown, "samples": [asdict(one) for one in samples], "times": times}
    (options.folder / "soak.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(json.dumps({name: value for name, value in found.items() if name not in ("log", "traces")}, indent=1))
    for name, share in grown.items():
        print(f"{name:12} {'too short to tell' if share is None else f'{share:+.1%} since the tenth minute'}")
    is_good = not found["lost"] and not found["ended"] and not found["tracebacks"]
    is_flat = all(share is None or share <= MOST_GROWTH for share in grown.values())
    print(f"{options.folder}/soak.svg", "good" if is_good and is_flat else "BAD")
    return 0 if is_good and is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
