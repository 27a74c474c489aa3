"""How commands end: readers that leave, bugs, full disks, and several faults at once."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import ended
from mailbridge.cli.serve import run as run_loop
from mailbridge.net.listening import ListenError
from mailbridge.store import StoreError
from tests.cli.running import PATIENCE, PLAIN, PROGRAM, Run, command, environment, without_privilege


def _left_after_a_line(*args: str, cwd: Path) -> tuple[int, str]:
    """Exit code and stderr of a command whose reader goes away after one line."""
    process = subprocess.Popen(
        [*PROGRAM, *args], cwd=cwd, env=environment(cwd), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(1)
    process.stdout.close()
    told = process.stderr.read().decode()
    return process.wait(PATIENCE), told


@pytest.mark.parametrize("args", [("demo", "--once", "--json"), ("extract", "--json", "mails")])
def test_a_reader_that_leaves_is_no_fault(args: tuple[str, ...], tmp_path: Path) -> None:
    """``| head -1`` ends a command quietly with 141, also from within a running daemon's task groups."""
    folder = tmp_path / "mails"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:03}.eml").write_text(PLAIN % (number, 482913), newline="")
    assert _left_after_a_line(*args, cwd=tmp_path) == (141, "")


def test_a_bug_is_one_place_and_not_its_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An unforeseen exception is exit 70 and where it happened; its text, which may hold a code, is not shown."""
    monkeypatch.delenv("MAILBRIDGE_DEBUG", raising=False)

    def work() -> None:
        raise LookupError("code 482913")

    assert ended(work) == Exit.BUG
    told = capsys.readouterr().err
    assert "LookupError at" in told
    assert "test_faults.py" in told
    assert "MAILBRIDGE_DEBUG=1" in told
    assert "482913" not in told
    assert "Traceback" not in told


def test_a_traceback_is_shown_to_those_who_ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With MAILBRIDGE_DEBUG the whole traceback comes before the line."""
    monkeypatch.setenv("MAILBRIDGE_DEBUG", "1")

    def work() -> None:
        raise LookupError("what happened")

    assert ended(work) == Exit.BUG
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "what happened" in told


@pytest.mark.parametrize("fault", [ValueError("a bug"), KeyError("a bug"), TypeError("a bug")])
def test_a_value_error_in_the_daemon_is_a_bug(fault: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """What is raised deep in the loop, and in its task groups, is exit 70: no bug passes for a mistake of the operator's."""

    async def work() -> int:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
        return 0

    async def failing() -> None:
        raise fault

    assert ended(lambda: run_loop(work())) == Exit.BUG
    assert type(fault).__name__ in capsys.readouterr().err


def test_every_foreseen_fault_of_a_group_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A taken port and a bad database at once are two lines, and the exit code of a bad set-up."""

    def work() -> None:
        raise ExceptionGroup("start", [ListenError("cannot listen on x", 77), StoreError("the database is damaged")])

    assert ended(work) == Exit.CONFIG
    assert capsys.readouterr().err.splitlines() == [
        "mailbridge: cannot listen on x",
        "mailbridge: the database is damaged",
    ]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which Linux has")  # noqa: PTH110
def test_a_full_disk_under_the_output_is_one_line(tmp_path: Path) -> None:
    """Output that cannot be written is exit 1 and the system's own words."""
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [*PROGRAM, "config", "show"],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == Exit.GENERAL
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_file_that_may_not_be_read_is_exit_77(tmp_path: Path) -> None:
    """A mail of somebody else's, given to `extract`: its name and the reason, and no bug of ours."""
    (tmp_path / "theirs.eml").write_text("Subject: x\n\n")
    (tmp_path / "theirs.eml").chmod(0)
    done = command("extract", "theirs.eml", cwd=tmp_path, preexec_fn=without_privilege)
    assert (done.code, done.err) == (Exit.PERMISSION, "mailbridge: theirs.eml: Permission denied\n")


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    """A word that is no command, an option that is none and a missing argument are exit 2."""
    for args in (("nosuch",), ("mail", "list", "--nosuch"), ("extract",), ("--set", "nonsense", "version")):
        done = run(*args)
        assert done.code == Exit.USAGE, args
        assert "Traceback" not in done.err


def test_debug_is_an_option_too(tmp_path: Path) -> None:
    """``mailbridge --debug`` shows the traceback of whatever the command meets."""
    (tmp_path / "mailbridge.toml").write_text("[smtp]\nlisten = ['127.0.0.1:0']\n")
    done = command("--debug", "version", cwd=tmp_path)
    assert done.code == 0
    assert done.out.startswith("mailbridge ")
