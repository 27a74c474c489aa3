"""A store that cannot be written while mail comes to a watched mailbox on a real server: the mail waits where it is."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import apsw
import pytest

from tests.ingress.imap.watched import ANN, code_mail
from tests.peers.daemon import Daemon, House, wait_for
from tests.peers.dovecot import running_dovecot
from tests.peers.faulty import running_faulty
from tests.store.test_sqlite_contract import held_by_another_process

pytestmark = pytest.mark.e2e

MAILBOX = """
[[imap]]
name = "box"
host = "localhost"
port = {port}
tls_ca = "{ca}"
username = "ann@corp.example"
password = "pw"
renew = "5s"
"""


def by_another(number: int) -> bytes:
    """A code by a sender of its own: of one sender's codes that wait only the newest is pushed."""
    return code_mail(str(number)).replace(b"no-reply@", b"no-reply%d@" % number)


@contextmanager
def small(state: Path) -> Iterator[None]:
    """A file system of 3 MB there, for the length of the block."""
    state.mkdir(mode=0o700)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(state)]).returncode:
        pytest.skip("mounting a small file system needs root and CAP_SYS_ADMIN: run it as root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(state)], check=True)


@contextmanager
def full(house: House, daemon: Daemon) -> Iterator[None]:
    """No octet more fits on the disk."""
    filler = house.database.parent / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4_096))
    yield
    filler.unlink()


@contextmanager
def limited(house: House, daemon: Daemon) -> Iterator[None]:
    """No file may grow."""
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
    yield
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def held(house: House, daemon: Daemon) -> Iterator[None]:
    """Another process holds the database."""
    with held_by_another_process(house.database):
        yield


@contextmanager
def moved(house: House, daemon: Daemon) -> Iterator[None]:
    """The database is elsewhere."""
    elsewhere = house.database.with_name("elsewhere")
    house.database.rename(elsewhere)
    yield
    elsewhere.rename(house.database)


TROUBLES: dict[str, Callable[[House, Daemon], AbstractContextManager[None]]] = {
    "full": full,
    "limited": limited,
    "held": held,
    "moved": moved,
}


@pytest.mark.parametrize("name", TROUBLES)
def test_a_store_that_cannot_be_written_loses_no_mail(folder: Path, name: str) -> None:
    """Nothing is pushed and the mailbox says why while the trouble lasts; then every code is pushed, each once."""
    with contextlib.ExitStack() as stack:
        if name == "full":
            stack.enter_context(small(folder / "state"))
        server = stack.enter_context(running_dovecot(folder / "d"))
        receiver = stack.enter_context(running_faulty())
        house = House(folder, receiver.base_url, more=MAILBOX.format(port=server.imaps, ca=server.ca))
        house.config.chmod(0o600)
        daemon = stack.enter_context(house.running())

        def mailbox() -> dict[str, object]:
            row: dict[str, object] = daemon.get("/readyz").json()["mailboxes"][0]
            return row

        def is_deferred(number: int) -> bool:
            """Whether a mail that came is not stored; one that is stored is pushed."""
            wait_for(lambda: mailbox()["mode"] == "deferring" or str(number) in receiver.codes(ANN), f"{number} is seen")
            return str(number) not in receiver.codes(ANN)

        wait_for(lambda: mailbox()["mode"] in ("idle", "notify"), "the mailbox is watched")
        server.deliver(by_another(500_000))
        wait_for(lambda: receiver.codes(ANN) == ["500000"], "a code while all is well")
        with TROUBLES[name](house, daemon):
            number = 500_001
            server.deliver(by_another(number))
            # A full disk may have room left in a file's last page. Each mail is waited for: of unknown senders only a few codes may wait.
            while number < 500_400 and not is_deferred(number):
                number += 1
                server.deliver(by_another(number))
            wait_for(lambda: mailbox()["mode"] == "deferring", "the mailbox defers")
            health = mailbox()
            assert not health["is_well"] and "the store does not take mail" in str(health["reason"])
            server.deliver(by_another(number + 1))
            before = len(receiver.rows)
            assert str(number + 1) not in receiver.codes(ANN)
        wait_for(lambda: len(set(receiver.codes(ANN))) == number + 2 - 500_000, "every code", patience=40)
        assert before < number + 2 - 500_000
        assert Counter(receiver.codes(ANN)) == Counter(str(one) for one in range(500_000, number + 2))
        wait_for(lambda: mailbox()["is_well"] and not mailbox()["reason"], "the mailbox is well again")


TOO_MANY = "too many of senders that are not known waited"


def states(house: House) -> Counter[tuple[str, str]]:
    """How many deliveries are in which state, and why."""
    with contextlib.closing(apsw.Connection(str(house.database))) as connection:
        connection.set_busy_timeout(5_000)
        return Counter((str(state), str(reason)) for state, reason in connection.execute("SELECT state, reason FROM delivery"))


@pytest.mark.parametrize("name", TROUBLES)
def test_sixty_mails_during_the_trouble_are_each_handled_once(folder: Path, name: str) -> None:
    """Codes of sixty senders come while nothing can be written: afterwards each is in the store once, pushed once, or superseded since
    of senders that are not known only so many may wait; none is left over."""
    with contextlib.ExitStack() as stack:
        if name == "full":
            stack.enter_context(small(folder / "state"))
        server = stack.enter_context(running_dovecot(folder / "d"))
        receiver = stack.enter_context(running_faulty())
        house = House(folder, receiver.base_url, more=MAILBOX.format(port=server.imaps, ca=server.ca))
        house.config.chmod(0o600)
        daemon = stack.enter_context(house.running())

        def mailbox() -> dict[str, object]:
            row: dict[str, object] = daemon.get("/readyz").json()["mailboxes"][0]
            return row

        wait_for(lambda: mailbox()["mode"] in ("idle", "notify"), "the mailbox is watched")
        with TROUBLES[name](house, daemon):
            for number in range(500_000, 500_060):
                server.deliver(by_another(number))
            wait_for(lambda: mailbox()["mode"] == "deferring", "the mailbox defers")
            assert len(receiver.rows) < 60, "nothing was tried"
        settled = ("delivered", "superseded")
        wait_for(lambda: sum(count for (state, _), count in states(house).items() if state in settled) >= 60, "sixty codes")
        wait_for(lambda: mailbox()["is_well"], "the mailbox is well again")
        found = states(house)
        print(f"{name}: {dict(found)}")
        assert set(found) <= {("delivered", ""), ("superseded", TOO_MANY)} and found.total() == 60
        assert len(receiver.codes(ANN)) == len(set(receiver.codes(ANN))) == found["delivered", ""]
