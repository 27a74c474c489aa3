"""The Cloudflare Worker, run by Node against the daemon: each mail is stored once, or thrown, so that its sender tries again."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.test_kill import deliveries_of
from tests.peers.daemon import RCPT, House, mail, wait_for
from tests.peers.faulty import Temper, running_faulty

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(shutil.which("node") is None, reason="needs Node: apt-get install nodejs")]

SECRET = "whsec_" + base64.b64encode(b"a secret for the Worker.").decode()
RESTARTS = 5


class Worker:
    """The Worker in a Node process."""

    def __init__(self, folder: Path, url: str, secret: str = SECRET) -> None:
        copy = folder / "worker.mjs"
        copy.write_bytes((ROOT / "config" / "cloudflare" / "worker.js").read_bytes())
        harness = ROOT / "tests" / "e2e" / "worker_harness.mjs"
        self._process = subprocess.Popen(
            ["node", str(harness), str(copy), url, secret], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hand(self, content: bytes, *, to: str = RCPT, sender: str = "bounce@larch.example") -> str:
        """Hand one mail over: ``stored``, ``rejected …`` or ``thrown …``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"from": sender, "to": to, "raw": base64.b64encode(content).decode()})
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline())["became"])

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def house_of(folder: Path, base_url: str) -> House:
    """A daemon that knows the Worker's secret."""
    secret = folder / "webhook_secrets"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    return House(folder, base_url, more=f'[ingest]\nwebhook_secrets_file = "{secret}"')


def test_what_the_worker_says_is_so(tmp_path: Path) -> None:
    """Stored octet for octet; an unknown recipient is rejected for good; with a wrong secret, and without a daemon, it throws."""
    content = mail("20000001", identifier="ann@example.com", sender="a@larch.example", number="1") + b"\xff\xfe..\r\n"
    with running_faulty(Temper()) as receiver:
        house = house_of(tmp_path, receiver.base_url)
        url = f"http://127.0.0.1:{house.http}"
        worker, stranger = Worker(tmp_path, url), Worker(tmp_path, url, SECRET.replace("YSBz", "YSBT"))
        try:
            assert worker.hand(content).startswith("thrown")
            with house.running() as daemon:
                assert worker.hand(content) == "stored"
                assert worker.hand(content, to="nobody@else.example") == "rejected 550 5.1.1 No such address here"
                assert stranger.hand(content) == "thrown mailbridge answered 401"
                wait_for(lambda: receiver.rows, "the code is pushed")
                words = [sys.executable, "-m", "mailbridge", "mail", "show", "1", "--raw", "--config", str(house.config)]
                shown = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=60, check=True)
                assert shown.stdout.endswith(content)
                assert daemon.terminate() == 0
        finally:
            worker.close()
            stranger.close()


def test_each_mail_is_stored_once_or_thrown(tmp_path: Path) -> None:
    """The daemon is killed and started again while mails come: what was said to be stored is, once, although its sender tries again
    whatever was thrown."""
    with running_faulty(Temper()) as receiver:
        house = house_of(tmp_path, receiver.base_url)
        worker = Worker(tmp_path, f"http://127.0.0.1:{house.http}")
        stored: list[str] = []
        thrown: Counter[str] = Counter()
        is_over = threading.Event()

        def send() -> None:
            number = 30_000_000
            while not is_over.is_set():
                number += 1
                content = mail(
                    str(number), identifier=f"user{number % 3}@example.com", sender="a@larch.example", number=str(number)
                )
                while (became := worker.hand(content)) != "stored":
                    assert became.startswith("thrown"), became
                    thrown[str(number)] += 1
                    time.sleep(0.02)
                stored.append(str(number))

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        try:
            for _ in range(RESTARTS):
                daemon = house.start()
                daemon.until_ready()
                before = len(stored)
                wait_for(lambda before=before: len(stored) >= before + 10, "mails come in")  # type: ignore[misc]
                os.kill(daemon.process.pid, signal.SIGKILL)
                daemon.process.wait()
            with house.running() as daemon:
                before = len(stored)
                wait_for(lambda: len(stored) >= before + 3, "mails come in")
                is_over.set()
                sending.join(30)
                wait_for(lambda: daemon.waiting() == 0, "the outbox is empty")
                assert daemon.terminate() == 0
        finally:
            is_over.set()
            worker.close()
        found = Counter(one.draft.content.reveal() for one in deliveries_of(house))
        print("stored", len(stored), "thrown", sum(thrown.values()))
        assert {code for code in stored if found[code] != 1} == set()
        assert sum(thrown.values()) > 0
