"""The public suites of what the gate rests on: nothing that they refuse is believed, and what mailbridge refuses beyond is explained."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.suites.run import SUITES, Report, first

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def folders() -> list[Path]:
    """The folder that is named, if one is, the one beside the project, and the one that packages' own were fetched into."""
    found = [Path(one) for one in (os.environ.get("MAILBRIDGE_SUITES"), ROOT.parent / "shared" / "suites") if one]
    fetched = subprocess.run([ROOT / "tests" / "suites" / "fetch"], capture_output=True, text=True, check=False)
    return [*found, Path(fetched.stdout.strip())] if fetched.returncode == 0 else found


@pytest.mark.parametrize("name", SUITES)
def test_a_public_suite_opens_nothing(folders: list[Path], name: str) -> None:
    """No case is believed that the suite refuses; those that are refused although it believes them are the explained ones, exactly."""
    report = first(name, folders)
    if not isinstance(report, Report):
        pytest.skip(f"{report}; put it into a folder and name that in MAILBRIDGE_SUITES")
    assert report.faults == (), str(report)
    assert report.count > 10
