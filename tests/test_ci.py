"""What `.ci/run` does with a test that fails: it is run once more, and named where it passes then."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AGAIN = ("--last-failed", "--last-failed-no-failures=none")
SAMPLE = """
from pathlib import Path

def test_good():
    pass

def test_unsteady():
    seen = Path("seen")
    was = seen.exists()
    seen.touch()
    assert was

def test_broken():
    assert Path("repaired").exists()
"""


def test_what_passes_only_the_second_time_is_named(tmp_path: Path) -> None:
    """The second run is red while one test fails again; whatever passes then is FLAKY, and nothing that had passed before."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    listed = tmp_path / "flaky"
    assert pytest_in(tmp_path).returncode == 1
    second = pytest_in(tmp_path, *AGAIN, MAILBRIDGE_FLAKY=str(listed))
    assert second.returncode == 1
    assert [line for line in second.stdout.splitlines() if line.startswith("FLAKY")] == ["FLAKY test_sample.py::test_unsteady"]
    (tmp_path / "repaired").touch()
    assert pytest_in(tmp_path, *AGAIN, MAILBRIDGE_FLAKY=str(listed)).returncode == 0
    assert listed.read_text().splitlines() == ["FLAKY test_sample.py::test_unsteady", "FLAKY test_sample.py::test_broken"]


def test_the_script_lists_them_and_says_so() -> None:
    """Each step's second run writes the list, and the end of the script prints it."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'MAILBRIDGE_FLAKY="$flaky"' in script
    assert " ".join(AGAIN) in script
    assert script.rstrip().endswith('cat "$flaky"')


def pytest_in(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One run of the tests in a folder, by itself."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MAILBRIDGE_"))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--rootdir",
        ".",
        "-c",
        os.devnull,
        "-o",
        f"cache_dir={folder / 'cache'}",
        *options,
    ]
    return subprocess.run(command, cwd=folder, env={**inherited, **environment}, capture_output=True, text=True, check=False)
