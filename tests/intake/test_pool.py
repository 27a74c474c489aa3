"""The parser pool: a worker may hang, crash, eat memory or be killed, and the next mail is read."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mailbridge.core.mail import Envelope
from mailbridge.intake.meaning import ReaderUnavailable
from mailbridge.intake.pool import ParserPool, parser_pool
from tests.intake.targets import Echo
from tests.loop import until

ROOT = Path(__file__).resolve().parents[2]
ARRIVED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker finds the targets of these tests wherever they are run from."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def mail(text: str) -> Envelope:
    """An envelope around an order to the worker."""
    return Envelope(mail_from="", rcpt_to=("a@b.example",), content=text.encode(), received_at=ARRIVED, ingress="smtp")


@asynccontextmanager
async def pool(*, workers: int = 1, seconds: float = 5.0, config: bytes = b"first") -> AsyncIterator[ParserPool[Echo]]:
    """A pool of workers that obey."""
    target = "tests.intake.targets:build"
    timeout = timedelta(seconds=seconds)
    async with parser_pool(target=target, answer=Echo, config=config, workers=workers, timeout=timeout) as running:
        yield running


def run(main: Callable[[], Any]) -> None:
    """Run a test on the daemon's loop, and let nothing hang."""

    async def within() -> None:
        async with asyncio.timeout(PATIENCE * 3):
            await main()

    uvloop.run(within())


async def text_of(running: ParserPool[Echo], order: str) -> str | None:
    """What came of an order; None where nothing did."""
    answer = await running.understand(mail(order))
    return None if answer is None else answer.text


def is_running(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_answers_come_in_order() -> None:
    """A hundred mails at once are answered each with its own."""

    async def main() -> None:
        async with pool() as running:
            orders = [f"mail {number}" for number in range(100)]
            assert await asyncio.gather(*(text_of(running, order) for order in orders)) == orders

    run(main)


def test_a_mail_that_hangs_is_killed_at_its_deadline() -> None:
    """It alone is given up when its time is over; those behind it are read in order by the successor."""

    async def main() -> None:
        async with pool(seconds=1.0) as running:
            before = running.pids
            hung = asyncio.ensure_future(text_of(running, "spin"))
            orders = [f"mail {number}" for number in range(5)]
            behind = asyncio.gather(*(text_of(running, order) for order in orders))
            assert await hung is None
            assert await behind == orders
            assert running.pids != before
            assert not is_running(before[0])

    run(main)


def test_each_mail_has_its_whole_time() -> None:
    """The clock runs for the mail that is being read, not for those that wait: three slow ones in a row are all read."""

    async def main() -> None:
        async with pool(seconds=2.0) as running:
            orders = ["sleep 0.9", "sleep 0.9", "sleep 0.9"]
            before = running.pids
            assert await asyncio.gather(*(text_of(running, order) for order in orders)) == orders
            assert running.pids == before

    run(main)


@pytest.mark.parametrize("order", ["die", "crash"])
def test_a_mail_that_kills_its_worker_is_given_up_after_a_second_try(order: str, caplog: pytest.LogCaptureFixture) -> None:
    """An exit or a segmentation fault costs the mail that caused it, twice tried, and no other."""

    async def main() -> None:
        async with pool() as running:
            assert await text_of(running, "before") == "before"
            assert await asyncio.gather(*(text_of(running, one) for one in (order, "after"))) == [None, "after"]

    run(main)
    assert caplog.messages.count("a parser worker crashed; its mail is read again") == 1
    assert caplog.messages.count("a parser worker crashed twice on one mail; the mail is held") == 1


def test_a_mail_is_not_lost_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    """Where the worker's death was not the mail's doing (the kernel short of memory), the mail is read again."""

    async def main() -> None:
        (tmp_path / "yes").touch()
        order = f"die-once {tmp_path / 'yes'}"
        async with pool() as running:
            assert await text_of(running, order) == order
            victim = running.pids[0]
            slow = asyncio.ensure_future(text_of(running, "sleep 0.2"))
            await asyncio.sleep(0)  # it is given to the worker
            os.kill(victim, signal.SIGKILL)
            assert await slow == "sleep 0.2"
            assert running.pids[0] != victim

    run(main)


def test_an_exception_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours holds the mail, names the place in the code, keeps the worker, and quotes nothing."""

    async def main() -> None:
        async with pool() as running:
            before = running.pids
            assert await text_of(running, "raise lighthouse") is None
            assert await text_of(running, "next") == "next"
            assert running.pids == before

    run(main)
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "RuntimeError at" in record.__dict__["where"]
    assert "targets.py" in record.__dict__["where"]
    assert "lighthouse" not in str(vars(record))


def test_a_memory_bomb_gets_no_memory() -> None:
    """More than a worker may have is refused to it; the mail is held and the next one read."""

    async def main() -> None:
        async with pool() as running:
            assert await text_of(running, "memory") is None
            assert await text_of(running, "next") == "next"

    run(main)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_memory_of_a_large_mail_is_there_for_the_next() -> None:
    """What 500 kB took, and was let go, needs no page of the system again."""

    async def main() -> None:
        async with pool() as running:
            assert int(await text_of(running, "pages") or "1000") < 200

    run(main)


def test_a_large_parent_makes_no_large_worker() -> None:
    """A worker is not replaced for the memory that its parent has once used."""
    assert len(bytearray(b"x") * (300 << 20)) == 300 << 20

    async def main() -> None:
        async with pool() as running:
            before = running.pids
            for number in range(3):
                assert await text_of(running, f"mail {number}") == f"mail {number}"
            assert running.pids == before

    run(main)


def test_a_worker_that_grew_is_replaced() -> None:
    """One that ever needed 400 MB answers, and makes room for a lean one; nothing that waits is lost."""

    async def main() -> None:
        async with pool() as running:
            before = running.pids[0]
            answers = await asyncio.gather(text_of(running, "grow"), text_of(running, "next"))
            assert list(answers) == [str(400 << 20), "next"]
            while running.pids in ((before,), ()):
                await asyncio.sleep(0.01)
            assert not is_running(before)

    run(main)


def test_an_answer_without_end_is_not_collected() -> None:
    """A worker that sends more than any answer has is ended: it may be in somebody else's hands."""

    async def main() -> None:
        async with pool() as running:
            assert await text_of(running, "long") is None
            assert await text_of(running, "next") == "next"

    run(main)


def test_new_rules_lose_no_mail() -> None:
    """Three reconfigurations under load: every mail is answered, in the end by the newest, and the old workers are gone."""

    async def main() -> None:
        async with pool(workers=2) as running:
            before = running.pids
            orders = [f"mail {number}" for number in range(600)]
            answers: list[str | None] = []

            async def load() -> None:
                for at in range(0, len(orders), 20):
                    answers.extend(await asyncio.gather(*(text_of(running, one) for one in orders[at : at + 20])))
                    await asyncio.sleep(0)

            loading = asyncio.ensure_future(load())
            for config in (b"second", b"third", b"fourth"):
                (await running.prepare(config)).take_over()
            await loading
            assert answers == orders
            last = await running.understand(mail("last"))
            assert last is not None
            assert last.config == "fourth"
            assert len(running.pids) == 2
            assert not any(is_running(pid) for pid in before)

    run(main)


def test_new_rules_reach_a_worker_that_is_being_replaced() -> None:
    """A reconfiguration while a dead worker's successor starts does not end with the old rules, nor with a worker too many."""

    async def main() -> None:
        async with pool(config=b"slow") as running:
            os.kill(running.pids[0], signal.SIGKILL)
            while running.pids:
                await asyncio.sleep(0.001)
            await until(lambda: len(_children()) == 1)  # the successor, with the old rules and slow to start
            (await running.prepare(b"second")).take_over()
            while len(_children()) > 1:
                await asyncio.sleep(0.01)
            answer = await running.understand(mail("x"))
            assert answer is not None
            assert answer.config == "second"
            assert _children() == set(running.pids)

    run(main)


def test_rules_that_no_worker_starts_with_change_nothing() -> None:
    """Both workers keep what they had, the error is the caller's, and nothing is left running."""

    async def main() -> None:
        async with pool(workers=2) as running:
            before = running.pids
            with pytest.raises(ConnectionError):
                await running.prepare(b"broken")
            assert running.pids == before
            answer = await running.understand(mail("x"))
            assert answer is not None
            assert answer.config == "first"
            assert _children() == set(before)

    run(main)


def test_a_worker_knows_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It starts without our environment and our files, and can write none."""
    monkeypatch.setenv("SKYVERN_API_KEY", "canary-key")
    monkeypatch.setenv("MAILBRIDGE_SKYVERN__API_KEY_FILE", "/run/canary")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/canary")

    async def main() -> None:
        with (tmp_path / "secret").open("w") as secret:
            os.set_inheritable(secret.fileno(), True)
            async with pool() as running:
                environment = await text_of(running, "environment")
                assert environment is not None
                assert "canary" not in environment
                assert environment.endswith("{}")
                files = await text_of(running, "files")
                assert files is not None
                assert str(secret.fileno()) not in files.split(",")
                assert await text_of(running, f"write {tmp_path / 'out'}") is None
                assert not (tmp_path / "out").exists() or (tmp_path / "out").read_text() == ""

    run(main)


def test_workers_die_with_the_daemon() -> None:
    """kill -9 of the parent leaves no worker behind, not even one that is busy."""
    program = (
        "import asyncio, sys\n"
        "from tests.intake.test_pool import pool, text_of\n"
        "async def main():\n"
        "    async with pool(workers=2, seconds=60) as running:\n"
        "        busy = asyncio.ensure_future(text_of(running, 'spin'))\n"
        "        await asyncio.sleep(0.1)\n"
        "        print(*running.pids, flush=True)\n"
        "        await busy\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(is_running(pid) for pid in pids)
        parent.kill()
    deadline = time.monotonic() + PATIENCE
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.01)


def test_a_daemon_that_was_stopped_does_not_blame_its_worker() -> None:
    """SIGSTOP for longer than the deadline, daemon and worker both: on waking up the mail gets its time, and is read."""
    program = (
        "import asyncio, sys\n"
        "from tests.intake.test_pool import pool, text_of\n"
        "import uvloop\n"
        "async def main():\n"
        "    async with pool(seconds=2.5) as running:\n"
        "        slow = asyncio.ensure_future(text_of(running, 'sleep 1.0'))\n"
        "        await asyncio.sleep(0.1)\n"
        "        print(*running.pids, flush=True)\n"
        "        print(await slow, flush=True)\n"
        "uvloop.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()), parent.pid]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3)  # what is tested is that time goes by
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
        assert parent.stdout.readline().strip() == "sleep 1.0"


def test_closing_leaves_nobody_waiting_and_nothing_running() -> None:
    """Who still waits is told that nobody has read its mail, and every child is gone."""

    async def main() -> None:
        async with pool(workers=2, seconds=60) as running:
            pids = running.pids
            waiting = [asyncio.ensure_future(text_of(running, "spin")) for _ in range(3)]
            await asyncio.sleep(0)
        assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [ReaderUnavailable] * 3
        assert not any(is_running(pid) for pid in pids)


def test_whoever_is_turned_away_waits_no_longer() -> None:
    """Mails in hand and later ones are given back at once, while the workers still run."""

    async def main() -> None:
        async with pool(workers=2, seconds=60) as running:
            waiting = [asyncio.ensure_future(text_of(running, "spin")) for _ in range(3)]
            await asyncio.sleep(0)
            running.turn_away()
            assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [ReaderUnavailable] * 3
            with pytest.raises(ReaderUnavailable):
                await text_of(running, "hello")

    run(main)


def test_a_mail_does_not_wait_for_ever_for_a_worker_that_never_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """While no successor starts, the pool says so and a mail is given back after a while. It is read when one starts again."""
    is_broken = tmp_path / "broken"
    config = f"broken-while {is_broken}".encode()
    monkeypatch.setattr("mailbridge.intake.pool.MAX_WAIT", 0.5)

    async def main() -> None:
        async with pool(config=config) as running:
            is_broken.touch()
            os.kill(running.pids[0], signal.SIGKILL)
            await until(lambda: not running.pids)
            with pytest.raises(ReaderUnavailable):
                await running.understand(mail("hello"))
            assert not running.is_alive
            is_broken.unlink()
            await until(lambda: running.is_alive)
            assert await text_of(running, "hello") == "hello"

    run(main)


def test_mails_go_to_the_worker_that_runs(tmp_path: Path) -> None:
    """Of two workers one cannot be replaced: no mail waits for that one."""
    is_broken = tmp_path / "broken"

    async def main() -> None:
        async with pool(workers=2, config=f"broken-while {is_broken}".encode()) as running:
            is_broken.touch()
            os.kill(running.pids[0], signal.SIGKILL)
            await until(lambda: len(running.pids) == 1)
            orders = [f"mail {number}" for number in range(20)]
            assert await asyncio.gather(*(text_of(running, one) for one in orders)) == orders
            assert running.is_alive

    run(main)


def test_a_mail_over_the_limit_is_cut_for_the_worker_and_says_so() -> None:
    """The worker gets the first MiB, and knows that there was more."""

    async def main() -> None:
        async with parser_pool(
            target="tests.intake.test_pool:measure", answer=str, config=b"", workers=1, timeout=timedelta(seconds=5)
        ) as running:
            assert await running.understand(mail("x" * 1_048_576)) == "1048576 False"
            assert await running.understand(mail("x" * 1_048_577)) == "1048576 True"

    run(main)


@asynccontextmanager
async def starting(config: bytes) -> AsyncIterator[ParserPool[Echo]]:
    """A pool whose worker starts beside the block, with a deadline that is shorter than its start."""
    timeout = timedelta(milliseconds=300)
    async with parser_pool(
        target="tests.intake.targets:build", answer=Echo, config=config, workers=1, timeout=timeout, is_awaited=False
    ) as running:
        yield running


def test_a_mail_that_comes_while_the_worker_starts_waits_for_it() -> None:
    """It is read when the worker is there, however long that takes: the deadline is for reading."""

    async def main() -> None:
        async with starting(b"slow") as running:
            assert (running.is_starting, running.is_alive) == (True, False)
            assert await text_of(running, "hello") == "hello"
            await running.started()
            assert (running.is_starting, running.is_alive) == (False, True)

    run(main)


def test_a_worker_that_does_not_start_is_told_to_who_waits_for_it() -> None:
    """The fault is that of the start, no mail is left waiting, and nothing of the worker is left."""

    async def main() -> None:
        async with starting(b"broken") as running:
            waiting = asyncio.ensure_future(running.understand(mail("hello")))
            with pytest.raises(OSError, match="ended before it was ready"):
                await running.started()
            with pytest.raises(ReaderUnavailable):  # at once, while whoever brought it can still be answered
                await waiting
            with pytest.raises(ReaderUnavailable):
                await running.understand(mail("another"))
        assert _children() == set()

    run(main)


def test_a_start_that_is_cancelled_gives_mails_back() -> None:
    """A daemon that is told to stop while its worker loads leaves no mail without an answer, and no child."""

    async def main() -> None:
        async with starting(b"slow") as running:
            waiting = asyncio.ensure_future(running.understand(mail("hello")))
            stopping = asyncio.ensure_future(running.started())
            await until(lambda: bool(_children()))
            stopping.cancel()
            with pytest.raises(ReaderUnavailable):
                await waiting
        assert _children() == set()

    run(main)


def measure(config: bytes) -> Callable[[Any], str]:
    """A reader that tells how much it was given."""
    return lambda request: f"{len(request.content)} {request.is_truncated}"


def _children() -> set[int]:
    """Our worker processes that run."""
    return set(_workers_of(os.getpid()))


def _workers_of(parent: int) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and is_running(int(folder.name)):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                command = (folder / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent and b"mailbridge.intake.worker" in command:
                yield int(folder.name)
