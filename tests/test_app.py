"""The assembled daemon in this process: from a mail to the receiver, how it says that it is well, and how it comes down."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import smtplib
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from mailbridge import log_events
from mailbridge.app.condition import NO_KEY
from mailbridge.app.daemon import Bridge, bridge
from mailbridge.app.parts import PARTS
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import (
    HttpSettings,
    IdentitySettings,
    ParserSettings,
    PracticeSettings,
    RetentionSettings,
    Settings,
    SkyvernSettings,
    SmtpSettings,
    StoreSettings,
    TargetSettings,
)
from mailbridge.core.delivery import State
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.dispatch.routing import Routing
from mailbridge.intake.answer import Stored
from mailbridge.intake.launch import Launched
from mailbridge.net.listening import ListenError
from mailbridge.store import StoreError
from mailbridge.store.cipher import read_key
from mailbridge.store.sqlite import open_sqlite
from mailbridge.web.health import Level
from tests.loop import looped, until
from tests.peers.daemon import RCPT, mail
from tests.store.faulty import faulty_files
from tests.store.mails import arrival, draft
from tests.store.test_sqlite_contract import held_by_another_process


def settings_in(folder: Path, *, smtp: str = "127.0.0.1:0", url: str = "") -> Settings:
    """A daemon on free ports, with the practice receiver as its target."""
    return Settings(
        smtp=SmtpSettings(listen=(smtp,), tls=False),
        http=HttpSettings(listen="127.0.0.1:0"),
        practice=PracticeSettings(listen="127.0.0.1:0"),
        identity=IdentitySettings(learn_from_skyvern=False),
        skyvern=SkyvernSettings(grace=timedelta(milliseconds=200)),
        store=StoreSettings(url=url or f"sqlite:///{folder / 'mailbridge.db'}", busy_timeout=timedelta(milliseconds=50)),
    )


async def send(running: Bridge, code: str, *, identifier: str = "ann@example.com") -> None:
    """Send a mail, which is accepted."""

    def speak() -> None:
        host, _, port = running.smtp_addresses[0].rpartition(":")
        with smtplib.SMTP(host, int(port), local_hostname="load.localhost", timeout=10) as client:
            content = mail(code, identifier=identifier, sender="no-reply@larch.example", number=code)
            client.sendmail("bounce@larch.example", [RCPT], content)

    await asyncio.to_thread(speak)


@looped
async def test_a_mail_becomes_a_code_and_health_tells_of_trouble(tmp_path: Path) -> None:
    """A code arrives; practice and a target that fails are degradations, a store that cannot write is unready, and trouble passes."""
    async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
        assert running.practice is not None
        await send(running, "48291301")
        await running.practice.wait_for("48291301", patience=60)
        health = await running.health()
        assert (health.level, health.checks) == (Level.DEGRADED, {"practice": NO_KEY})
        running.practice.fault(status=503)
        await send(running, "48291302")
        await until(lambda: running.engine.dispatcher.failing)
        health = await running.health()
        assert (health.level, list(health.checks)) == (Level.DEGRADED, ["target practice", "practice"])
        running.practice.fault()
        await running.practice.wait_for("48291302", patience=60)
        await until(lambda: not running.engine.dispatcher.failing)
        with held_by_another_process(tmp_path / "mailbridge.db"):
            with pytest.raises(smtplib.SMTPDataError, match="451"):
                await send(running, "48291303")
            health = await running.health()
            assert (health.level, health.checks["store"]) == (Level.UNREADY, "locked")
        assert (await running.health()).level is Level.DEGRADED, "it waits for a mail, which no balancer would send it"
        await send(running, "48291303")
        assert (await running.health()).level is Level.DEGRADED
        metrics = (await running.render_metrics()).decode()
        assert 'mailbridge_outbox{state="dead"} 0.0' in metrics
        assert "482913" not in metrics


def _worker_that_never_answers() -> Launched:
    """What stands in for a worker's process: it reads and says nothing until it is killed, as one that hangs while it loads."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(["/bin/sh", "-c", "exec cat >/dev/null"], stdin=theirs.fileno())
    ours.setblocking(False)
    return Launched(process=process, channel=ours)


async def _stored_mails(settings: Settings) -> int:
    """How many mails a database of a daemon that has ended holds."""
    store = open_sqlite(settings.store, RetentionSettings(), clock=SteadyClock(), grace=timedelta(seconds=5))
    try:
        return len(list(await store.mails.page(limit=10)))
    finally:
        await store.close()


@pytest.mark.parametrize("how", ["ends", "is cancelled"])
@looped
async def test_a_mail_behind_the_banner_comes_again_where_no_worker_starts(tmp_path: Path, how: str) -> None:
    """The banner is there before the parser. Where its start fails or is cancelled, the mail gets 451, and none is stored unreadable."""
    settings = settings_in(tmp_path)
    bound = socket.create_server(("127.0.0.1", 0))
    bound.setblocking(False)
    worker = _worker_that_never_answers()
    parts = dataclasses.replace(PARTS, worker=worker)

    async def serve() -> None:
        async with bridge(settings, state_dir=tmp_path, sockets={"smtp": [bound]}, parts=parts):
            raise AssertionError("it started without a worker")

    serving = asyncio.create_task(serve())
    reader, writer = await asyncio.open_connection(*bound.getsockname())
    commands = ["", "EHLO load.localhost", "MAIL FROM:<bounce@larch.example>", f"RCPT TO:<{RCPT}>", "DATA"]
    for command in commands:
        if command:
            writer.write(f"{command}\r\n".encode())
        while (line := await reader.readline())[3:4] == b"-":
            pass
        assert line[:1] in b"23", line
    content = mail("48291305", identifier="ann@example.com", sender="no-reply@larch.example", number="48291305")
    writer.write((content if isinstance(content, bytes) else content.encode()) + b"\r\n.\r\n")
    await writer.drain()
    for _ in range(100):  # it waits for the worker then; where it does not yet, what holds is the same
        await asyncio.sleep(0)
    if how == "ends":
        worker.process.kill()
    else:
        serving.cancel()
    answer = await reader.readline()
    with pytest.raises((OSError, asyncio.CancelledError)):
        await serving
    writer.close()
    assert answer.startswith(b"451 4.3.0"), answer
    assert await _stored_mails(settings) == 0


@looped
async def test_a_mail_that_nobody_reads_before_the_end_of_a_stop_comes_again(tmp_path: Path) -> None:
    """A stop does not wait for a worker that hangs: mail by SMTP gets 451 while it can be answered, and none is stored unreadable."""
    settings = replace(settings_in(tmp_path), parser=ParserSettings(timeout=timedelta(seconds=60)))
    async with bridge(settings, state_dir=tmp_path) as running:
        os.kill(running.engine.pool.pids[0], signal.SIGSTOP)
        sending = asyncio.create_task(send(running, "48291306"))
        await until(lambda: running.engine.pool.load)
    with pytest.raises(smtplib.SMTPDataError, match="451"):
        await sending
    assert await _stored_mails(settings) == 0


@looped
async def test_the_answer_and_the_push_do_not_wait_for_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the yes to a mail is there its line is not written yet; it is in the loop's next rounds."""
    caplog.set_level(logging.INFO, "mailbridge")

    def is_told() -> bool:
        return any(getattr(one, "event", "") == log_events.MAIL_STORED for one in caplog.records)

    async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
        content = mail("48291304", identifier="ann@example.com", sender="no-reply@larch.example", number="48291304")
        octets = content if isinstance(content, bytes) else content.encode()
        now = running.engine.clock.now()
        envelope = Envelope(mail_from="b@larch.example", rcpt_to=(RCPT,), content=octets, received_at=now, ingress="smtp")
        answer = await running.door.intake.accept(envelope)
        was_told = is_told()
        assert isinstance(answer, Stored)
        await until(is_told)
        assert not was_told


@looped
async def test_lines_of_the_log_stand_in_the_order_of_events(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of forty mails that come at once: each mail's line before what became of its code, mails by their numbers, as they were
    committed, and the times of all lines in order."""
    caplog.set_level(logging.INFO, "mailbridge")
    codes = [f"48{number:06}" for number in range(40)]

    def lines(event: str) -> list[tuple[int, logging.LogRecord]]:
        return [(place, one) for place, one in enumerate(caplog.records) if getattr(one, "event", "") == event]

    async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
        await asyncio.gather(
            *(send(running, code, identifier=f"ann{number % 20}@example.com") for number, code in enumerate(codes))
        )
        rows = await running.engine.store.outbox.deliveries(limit=1_000)
        ended = [one for one in rows if one.state is not State.SUPERSEDED]
        await until(lambda: len(lines(log_events.DELIVERY_SETTLED)) >= len(ended), patience=60)
        mails = {one.id: one.mail_id for one in rows}
    stored = {vars(one)["mail"]: place for place, one in lines(log_events.MAIL_STORED)}
    assert list(stored) == sorted(stored)
    assert len(stored) == len(codes)
    settled = [(place, vars(one)["delivery"]) for place, one in lines(log_events.DELIVERY_SETTLED)]
    assert [delivery for place, delivery in settled if place < stored[mails[delivery]]] == []
    times = [one.created for one in caplog.records]
    assert times == sorted(times)


@looped
async def test_a_mail_of_which_the_fsync_fails_is_never_pushed(tmp_path: Path) -> None:
    """451 means that nothing of the mail has left: the receiver gets the next one, and never this one."""
    async with faulty_files() as disk, bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
        assert running.practice is not None
        with disk.unwritable(), pytest.raises(smtplib.SMTPDataError, match="451"):
            await send(running, "48291401")
        await send(running, "48291402")
        await running.practice.wait_for("48291402", patience=60)
        assert [row.code for row in running.practice.rows()] == ["48291402"]


@looped
async def test_a_killed_attempt_blocks_for_the_longest_grace(tmp_path: Path) -> None:
    """What was in flight may be at a target that takes its time: nothing else goes there before that is over."""
    store = open_sqlite(settings_in(tmp_path).store, RetentionSettings(), clock=SteadyClock(), grace=timedelta())
    await store.put(arrival(draft(target="slow"), at=SteadyClock().now()))
    await store.close()
    slow = TargetSettings(name="slow", api_key=Secret("key"), base_url="http://127.0.0.1:1", grace=timedelta(minutes=2))
    async with bridge(replace(settings_in(tmp_path), target=(slow,)), state_dir=tmp_path) as running:
        (delivery,) = await running.engine.store.outbox.deliveries()
        assert delivery.blocked_until is not None
        assert delivery.blocked_until > running.engine.clock.now() + timedelta(minutes=1)


@looped
async def test_a_stop_delivers_what_was_accepted(tmp_path: Path) -> None:
    """Leaving the block right after the 250 sends what is in hand, and leaves nothing in the log or under a lock."""
    async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
        practice = running.practice
        assert practice is not None
        for number in range(20):
            await send(running, f"482914{number:02d}", identifier=f"user{number}@example.com")
    assert len(practice.rows()) == 20
    wal = tmp_path / "mailbridge.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0
    async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
        assert sum((await running.engine.store.outbox.counts()).values()) == 0


@looped
async def test_a_start_that_fails_takes_down_what_had_started(tmp_path: Path) -> None:
    """A taken port is a ListenError, after which database and ports are free again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ListenError, match="another program listens there"):
            async with bridge(settings_in(tmp_path, smtp=f"127.0.0.1:{taken.getsockname()[1]}"), state_dir=tmp_path):
                pass
    async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
        assert (await running.health()).level is Level.DEGRADED


@looped
async def test_a_database_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    """A StoreError comes out as it is, before anything listens."""
    (tmp_path / "mailbridge.db").write_text("no database " * 100)
    read_key(tmp_path / "mailbridge.key", is_made=True)
    with pytest.raises(StoreError, match="not a database; move it away"):
        async with bridge(settings_in(tmp_path), state_dir=tmp_path):
            pass


@pytest.mark.parametrize(
    ("identifier", "names"),
    [
        ("ann@corp.example", ["first", "second"]),
        ("BOB@corp.example", ["second"]),
        ("ann@elsewhere.example", ["skyvern"]),
    ],
)
def test_an_identifier_goes_to_every_target_that_lists_it(identifier: str, names: list[str]) -> None:
    """In any spelling, by pattern; to the main one where none does."""
    targets = [
        TargetSettings(name="first", identifiers=("ann@corp.example",)),
        TargetSettings(name="second", identifiers=("*@Corp.example",)),
    ]
    assert Routing(targets).targets(identifier) == names


def test_a_start_imports_only_what_is_needed() -> None:
    """What probes, draws pages, reads mails and checks proofs is not loaded by a daemon that has not yet been asked for it, and what
    answers over HTTP not before mail can come in."""
    names = (
        "jinja2",
        "mcp",
        "rich",
        "selectolax",
        "mailparser",
        "publicsuffixlist",
        "asyncpg",
        "imapclient",
        "cryptography.x509",
        "dns",
        "mailbridge.core.rules",
        "mailbridge.core.wording",
        "starlette",
        "uvicorn",
        "multiprocessing",
        "mailbridge.operator.verbs",
        "mailbridge.practice.receiver",
    )
    program = f"import mailbridge.cli.serve, mailbridge.app.daemon, sys; print(*(set({names}) & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split() == []
