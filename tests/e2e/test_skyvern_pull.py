"""A real Skyvern asks us: its own poll is given the code, its credential tool makes the same codes as we do."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers import skyvern as peer
from tests.peers.skyvern import Skyvern, running_skyvern
from tests.web.daemon import Daemon, Sender, running_daemon

pytestmark = pytest.mark.e2e

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
SHORT = "JBSWY3DPEHPK3PXP"
IDS: tuple[dict[str, Any], ...] = (
    {},
    {"task_id": "tsk_1"},
    {"task_id": "tsk_2", "workflow_run_id": "wr_1", "workflow_permanent_id": "wpid_1"},
)


@pytest.fixture(scope="module")
def skyvern(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Skyvern]:
    """One of their own, since its key is changed here."""
    if not peer.is_installed():
        pytest.skip(peer.MEND)
    with running_skyvern(tmp_path_factory.mktemp("skyvern")) as running:
        yield running


@pytest.fixture
def daemon(skyvern: Skyvern, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that pushes there, and that it may ask."""
    with running_daemon(tmp_path, f'[skyvern]\nbase_url = "{skyvern.base_url}"\n', SKYVERN_API_KEY=skyvern.api_key) as running:
        yield running


def send(daemon: Daemon, identifier: str, code: str, *, rcpt: str = "codes@bridge.example") -> None:
    """A mail through the listener."""

    async def work() -> None:
        sender = await Sender.connect(daemon.smtp)
        await sender.send(identifier, code, rcpt=rcpt)
        await sender.close()

    asyncio.run(work())


def fresh() -> str:
    """A mailbox that nobody has used before."""
    return f"ann.{secrets.token_hex(4)}@example.com"


def url(daemon: Daemon, identifier: str, *options: str) -> str:
    """What `mailbridge skyvern url` prints, with the port that is really listened on."""
    done = daemon.run("skyvern", "url", "--for", identifier, *options, MAILBRIDGE_HTTP__PUBLIC_URL=f"http://{daemon.http}")
    return done.stdout.strip()


def visit(daemon: Daemon, skyvern: Skyvern, *arguments: str, stdin: str = "") -> Any:
    """A command with Skyvern's key."""
    key = {"SKYVERN_API_KEY": skyvern.api_key, "SKYVERN_BASE_URL": skyvern.base_url}
    return daemon.run(*arguments, stdin=stdin, **key)


@pytest.mark.parametrize("options", [(), ("--hidden",)], ids=["plain", "hidden"])
def test_a_poll_is_given_the_code_of_a_mail_that_came(daemon: Daemon, skyvern: Skyvern, options: tuple[str, ...]) -> None:
    """With the URL as it is printed, with ids and without: first nothing, which is no breach of contract, then the code."""
    identifier = fresh()
    address = url(daemon, identifier, *options)
    for ids in IDS:
        empty = skyvern.poll(address, **ids)
        assert (empty["value"], empty["is_conforming"]) == (None, True)
    send(daemon, identifier, "482913")
    for ids in IDS:
        assert skyvern.poll(address, **ids)["value"] == "482913"
    assert "482913" not in daemon.log


def test_a_run_that_waits_is_given_the_code_while_it_polls(daemon: Daemon, skyvern: Skyvern) -> None:
    """Skyvern's whole loop, with pushes on at the same time: the mail comes between two polls, and both ways hold the code."""
    identifier = fresh()
    found: list[dict[str, Any]] = []
    asked = {"url": url(daemon, identifier), "identifier": identifier, "task_id": "tsk_1", "seconds": "60", "kind": "totp"}
    waiting = threading.Thread(target=lambda: found.append(skyvern.ask("wait", **asked)))
    waiting.start()
    until = time.monotonic() + 30
    while identifier not in daemon.run("codes", "waiting", "--url", f"http://{daemon.http}").stdout:
        assert time.monotonic() < until
        time.sleep(0.1)
    send(daemon, identifier, "571930")
    waiting.join(60)
    assert found[0]["value"] == "571930"
    assert skyvern.resolve(identifier).value == "571930"
    given = [json.loads(line) for line in daemon.run("codes", "given", "--json").stdout.splitlines()]
    assert [(one["identifier"], one["who"]) for one in given] == [(identifier, "tsk_1")]


def test_a_code_that_is_bound_to_a_run_is_given_to_that_run(daemon: Daemon, skyvern: Skyvern) -> None:
    """A run tag in the recipient address: the run gets it, another run goes on waiting."""
    identifier, run = fresh(), skyvern.make_run()
    address = url(daemon, identifier)
    send(daemon, identifier, "604417", rcpt=f"codes+{run}@bridge.example")
    assert skyvern.poll(address, workflow_run_id="wr_other")["value"] is None
    assert skyvern.poll(address, workflow_run_id=run)["value"] == "604417"


def test_an_authenticator_answers_polls(daemon: Daemon, skyvern: Skyvern) -> None:
    """Also one of 80 bits, which Skyvern's own tool refuses."""
    identifier = fresh()
    assert daemon.run("totp", "add", "short", "--for", identifier, stdin=SHORT).returncode == 0
    polled = skyvern.poll(url(daemon, identifier))["value"]
    assert polled == daemon.run("totp", "code", "short").stdout.strip()
    refused = visit(daemon, skyvern, "skyvern", "push-credential", "short", "--username", "ann", stdin="\n")
    assert refused.returncode == 69
    assert "112 bits" in refused.stderr


@pytest.mark.parametrize("options", ["", "&algorithm=SHA256&digits=8", "&algorithm=SHA512&period=60"])
def test_a_secret_in_skyvern_makes_our_codes(daemon: Daemon, skyvern: Skyvern, options: str) -> None:
    """The credential is stored with its identifier, its codes are ours, and `skyvern check` sees what it names."""
    identifier = fresh()
    name = secrets.token_hex(4)
    added = daemon.run("totp", "add", name, stdin=f"otpauth://totp/x?secret={SECRET}{options}")
    assert added.returncode == 0, added.stderr
    arguments = ("skyvern", "push-credential", name, "--username", "ann", "--identifier", identifier, "--json")
    pushed = visit(daemon, skyvern, *arguments, stdin="pass word\n")
    assert pushed.returncode == 0, pushed.stderr
    assert json.loads(pushed.stdout)["is_same_code"] is True
    checked = json.loads(visit(daemon, skyvern, "skyvern", "check", "--json").stdout)
    assert identifier in checked["expected"]
    assert checked["version"].startswith("1.0.")
    assert SECRET not in pushed.stdout + pushed.stderr + added.stdout + added.stderr + daemon.log


def test_check_names_what_matches_nothing(daemon: Daemon, skyvern: Skyvern) -> None:
    """An identifier of ours that no credential names is told, with its nearest; a wrong key is told as that."""
    mailbox = f"ben.{secrets.token_hex(4)}"
    daemon.run("totp", "add", "one", stdin=SECRET)
    visit(
        daemon,
        skyvern,
        "skyvern",
        "push-credential",
        "one",
        "--username",
        "x",
        "--identifier",
        f"{mailbox}+a@example.com",
        stdin="\n",
    )
    send(daemon, f"{mailbox}@example.com", "111222")
    checked = visit(daemon, skyvern, "skyvern", "check")
    assert checked.returncode == 3
    assert f"{mailbox}@example.com: none of Skyvern's credentials names it" in checked.stderr
    assert f"{mailbox}+a@example.com" in checked.stderr
    wrong = daemon.run("skyvern", "check", SKYVERN_API_KEY="wrong", SKYVERN_BASE_URL=skyvern.base_url)
    assert wrong.returncode == 69
    assert "refuses the API key" in wrong.stderr


def test_after_a_new_key_polls_need_it_and_both_may_be_listed(daemon: Daemon, skyvern: Skyvern, tmp_path: Path) -> None:
    """Skyvern signs with its newest key at once: unknown it is 401, beside the older one in [pull] keys it is answered."""
    identifier = fresh()
    key = str(skyvern.ask("rotate")["key"])
    send(daemon, identifier, "482913")
    refused = skyvern.poll(url(daemon, identifier))
    assert (refused["value"], refused["statuses"]) == (None, [401])
    folder = tmp_path / "with both"
    folder.mkdir()
    with running_daemon(folder, f'[pull]\nkeys = ["{skyvern.api_key}", "{key}"]\n') as knowing:
        send(knowing, identifier, "571930")
        assert skyvern.poll(url(knowing, identifier))["value"] == "571930"
