"""`mailbridge inbox` beside a daemon: one JSON object a call, exit 4 when nothing came in time."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.daemon import ADMIN, Daemon, Sender, running_daemon

CODES = itertools.count(482_913)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running one, which has no Skyvern key and asks for no proof."""
    with running_daemon(tmp_path_factory.mktemp("inbox")) as one:
        yield one


def inbox(daemon: Daemon, *arguments: str, exit_code: int = 0, **variables: str) -> Any:
    """The one object that a command prints."""
    done = daemon.run("inbox", *arguments, **variables)
    assert done.returncode == exit_code, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def send(daemon: Daemon, address: str) -> str:
    """A mail with a code for an inbox; the code."""
    number = str(next(CODES))

    async def work() -> None:
        sender = await Sender.connect(daemon.smtp)
        await sender.send("somebody@else.example", number, rcpt=address)
        await sender.close()

    asyncio.run(work())
    return number


@pytest.mark.parametrize("is_far", [False, True])
def test_a_sign_up_from_the_first_call_to_the_last(daemon: Daemon, is_far: bool) -> None:
    """By the socket and by URL and token: made, waited for, the newest shown again, released."""
    far = ("--url", f"http://{daemon.http}") if is_far else ()
    made = inbox(daemon, "create", "--lifetime", "10m", *far, MAILBRIDGE_TOKEN=ADMIN)
    assert made["id"] in [one["id"] for one in inbox(daemon, "list", *far, MAILBRIDGE_TOKEN=ADMIN)["inboxes"]]
    number = send(daemon, made["address"])
    assert inbox(daemon, "wait-otp", made["address"], "--keep", *far, MAILBRIDGE_TOKEN=ADMIN)["code"] == number
    found = inbox(daemon, "wait-otp", str(made["id"]), *far, MAILBRIDGE_TOKEN=ADMIN)
    assert (found["code"], found["kind"], found["from"]) == (number, "code", "no-reply@github.com")
    nothing = inbox(daemon, "wait-otp", made["address"], "--timeout", "0", *far, exit_code=4, MAILBRIDGE_TOKEN=ADMIN)
    assert nothing["code"] is None
    assert inbox(daemon, "latest", made["address"], *far, MAILBRIDGE_TOKEN=ADMIN)["code"] == number
    assert (
        inbox(daemon, "wait-link", made["address"], "--timeout", "0", *far, exit_code=4, MAILBRIDGE_TOKEN=ADMIN)["code"] is None
    )
    assert inbox(daemon, "release", made["address"], *far, MAILBRIDGE_TOKEN=ADMIN)["released"] is True
    assert inbox(daemon, "release", made["address"], *far, exit_code=4, MAILBRIDGE_TOKEN=ADMIN) is None
    assert inbox(daemon, "latest", made["address"], *far, exit_code=4, MAILBRIDGE_TOKEN=ADMIN) is None


def test_an_inbox_that_is_over_is_gone(daemon: Daemon) -> None:
    """Its time ends it: mail for it is refused for good, by a reply that says so, and who asks for its codes hears that it is over."""
    made = inbox(daemon, "create", "--lifetime", "6s")
    number = send(daemon, made["address"])
    assert inbox(daemon, "wait-otp", made["address"], "--keep")["code"] == number
    until = time.monotonic() + 30
    while made["id"] in [one["id"] for one in inbox(daemon, "list")["inboxes"]]:
        assert time.monotonic() < until, "it does not end"
        time.sleep(0.05)
    with pytest.raises(RuntimeError, match=r"550 5\.1\.1 No such recipient here"):
        send(daemon, made["address"])
    for arguments in (("wait-otp", made["address"]), ("latest", made["address"]), ("release", str(made["id"]))):
        assert inbox(daemon, *arguments, exit_code=4) is None


def test_a_wish_that_cannot_be_is_a_usage_error(daemon: Daemon) -> None:
    """A duration that is none, a domain that is none."""
    for arguments in (("--lifetime", "soon"), ("--from", "*")):
        assert inbox(daemon, "create", *arguments, exit_code=2) is None


def test_without_a_daemon_it_says_so(tmp_path: Path, daemon: Daemon) -> None:
    """Exit 69, and nothing on standard output."""
    (tmp_path / "mailbridge.toml").write_text(f'[store]\nurl = "sqlite:///{tmp_path}/mailbridge.db"\n')
    assert inbox(daemon, "create", exit_code=69, MAILBRIDGE_CONFIG=str(tmp_path / "mailbridge.toml")) is None
