"""Every command in every state of the daemon gives one clear answer: it runs, it does not, it is starting, or it is another user's."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from mailbridge.cli.exits import Exit
from tests.cli.everything import ROWS, Row, answered
from tests.cli.running import environment, serving, without_privilege

ROOT = Path(__file__).resolve().parents[2]
STATE = ".local/state/mailbridge"
STRANGER = 12_345
"""A user id that nobody has."""


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The databases that this process opens."""
    found: list[str] = []

    def note(connection: apsw.Connection) -> None:
        found.append(connection.filename)

    apsw.connection_hooks.append(note)
    yield found
    apsw.connection_hooks.remove(note)


def is_one_answer(errors: str) -> bool:
    """Whether each line says something of ours, and none of it is a traceback."""
    lines = errors.splitlines()
    return "Traceback" not in errors and "a bug in" not in errors and all(line.strip() for line in lines)


def test_there_are_forty_commands() -> None:
    """And none stands twice with one and the same expectation."""
    assert len({row.words for row in ROWS}) >= 40


def test_beside_a_daemon_no_database_is_opened(here: Path, opened: list[str]) -> None:
    """Every command does what it says by the socket alone; this process opens no database at all."""
    with serving(here):
        for row in ROWS:
            code, out, errors = answered(row)
            assert code == row.up, (row.words, code, out, errors)
            assert is_one_answer(errors), (row.words, errors)
            assert "no daemon is running" not in errors, row.words
            assert opened == [], row.words


def test_without_a_daemon_the_same_is_done_alone(here: Path) -> None:
    """What reads or changes does it over the database and says so; what only a daemon can do is exit 69."""
    with serving(here):
        pass
    for row in ROWS:
        code, out, errors = answered(row)
        assert code == row.down, (row.words, code, out, errors)
        assert is_one_answer(errors), (row.words, errors)
        assert "no daemon is running" in errors or row.words.startswith("send-test"), (row.words, errors)


def test_what_is_read_alone_changes_nothing(here: Path) -> None:
    """Reading without a daemon leaves the octets of the database as they are."""
    with serving(here):
        answered(ROWS[0])
    before = (here / STATE / "mailbridge.db").read_bytes()
    for words in ("mail list", "delivery list", "code list", "token list", "totp list", "address list", "config show"):
        assert answered(Row(words=words))[0] == Exit.OK, words
    assert (here / STATE / "mailbridge.db").read_bytes() == before


def test_a_daemon_that_starts_for_ever_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody has the database and nobody answers, every command is exit 75 and opens nothing."""
    monkeypatch.setattr("mailbridge.cli.client.STARTING", 0.02)
    (here / STATE).mkdir(parents=True)
    with (here / STATE / "mailbridge.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for row in ROWS:
            code, out, errors = answered(row)
            assert code == Exit.TRY_AGAIN, (row.words, code, out, errors)
            assert "it is starting or stopping" in errors.splitlines()[-1], (row.words, errors)


def test_a_daemon_that_is_starting_is_waited_for(here: Path) -> None:
    """A command that comes too early answers as soon as the daemon does."""
    with serving(here):
        answered(ROWS[0])
    (here / STATE / "mailbridge.sock").unlink(missing_ok=True)
    lock = (here / STATE / "mailbridge.db.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    threading.Timer(0.3, lock.close).start()  # the daemon gives up, and the command goes on alone
    code, out, errors = answered(Row(words="mail list --json"))
    assert (code, len(out.splitlines())) == (Exit.OK, 1), errors
    assert errors.splitlines()[0] == "mailbridge: the daemon is starting; waiting for it"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make what another user has")
def test_another_users_daemon_is_a_matter_of_permission(here: Path) -> None:
    """Every command is exit 77, and names whose daemon it is."""
    with serving(here):
        state = here / STATE
        for path in (*state.iterdir(), state):
            os.chown(path, STRANGER, STRANGER)
        done = subprocess.run(
            [sys.executable, "-m", "tests.cli.everything"],
            cwd=here,
            env=environment(here) | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            preexec_fn=without_privilege,
            check=True,
        )
        for row, (code, out, errors) in zip(ROWS, json.loads(done.stdout), strict=True):
            assert code == Exit.PERMISSION, (row.words, code, out, errors)
            assert f"is for user {STRANGER}" in errors, (row.words, errors)
            assert is_one_answer(errors), (row.words, errors)


def test_names_of_the_first_release_are_understood_and_not_listed(here: Path) -> None:
    """`deliver`, `codes`, `rules`, `token new` and `address new` do what they did; help shows the new names alone."""
    with serving(here):
        for words in ("deliver list", "codes list", "token new --identifier x@example.com", "address new --domain x.example"):
            assert answered(Row(words=words))[0] == Exit.OK, words
    listed = answered(Row(words="--help"))[1]
    names = {line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line.strip()}
    assert not {"deliver", "codes", "rules"} & names
    assert {"delivery", "code", "rule"} <= names
    assert "new" not in {line.split()[0] for line in answered(Row(words="token --help"))[1].splitlines() if line.strip()}
