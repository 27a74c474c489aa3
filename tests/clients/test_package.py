"""The Python package by itself: what its wheel holds and needs, its fixtures for pytest, and that it is no part of the daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from email import message_from_bytes
from pathlib import Path

from mailbridge.web.openapi import openapi
from tests.clients.contract import TOKEN, serving_contract
from tests.conftest import ROOT

USER_TESTS = """
def test_sign_up(mailbridge_inbox, mailbridge):
    assert mailbridge_inbox.address
    assert mailbridge_inbox.wait_for_code(timeout=5).value
    assert mailbridge.latest_code(mailbridge_inbox.identifier)
"""


def user_tests(folder: Path, installed: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The tests of somebody who has installed the package."""
    (folder / "test_user.py").write_text(USER_TESTS, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAILBRIDGE_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "test_user.py"],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(installed), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_is_whole(installed: Path) -> None:
    """Every module and the mark that it has types; httpx is all that it needs."""
    here = {path.name for path in (ROOT / "clients" / "python" / "mailbridge_client").iterdir() if path.is_file()}
    assert {path.name for path in (installed / "mailbridge_client").iterdir() if path.is_file()} == here
    assert "py.typed" in here
    (described,) = installed.glob("*.dist-info/METADATA")
    needs = message_from_bytes(described.read_bytes()).get_all("Requires-Dist", [])
    assert [one.partition(">")[0] for one in needs] == ["httpx"]


def test_it_is_no_part_of_the_daemon(installed: Path) -> None:
    """Importing it imports nothing of ours, nor pytest."""
    program = (
        "import mailbridge_client, sys; print(*sorted({'mailbridge', 'pytest'} & {m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


def test_its_fixtures_are_there_once_it_is_installed(installed: Path, tmp_path: Path) -> None:
    """Without a line in a conftest.py: an inbox for a test, released after it."""
    with serving_contract(openapi(), is_full=True) as server:
        done = user_tests(tmp_path, installed, MAILBRIDGE_URL=server.url, MAILBRIDGE_TOKEN=TOKEN)
        assert "1 passed" in done.stdout, done.stdout + done.stderr
        assert server.complaints == []
        assert "DELETE /api/v1/inboxes/{id}" in server.asked


def test_without_a_token_its_fixtures_say_what_to_set(installed: Path, tmp_path: Path) -> None:
    """And the test fails: a sign-up that nobody tested is not skipped in silence."""
    done = user_tests(tmp_path, installed, MAILBRIDGE_URL="http://127.0.0.1:1")
    assert done.returncode == 1
    assert "set MAILBRIDGE_TOKEN" in done.stdout


def test_a_wheel_is_made_of_it(tmp_path: Path) -> None:
    """From a copy without anything of this checkout's, with what is installed already."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "clients" / "python", source, ignore=shutil.ignore_patterns("__pycache__"))
    uv = Path(sys.executable).with_name("uv")
    options = ("--wheel", "--no-build-isolation", "--offline", "--python", sys.executable, "--out-dir", str(tmp_path))
    done = subprocess.run([uv, "build", *options, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name.partition("-")[0] for path in tmp_path.glob("*.whl")] == ["mailbridge_2fa_client"]


def test_its_source_archive_is_whole(tmp_path: Path) -> None:
    """All that the wheel is made of, and its licence."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT / "clients" / "python", check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as held:
        names = {name.partition("/")[2] for name in held.getnames()}
    modules = {f"mailbridge_client/{one.name}" for one in (ROOT / "clients" / "python" / "mailbridge_client").glob("*.py")}
    assert names >= modules | {"LICENSE", "README.md", "pyproject.toml", "mailbridge_client/py.typed"}


def test_both_packages_are_of_one_version() -> None:
    """Of the same name, version, licence and words."""
    python = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    typescript = json.loads((ROOT / "clients" / "typescript" / "package.json").read_text(encoding="utf-8"))
    for name in ("name", "version", "description", "license"):
        assert python[name] == typescript[name], name
    texts = [(ROOT / folder / "LICENSE").read_text(encoding="utf-8") for folder in (".", "clients/python", "clients/typescript")]
    assert len(set(texts)) == 1
