"""The daemon is killed in the middle of taking mail from a mailbox, again and again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import smtplib
import subprocess
import sys
import threading
import time
from pathlib import Path

import apsw
import pytest

from tests.ingress.imap.watched import code_mail
from tests.peers.dovecot import Dovecot, running_dovecot

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("KILLS", "5"))

CONFIG = """
[smtp]
listen = []
[http]
listen = "127.0.0.1:0"
[practice]
listen = "127.0.0.1:0"
[trust]
default = "none"
[store]
url = "sqlite:///{folder}/state/mailbridge.db"
[[imap]]
name = "box"
host = "localhost"
port = {port}
tls_ca = "{ca}"
username = "ann@corp.example"
password = "pw"
renew = "5s"
after = "keyword:Pushed"
"""


def kept(folder: Path) -> tuple[int, int]:
    """How many mails the store has, and up to which UID its cursor says so."""
    path = folder / "state" / "mailbridge.db"
    if not path.exists():
        return 0, 0
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(5_000)
    try:
        mails = connection.execute("SELECT count(*) FROM mail").fetchone()
        cursor = connection.execute("SELECT uid FROM cursor").fetchone()
    except (apsw.SQLError, apsw.BusyError):  # not made yet
        return 0, 0
    finally:
        connection.close()
    return (mails[0] if mails else 0), int(cursor[0]) if cursor else 0


class Delivery(threading.Thread):
    """Delivers a code every few milliseconds until told to stop."""

    def __init__(self, server: Dovecot) -> None:
        super().__init__(daemon=True)
        self.count = 0
        self.is_over = threading.Event()
        self._server = server

    def run(self) -> None:
        with smtplib.LMTP("127.0.0.1", self._server.lmtp) as client:
            while not self.is_over.wait(0.1):
                client.sendmail("a@b.example", ["ann@corp.example"], code_mail(str(100_000 + self.count)))
                self.count += 1


def started(folder: Path) -> subprocess.Popen[bytes]:
    """The daemon, in a process of its own."""
    command = [sys.executable, "-m", "mailbridge", "serve", "--config", str(folder / "mailbridge.toml")]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def test_kill_nine_loses_nothing(folder: Path) -> None:
    """After every kill the cursor is not ahead of the store; in the end every mail is there, each once, and every one is marked."""
    dice = random.Random(7)
    with running_dovecot(folder / "d") as server:
        (folder / "mailbridge.toml").write_text(CONFIG.format(folder=folder, port=server.imaps, ca=server.ca))
        (folder / "mailbridge.toml").chmod(0o600)
        delivery = Delivery(server)
        delivery.start()
        taken = 0
        for _ in range(KILLS):
            process = started(folder)
            until = time.monotonic() + 20
            while kept(folder)[0] <= taken and time.monotonic() < until:
                time.sleep(0.02)
            time.sleep(dice.uniform(0.0, 0.4))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            mails, cursor = kept(folder)
            assert mails > taken, (folder / "log").read_text()[-2000:]
            assert cursor <= mails, (folder / "log").read_text()[-3000:]
            taken = mails
        delivery.is_over.set()
        delivery.join()
        process = started(folder)
        until = time.monotonic() + 60 + delivery.count / 50
        while kept(folder)[0] < delivery.count and time.monotonic() < until:
            time.sleep(0.05)
        unmarked = ["search", "-u", "ann@corp.example", "mailbox", "INBOX", "not", "keyword", "Pushed"]
        while server.doveadm(*unmarked) and time.monotonic() < until:
            time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        assert server.doveadm(*unmarked) == ""
        assert kept(folder) == (delivery.count, delivery.count)
