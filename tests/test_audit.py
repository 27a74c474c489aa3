"""The audit of packages: each thing that pip-audit can answer, said by a program in its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT

CLEAN = {"name": "alder", "version": "1.0", "vulns": []}
FIXABLE = {"name": "birch", "version": "2.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2.1"]}]}
HOPELESS = {"name": "cedar", "version": "3.0", "vulns": [{"id": "PYSEC-2026-2", "fix_versions": []}]}
UNKNOWN = {"name": "dogwood", "skip_reason": "not found"}


def audit(program: str, *, patience: str = "20") -> tuple[int, str]:
    """Exit code and output of the audit with a Python program for pip-audit."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit", sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"AUDIT_TIMEOUT": patience},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def saying(*packages: dict[str, Any]) -> str:
    """A program that reports these packages, with pip-audit's exit code."""
    report = json.dumps({"dependencies": packages, "fixes": []})
    return f"print({report!r}); raise SystemExit({int(any(one.get('vulns') for one in packages))})"


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([CLEAN], 0, ["1 packages, 0 known weaknesses"]),
        ([CLEAN, FIXABLE], 1, ["birch 2.0: PYSEC-2026-1, fixed by: 2.1"]),
        ([CLEAN, HOPELESS], 0, ["cedar 3.0: PYSEC-2026-2, fixed by: nothing yet", "1 known weaknesses"]),
        ([CLEAN, UNKNOWN], 0, ["nothing is known of 1 of 2 packages: dogwood"]),
        ([UNKNOWN, FIXABLE], 1, ["birch 2.0: PYSEC-2026-1", "nothing is known of 1 of 2"]),
        ([UNKNOWN], 0, ["NOT DONE", "nothing is known of any of 1 packages"]),
    ],
)
def test_what_is_reported_decides(packages: list[dict[str, Any]], code: int, said: list[str]) -> None:
    """A weakness that a newer version fixes is a failure; nothing that was found, and nothing that was not looked at, is kept quiet."""
    found, text = audit(saying(*packages))
    assert found == code
    assert [one for one in said if one not in text] == []


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; sys.exit('the advisory service is not there')", "the advisory service is not there"),
        ("print('<html>')", "exit 0"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
    ],
)
def test_no_advisories_is_one_line_and_no_failure(program: str, why: str) -> None:
    """A service that is not there, that talks of something else, or that hangs is told in one line, in time."""
    code, text = audit(program, patience="1" if "sleep" in program else "20")
    assert code == 0
    assert len(text.splitlines()) == 1
    assert "NOT DONE" in text
    assert why in text
