"""Every way in which docs/install.md installs mailbridge, typed as it stands, on every Python of this machine that it runs on.

Each time: release 0.1.0's state is taken over, the daemon serves, a code passes when it is asked for from another folder, another
user can run it, and the lines that upgrade and remove it do so. ``make e2e`` does three ways on the Python of the tests, and the
quickest one on the others; with MAILBRIDGE_INSTALLS=all each way is done on each, with its lines for upgrade and removal.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.peers.stranger import Stranger, blocks, clone_to, commands, environment_of
from tests.upgrade.left import RELEASE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PAGE = "docs/install.md"
QUICKEST = "uv"
USUAL = frozenset({"pipx", QUICKEST, "source archive"})
IS_WHOLE = os.environ.get("MAILBRIDGE_INSTALLS") == "all"
SOMEBODY = 54321
"""A user who has installed nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One row of the page's table: what is typed, and where the program and its state are then. Paths begin at home or at the clone."""

    line: str
    program: str
    state: str = ".local/state/mailbridge"
    row: str = ""

    @property
    def is_in_the_clone(self) -> bool:
        """Whether everything stays in the project's folder."""
        return self.line.startswith("make ")


def _line(first: str) -> str:
    """The line of the section for one user that begins with this."""
    (body,) = blocks("For one user: pipx, uv or pip", page=PAGE)
    (found,) = [line for line in commands(body) if line.startswith(first)]
    return found


def ways() -> dict[str, Way]:
    """What the page says, and the two files of `make dist`, each by pip."""
    pip = _line("python3 -m venv")
    program = ".local/share/mailbridge/bin/mailbridge"
    (made, *_) = blocks("Try it: make run", page=PAGE)
    return {
        "make run": Way(line=commands(made)[0], program=".venv/bin/mailbridge", state="state", row="make run"),
        "pipx": Way(line=_line("pipx"), program=".local/bin/mailbridge", row="pipx"),
        "uv": Way(line=_line("uv"), program=".local/bin/mailbridge", row="uv"),
        "pip": Way(line=pip, program=program, row="pip"),
        "wheel": Way(line=re.sub(r"\.$", "dist/*.whl", pip), program=program),
        "source archive": Way(line=re.sub(r"\.$", "dist/*.tar.gz", pip), program=program),
    }


def pythons() -> list[Path]:
    """That of the tests, and every other one of this machine that mailbridge runs on and that can make environments."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    named = [Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")]
    named += [*sorted(home.glob("versions/3.*/bin/python3")), *sorted(Path("/usr/bin").glob("python3.??"))]
    found: dict[Path, None] = {}
    for one in named:
        probe = [str(one), "-c", "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"]
        if one.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            found.setdefault(one.resolve())
    return list(found)


PYTHONS = pythons()
MATRIX = [
    (way, number)
    for number in range(len(PYTHONS))
    for way in ways()
    if IS_WHOLE or way == QUICKEST or (number == 0 and way in USUAL)
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder into which everybody may look."""
    with tempfile.TemporaryDirectory(prefix="mailbridge-install-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def clone(folder: Path) -> Path:
    """A new clone, with what `make dist` makes."""
    made = clone_to(folder / "mailbridge")
    command = [sys.executable, "-m", "hatchling", "build", "-d", "dist"]
    subprocess.run(command, cwd=made, capture_output=True, check=True)
    return made


@pytest.fixture(scope="module")
def tools(folder: Path) -> dict[str, Path]:
    """pipx and uv, from the index. Skips where there is none."""
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "tools"], check=True)
    python = folder / "tools" / "bin" / "python"
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", python, "pipx"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"pipx cannot be fetched here: {done.stderr.strip().splitlines()[-1]}")
    return {"uv": uv, "pipx": folder / "tools" / "bin" / "pipx"}


def _stranger(folder: Path, clone: Path, python: Path, tools: dict[str, Path]) -> Stranger:
    """A home of its own; `python3`, `uv` and `pipx` are those, and `~/.local/bin` is on the PATH."""
    env = environment_of(folder / "home")
    commands_of = folder / "bin"
    commands_of.mkdir()
    for name, path in {"python3": python, **tools}.items():
        (commands_of / name).symlink_to(path)
    env["PATH"] = f"{commands_of}:{folder / 'home' / '.local' / 'bin'}:/usr/bin:/bin"
    env["PIPX_DEFAULT_PYTHON"] = str(python)  # pipx otherwise takes the Python that it was itself installed with
    return Stranger(clone=clone, env=env)


def _leave_release(state: Path) -> None:
    """What release 0.1.0 left behind."""
    state.mkdir(parents=True, mode=0o700)
    for name in ("mailbridge.db", "mailbridge.key"):
        shutil.copy(RELEASE / name, state / name)
        (state / name).chmod(0o600)


@pytest.mark.parametrize(("name", "number"), MATRIX, ids=[f"{way} on {PYTHONS[number]}" for way, number in MATRIX])
def test_it_is_installed_used_upgraded_and_removed(
    name: str, number: int, clone: Path, tools: dict[str, Path], tmp_path: Path, folder: Path
) -> None:
    """As the page says, word by word: the daemon takes over what 0.1.0 left, gives a code to another folder, and is gone at the end."""
    way, python = ways()[name], PYTHONS[number]
    here = Path(tempfile.mkdtemp(dir=folder))
    here.chmod(0o755)
    mine = clone_to(here / "mailbridge") if way.is_in_the_clone else clone
    stranger = _stranger(here, mine, python, tools)
    base = mine if way.is_in_the_clone else here / "home"
    program = base / way.program
    _leave_release(base / way.state)
    began, worked = time.monotonic(), _worked()
    elsewhere = mine if way.is_in_the_clone else tmp_path
    with contextlib.ExitStack() as stack:
        if way.is_in_the_clone:
            stack.enter_context(stranger.leaves_running(way.line, "daemon.ready", patience=300))
        else:
            stranger.succeeds(way.line)
            (here / "started").mkdir()
            stack.enter_context(stranger.leaves_running(f"{program} serve", "daemon.ready", cwd=here / "started"))
        assert "✓ delivered" in stranger.succeeds(f"{program} send-test", cwd=elsewhere)
        seconds = time.monotonic() - began
        version = subprocess.run(
            [python, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True
        )
        assert f"Python {version.stdout.strip()}" in stranger.succeeds(f"{program} version", cwd=elsewhere)
        assert '"ci"' in stranger.succeeds(f"{program} token list --json", cwd=elsewhere), "a token of 0.1.0"
    print(
        f"{name} on {python.name}: the first code after {seconds:.1f} s; to the daemon's end {_worked() - worked:.1f} s of a processor"
    )
    if not way.is_in_the_clone:
        assert list(tmp_path.iterdir()) == list((here / "started").iterdir()) == []
        _serves_somebody(stranger, program, here, python)
    _is_upgraded_and_removed(way, stranger, program)


def _worked() -> float:
    """Seconds of a processor that the processes have taken which this one started, and which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _serves_somebody(stranger: Stranger, program: Path, folder: Path, python: Path) -> None:
    """Another user, who can write none of the program's files, starts a daemon of his own and gets a code."""
    if os.geteuid() != 0 or not _is_open_to_others(python):
        print(f"not tried by another user: {python} can be read by its owner alone, or this is not root")
        return
    home = folder / "somebody"
    home.mkdir()
    os.chown(home, SOMEBODY, SOMEBODY)
    (folder / "home").chmod(0o755)
    env = {**stranger.env, "HOME": str(home)}
    as_somebody = f"setpriv --reuid={SOMEBODY} --regid={SOMEBODY} --clear-groups {program}"
    other = Stranger(clone=folder, env=env)
    with other.leaves_running(f"{as_somebody} serve", "daemon.ready", cwd=home):
        assert "✓ delivered" in other.succeeds(f"{as_somebody} send-test", cwd=home)
    assert (home / ".local/state/mailbridge/mailbridge.db").stat().st_uid == SOMEBODY


def _is_open_to_others(path: Path) -> bool:
    command = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups", "test", "-x", str(path)]
    return shutil.which("setpriv") is not None and subprocess.run(command, check=False).returncode == 0


def _rows(title: str) -> dict[str, list[str]]:
    """The lines of a table of the page, by way; one that names two ways has the lines of both."""
    section = (ROOT / PAGE).read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\w, ]+) \| (.+) \|$", section, re.MULTILINE)
    return {way.strip(): re.findall(r"`([^`]+)`", lines) for ways_, lines in rows for way in ways_.split(",")}


def _is_upgraded_and_removed(way: Way, stranger: Stranger, program: Path) -> None:
    """The page's lines for it: after the first the program still runs, after the second it is gone."""
    if not way.row or not (IS_WHOLE or way.row == QUICKEST):
        return
    if not way.is_in_the_clone:
        (upgrade,) = _rows("Upgrade")[way.row]
        stranger.succeeds(upgrade)
        assert "mailbridge" in stranger.succeeds(f"{program} version")
    remove = [line for line in _rows("Uninstall").get(way.row, []) if line.split()[0] in ("make", way.row)]
    for line in remove:
        stranger.succeeds(line)
    assert not remove or not program.exists()
