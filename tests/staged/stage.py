"""A stage for situations in which no code comes: a daemon of its own, a receiver that can fail, mails as the world sends them."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx

from tests.peers.daemon import Daemon, House, free_port, rows_of, wait_for
from tests.peers.faulty import FaultyReceiver, Temper, running_faulty

ANN, BOB = "ann@corp.com", "bob@corp.com"
OTP = "otp-7f3k9q2m4x8w@bridge.example"
SETTLED = ("delivered", "dead", "expired", "superseded")

SETTINGS = """
[smtp]
listen = ["127.0.0.1:{smtp}"]
tls = false
[http]
listen = "127.0.0.1:{http}"
[practice]
listen = "127.0.0.1:0"
[store]
url = "sqlite:///{folder}/state/mailbridge.db"
"""
SKYVERN = """
[skyvern]
base_url = "{base_url}"
api_key = "sk-canary-key-of-the-tests"
timeout = "2s"
grace = "1s"
"""
DOMAINS = '[domains]\naccept = ["bridge.example"]\n'
OPEN = DOMAINS + '[identity]\nlearn_from_skyvern = false\n[trust]\ndefault = "none"\n'
"""The whole domain is taken, and nothing has to be proven."""


@dataclass(kw_only=True)
class Stage:
    """One daemon and the receiver behind it. ``receiver`` may change its temper while the daemon runs."""

    house: House
    receiver: FaultyReceiver
    daemon: Daemon
    sent: int = 0
    notes: dict[str, Any] = field(default_factory=dict)

    def send(
        self,
        body: str,
        *,
        to: str = ANN,
        rcpt: str = OTP,
        sender: str = "no-reply@larch.example",
        subject: str = "Your sign-in code",
        age: timedelta = timedelta(),
        number: str = "",
        head: str = "",
    ) -> int:
        """Send a mail as a filter forwards it. Returns the SMTP code of the answer (RFC 5321)."""
        self.sent += 1
        written = format_datetime(datetime.now(UTC) - age)
        lines = [
            f"From: Larch Bank <{sender}>",
            f"To: {to}",
            f"Subject: {subject}",
            f"Date: {written}",
            f"Message-ID: <{number or self.sent}@larch.example>",
            *([head] if head else []),
            "",
            body,
            "",
        ]
        with smtplib.SMTP("127.0.0.1", self.house.smtp, local_hostname="mx.larch.example", timeout=10) as client:
            try:
                client.sendmail(sender, [rcpt], "\r\n".join(lines).encode())
            except smtplib.SMTPRecipientsRefused as refused:
                return next(iter(refused.recipients.values()))[0]
            except smtplib.SMTPResponseException as refused:
                return refused.smtp_code
        return 250

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """What a command that lists prints; one that finds something wrong ends with 1."""
        done = self.house.visit(*words, "--json")
        assert done.returncode in (0, 1), done.stderr
        return rows_of(done.stdout)

    def settled(self) -> None:
        """Wait until no delivery is on its way. A code of one minute may use it up."""
        wait_for(
            lambda: all(one["state"] in SETTLED for one in self.rows("delivery", "list")),
            "every delivery is settled",
            patience=120,
        )

    def tried(self) -> None:
        """Wait until a delivery was tried and has to be tried again, or is settled."""
        wait_for(lambda: any(one["attempts"] and one["reason"] for one in self.rows("delivery", "list")), "a delivery was tried")

    def red(self) -> None:
        """Wait until a mailbox is seen not to work."""
        wait_for(lambda: any(not one["is_well"] and one["reason"] for one in self.rows("imap", "status")), "a mailbox is red")

    def why(self, identifier: str, *more: str) -> list[dict[str, Any]]:
        """The causes that the daemon gives, the likeliest first."""
        done = self.house.visit("why", identifier, *more, "--json")
        assert done.returncode == 0, done.stderr
        causes: list[dict[str, Any]] = json.loads(done.stdout)["causes"]
        return causes

    def post(self, path: str, **options: Any) -> int:
        """A POST to its HTTP listener; the status."""
        url = f"http://127.0.0.1:{self.house.http}{path}"
        return httpx.post(url, trust_env=False, timeout=10, **options).status_code


@contextmanager
def stage(
    folder: Path, settings: str, temper: Temper | None = None, *, has_key: bool = True, is_down: bool = False
) -> Iterator[Stage]:
    """A daemon with these settings and a receiver of this temper, for the length of the block. ``is_down``: nobody listens there."""
    with running_faulty(replace(temper or Temper())) as receiver:  # its own: a play may change it
        base_url = f"http://127.0.0.1:{free_port()}" if is_down else f"http://{receiver.address}"
        house = House(folder, base_url)
        text = SETTINGS + (SKYVERN if has_key else "") + settings
        places = {"smtp": house.smtp, "http": house.http, "folder": folder, "base_url": base_url}
        for name, value in places.items():
            text = text.replace(f"{{{name}}}", str(value))
        house.config.write_text(text, encoding="utf-8")
        house.config.chmod(0o600)
        with house.running() as daemon:
            yield Stage(house=house, receiver=receiver, daemon=daemon)
