"""`mailbridge imap test` against a real Dovecot: what is configured wrong is one message with the account and the fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbridge.ingress.tls import self_signed
from tests.peers import dovecot as peer
from tests.peers.dovecot import Dovecot, running_dovecot

pytestmark = pytest.mark.e2e

GOOD = {"host": "localhost", "port": 0, "tls_ca": "", "username": "ann@corp.example", "password": "pw"}
CONSENT = {
    "provider": "custom",
    "client_id": "app",
    "scope": "mail",
    "token_url": "https://idp.example/token",
    "auth_url": "https://idp.example/auth",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    """A server whose accounts can be got wrong."""
    if not peer.is_installed():
        pytest.skip(peer.MEND)
    with running_dovecot(tmp_path_factory.mktemp("dovecot") / "d") as one:
        yield one


def asked(folder: Path, server: Dovecot, **changes: object) -> subprocess.CompletedProcess[str]:
    """`imap test box`, where the account is right but for the changes; None leaves a key out."""
    account = {**GOOD, "port": server.imaps, "tls_ca": str(server.ca), **changes}
    lines = [f"{key} = {_toml(value)}" for key, value in account.items() if value is not None]
    text = f'[store]\nurl = "sqlite:///{folder}/state/mailbridge.db"\n[[imap]]\nname = "box"\n' + "\n".join(lines)
    config = folder / "mailbridge.toml"
    config.write_text(text)
    config.chmod(0o600)
    return subprocess.run(
        [sys.executable, "-m", "mailbridge", "imap", "test", "box", "--idle", "0.1", "--config", str(config)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


STEPS = ("connect:", "login:", "folders:", "open", "fetch:", "idle:")


def test_what_is_right_passes(tmp_path: Path, server: Dovecot) -> None:
    """Every step is ok; exit 0."""
    done = asked(tmp_path, server)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["ok", step] for step in STEPS]


BAD: dict[str, tuple[dict[str, object], list[str]]] = {
    "wrong password": ({"password": "hunter-2"}, ["login", "refuses the login", "check username and password"]),
    "no such host": ({"host": "mail.nowhere.invalid"}, ["connect", "mail.nowhere.invalid", "is the name right"]),
    "another's host name": ({"host": "127.0.0.1"}, ["connect", "certificate of 127.0.0.1", "fix host"]),
    "nobody at the port": ({"port": 1}, ["connect", "port 1", "connection refused", "port right"]),
    "wrong CA": ({"tls_ca": "other"}, ["connect", "cannot be trusted", "tls_ca"]),
    "no CA": ({"tls_ca": None}, ["connect", "cannot be trusted", "tls_ca"]),
    "TLS at the plain port": ({"port": "plain"}, ["connect", "speaks no TLS", 'tls = "starttls"']),
    "plain at the TLS port": ({"tls": "none", "tls_ca": None}, ["connect", "sends no greeting", 'tls = "tls"']),
    "STARTTLS at the TLS port": ({"tls": "starttls"}, ["connect", "sends no greeting", 'tls = "tls"']),
    "missing folder": ({"folders": ["INBOX", "Codes"]}, ["open Codes", "'Codes' cannot be opened"]),
    "missing consent": ({"password": None, "oauth": CONSENT}, ["login", "mailbridge oauth login box"]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_one_message_with_the_mend(tmp_path: Path, server: Dovecot, name: str) -> None:
    """The first step that fails is the last line, it names the account and what to do; exit 69, no password, no traceback."""
    changes, told = BAD[name]
    if changes.get("port") == "plain":
        changes = {**changes, "port": server.imap}
    if changes.get("tls_ca") == "other":
        self_signed(tmp_path, "localhost")
        changes = {**changes, "tls_ca": str(tmp_path / "tls-cert.pem")}
    done = asked(tmp_path, server, **changes)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (69, "")
    assert [line.startswith("FAIL") for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1].startswith(f"FAIL {told[0]}: account 'box': ")
    assert all(word in lines[-1] for word in told[1:]), lines[-1]
    assert "hunter-2" not in done.stdout
