"""Commands in this process, in a folder of their own, with nothing of the tester's environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbridge.cli import cli
from mailbridge.cli.faults import ended
from tests.cli.running import Daemon, Done, Run, serving


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, made the working one and the home, and an environment without our variables."""
    for name in os.environ:
        if name.startswith(("MAILBRIDGE_", "SKYVERN_", "XDG_", "CREDENTIALS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, by the way that the program itself takes."""

    def go(*args: str) -> Done:
        try:
            code = ended(lambda: cli.main(list(args), standalone_mode=False, prog_name="mailbridge"))
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
        out, err = capsys.readouterr()
        return Done(code=code, out=out, err=err)

    return go


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One running daemon for the tests of a module, with a practice receiver."""
    with serving(tmp_path_factory.mktemp("daemon")) as one:
        yield one
