"""Faults of disk and database under the running daemon: 452 or 451, nothing lost, and well again without a hand."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from tests.peers.daemon import Daemon, House, wait_for
from tests.peers.faulty import FaultyReceiver, running_faulty
from tests.store.test_sqlite_contract import held_by_another_process

pytestmark = pytest.mark.e2e

CODES = itertools.count(40_000_000)
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace")


@pytest.fixture
def receiver() -> Iterator[FaultyReceiver]:
    """A receiver that is well."""
    with running_faulty() as running:
        yield running


class Sender:
    """Sends codes, each to an identifier of its own, and remembers which were acknowledged."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.acknowledged: list[str] = []

    def __call__(self) -> int:
        """Send one; returns the reply."""
        code = str(next(CODES))
        reply, _ = self.house.send(code, identifier=f"user{code}@example.com")
        if reply == 250:
            self.acknowledged.append(code)
        return reply

    def until(self, wanted: int) -> None:
        """Send until it is answered so."""
        wait_for(lambda: self() == wanted, f"a mail is answered {wanted}")

    def assert_all_at(self, receiver: FaultyReceiver) -> None:
        """What was acknowledged arrives, each once."""
        wait_for(lambda: set(self.acknowledged) <= {row.code for row in receiver.rows}, "all codes arrive")
        assert sorted(row.code for row in receiver.rows if row.code in self.acknowledged) == sorted(self.acknowledged)


def assert_sound(house: House) -> None:
    """The database is whole."""
    with apsw.Connection(str(house.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# the order of system calls

CALLS = "read,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,fdatasync"


@needs_strace
def test_the_log_is_synced_between_the_end_of_data_and_the_250(tmp_path: Path, receiver: FaultyReceiver) -> None:
    """After the final dot is read the log is written, then fdatasync of it returns 0, and then the 250 is written; each time."""
    trace = tmp_path / "trace"
    house = House(tmp_path, receiver.base_url)
    with house.running(before=("strace", "-f", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(trace))) as daemon:
        send = Sender(house)
        for _ in range(5):
            assert send() == 250
            wait_for(lambda: daemon.waiting() == 0, "the one before is settled: its own sync is no witness for the next")
        daemon.kill()
    events = [event for line in trace.read_text(encoding="utf-8", errors="replace").splitlines() for event in _event(line)]
    assert events.count("end of data") == events.count("250") == 5
    for begin in (at for at, event in enumerate(events) if event == "end of data"):
        story = events[begin : events.index("250", begin) + 1]
        steps = [event for event, _ in itertools.groupby(story)]
        assert steps[:3] == ["end of data", "log written", "log synced"]  # what follows is of the push, which is settled already


def _event(line: str) -> Iterator[str]:
    """What a line of the trace tells; a sync counts where it comes to its end."""
    if re.search(r" (read|recvfrom|recvmsg)\(\d+<(socket|TCP)", line) and r"\r\n.\r\n" in line:
        yield "end of data"
    elif re.search(r" pwrite64\(\d+<[^>]*-wal>", line):
        yield "log written"
    elif re.search(r" fdatasync\(\d+<[^>]*-wal>\) += 0", line) or re.search(r"<\.\.\. fdatasync resumed>\) += 0", line):
        yield "log synced"
    elif re.search(r" (write|writev|sendto|sendmsg)\(", line) and "250 2.0.0 OK: queued" in line:
        yield "250"


# the disk


FAILING = ("-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync:error=EIO", "-e", "inject=fsync:error=EIO")


@contextmanager
def failing_sync(daemon: Daemon, folder: Path) -> Iterator[None]:
    """Every fdatasync of the daemon fails with EIO for the length of the block."""
    attached = folder / "strace.err"
    with attached.open("wb") as stream:
        tracer = subprocess.Popen(
            ["strace", "-f", "-p", str(daemon.process.pid), "-o", str(folder / "strace.out"), *FAILING],
            stderr=stream,
        )
    try:
        wait_for(lambda: b"attached" in attached.read_bytes(), "strace is attached")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)


@needs_strace
def test_a_failed_fsync_is_never_a_250(tmp_path: Path, receiver: FaultyReceiver) -> None:
    """While fsync fails mail is put off with 451 and /readyz is 503; afterwards it is taken, and what was acknowledged is there."""
    house = House(tmp_path, receiver.base_url)
    send = Sender(house)
    with house.running() as daemon:
        assert [send() for _ in range(3)] == [250] * 3
        send.assert_all_at(receiver)
        with failing_sync(daemon, tmp_path):
            assert [send() for _ in range(4)] == [451] * 4
            ready = daemon.get("/readyz")
            assert (ready.status_code, ready.json()["checks"]["store"]) == (503, "gone")
        wait_for(lambda: daemon.get("/readyz").status_code == 200, "it is ready again, without a mail")
        assert send() == 250
        send.assert_all_at(receiver)
        daemon.kill()
    with house.running() as daemon:
        assert send() == 250
        send.assert_all_at(receiver)
        assert daemon.terminate() == 0
    assert_sound(house)


def test_a_full_disk_is_a_452(tmp_path: Path, receiver: FaultyReceiver) -> None:
    """On a full file system mail is put off; when there is room again it is taken, and what was acknowledged arrived."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root: run it as root")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(state)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here: it needs CAP_SYS_ADMIN")
    house = House(tmp_path, receiver.base_url)
    send = Sender(house)
    try:
        with house.running() as daemon:
            assert send() == 250
            filler = state / "filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
                while True:
                    stream.write(bytes(4_096))
            wait_for(lambda: send() != 250, "the disk is full", patience=60)
            replies = {send() for _ in range(5)}
            assert replies <= {451, 452}
            assert 452 in replies
            assert daemon.get("/readyz").status_code == 503
            filler.unlink()
            send.until(250)
            wait_for(lambda: daemon.get("/readyz").status_code == 200, "it is ready again")
            send.assert_all_at(receiver)
            daemon.kill()
        with house.running() as daemon:
            assert send() == 250
            send.assert_all_at(receiver)
            assert daemon.terminate() == 0
        assert_sound(house)
    finally:
        subprocess.run(["umount", str(state)], check=True)


def test_a_file_that_must_not_grow(tmp_path: Path, receiver: FaultyReceiver) -> None:
    """A limit on the size of files (RLIMIT_FSIZE, a quota) puts mail off, and lifting it fixes it."""
    house = House(tmp_path, receiver.base_url)
    send = Sender(house)
    with house.running() as daemon:
        assert send() == 250
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
        assert {send() for _ in range(3)} <= {451, 452}
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        send.until(250)
        send.assert_all_at(receiver)
        assert daemon.terminate() == 0
    assert_sound(house)


# the database


def test_a_locked_database_is_a_451(tmp_path: Path, receiver: FaultyReceiver) -> None:
    """While another process holds it mail is put off, commands can read, and then all goes on."""
    house = House(tmp_path, receiver.base_url)
    send = Sender(house)
    with house.running() as daemon:
        assert send() == 250
        with held_by_another_process(house.database):
            assert send() == 451
            assert daemon.get("/readyz").json()["checks"]["store"] == "locked"
            assert house.visit("mail", "list").returncode == 0
        send.until(250)
        send.assert_all_at(receiver)


def test_a_database_that_is_moved_away(tmp_path: Path, receiver: FaultyReceiver) -> None:
    """Nothing is accepted into a file that nobody will find; where it is put back all goes on."""
    house = House(tmp_path, receiver.base_url)
    send = Sender(house)
    with house.running() as daemon:
        assert send() == 250
        house.database.rename(tmp_path / "elsewhere.db")
        assert [send() for _ in range(3)] == [451] * 3
        assert daemon.get("/readyz").status_code == 503
        (tmp_path / "elsewhere.db").rename(house.database)
        send.until(250)
        send.assert_all_at(receiver)
        assert daemon.terminate() == 0
    assert_sound(house)


def test_a_header_that_is_zeroed_under_the_daemon(tmp_path: Path, receiver: FaultyReceiver) -> None:
    """Whatever becomes of the file, no mail is acknowledged that is lost; a start on what is left works, or says what to do."""
    house = House(tmp_path, receiver.base_url)
    send = Sender(house)
    with house.running() as daemon:
        assert [send() for _ in range(3)] == [250] * 3
        with house.database.open("r+b") as stream:
            stream.write(bytes(100))
        for _ in range(5):
            assert send() in (250, 451)
        send.assert_all_at(receiver)
        daemon.kill()
    again = house.start()
    try:
        again.until_ready()
    except AssertionError as words:
        assert "exit 78" in str(words)
        assert "move it away" in str(words)
        assert "Traceback" not in str(words)
    else:
        assert send() == 250
        send.assert_all_at(receiver)
    finally:
        again.kill()


def test_a_second_daemon_is_refused(tmp_path: Path, receiver: FaultyReceiver) -> None:
    """It ends with 78 and one sentence, and the first goes on."""
    house = House(tmp_path, receiver.base_url)
    with house.running() as daemon:
        second = House(tmp_path, receiver.base_url).start()  # the same folder, other ports
        assert second.process.wait(20) == 78
        assert "another mailbridge uses this database; stop it" in house.log.read_text()
        assert "Traceback" not in house.log.read_text()
        assert daemon.get("/healthz").status_code == 200


@pytest.mark.parametrize("fault", ["key gone", "key open to all", "damaged", "newer"])
def test_a_database_that_cannot_be_used(tmp_path: Path, receiver: FaultyReceiver, fault: str) -> None:
    """The daemon ends with 78 and one sentence that says what to do."""
    house = House(tmp_path, receiver.base_url)
    with house.running() as daemon:
        assert Sender(house)() == 250
        assert daemon.terminate() == 0
    key = house.database.with_suffix(".key")
    words = {"key gone": "restore it", "key open to all": "chmod 600", "damaged": "move it away", "newer": "upgrade mailbridge"}
    if fault == "key gone":
        key.unlink()
    elif fault == "key open to all":
        key.chmod(0o644)
    elif fault == "damaged":
        house.database.write_bytes(house.database.read_bytes()[:5_000])
    else:
        with apsw.Connection(str(house.database)) as connection:
            connection.pragma("user_version", 99)
    before = len(house.log.read_text())
    daemon = house.start()
    assert daemon.process.wait(20) == 78
    said = house.log.read_text()[before:]
    assert words[fault] in said
    assert "Traceback" not in said
