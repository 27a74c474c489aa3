"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real mails that is kept beside the project, where it is there."""
    folder = Path(os.environ.get("MAILBRIDGE_SHARED", ROOT.parent / "shared"))
    if not (folder / "eml" / "index.jsonl").exists():
        pytest.skip(f"no corpus of real mails at {folder}: set MAILBRIDGE_SHARED to the folder that holds eml/ and corpus/")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In the second run of what failed (`.ci/run`): name what passes now, on the terminal and in the file that MAILBRIDGE_FLAKY names."""
    path = os.environ.get("MAILBRIDGE_FLAKY")
    if path:
        lines = [f"FLAKY {report.nodeid}" for report in terminalreporter.stats.get("passed", ())]
        with Path(path).open("a", encoding="utf-8") as listed:
            listed.writelines(f"{line}\n" for line in lines)
        for line in lines:
            terminalreporter.write_line(line)
