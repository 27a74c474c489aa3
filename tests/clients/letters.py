"""Mails to a running daemon, and when it has somebody waiting for them."""

from __future__ import annotations

import smtplib
import time

import httpx

from tests.web.daemon import Daemon

PATIENCE = 60.0
_COUNT = iter(range(1, 1_000_000))


def send(
    daemon: Daemon,
    to: str,
    code: str = "",
    *,
    link: str = "",
    rcpt: str = "codes@bridge.example",
    sender: str = "no-reply@github.com",
) -> None:
    """A mail with a code, with a link, or with neither, through the listener."""
    text = f"Your verification code is {code}" if code else f"Sign in to GitHub with this link:\n{link}" if link else "Nothing."
    subject = "Your code" if code else "Your sign-in link" if link else "Hello"
    content = f"From: {sender}\nTo: {to}\nSubject: {subject}\nMessage-ID: <{next(_COUNT)}.{time.time_ns()}@x>\n\n{text}\n"
    host, _, port = daemon.smtp.rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=PATIENCE) as server:
        server.sendmail(sender, [rcpt], content)


def until_waited_for(daemon: Daemon, *identifiers: str) -> None:
    """Return once somebody holds a request open for each of these identifiers."""
    until = time.monotonic() + PATIENCE
    with httpx.Client(base_url=f"http://{daemon.http}", headers=daemon.headers, trust_env=False) as client:
        while True:
            waits = client.get("/api/v1/waiting").json()["waiting"]
            missing = set(identifiers) - {one["identifier"] for one in waits if one["until"] > one["since"]}
            if not missing:
                return
            assert time.monotonic() < until, f"nobody waits for {missing}"
            time.sleep(0.02)
