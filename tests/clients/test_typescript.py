"""The TypeScript package by itself: its own tests, its types, and that it needs nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.clients.kinds import SOURCE
from tests.peers.browser import NODE

STRICT = """
import { Code, CodeTimeout, Mailbridge } from "mailbridge-2fa-client";

const client = new Mailbridge({ url: "http://127.0.0.1:8025", token: "mb_token" });
export const value: Promise<string> = client.waitForCode("ann@corp.com", { timeout: 60_000 }).then((code: Code) => code.value);
export const link: Promise<Code> = client.withInbox((inbox) => inbox.waitForLink(), { senders: ["acme.com"], lifetime: "1h" });
export const why = (fault: CodeTimeout): string | undefined => fault.why?.causes[0]?.text;
// @ts-expect-error: a number of milliseconds
client.waitForCode("ann@corp.com", { timeout: "60s" });
"""


@pytest.mark.e2e
def test_its_own_tests_pass(typescript: Path) -> None:
    """Those of `npm test`."""
    package = typescript / "package"
    done = subprocess.run(["node", "--test", "test/"], cwd=package, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.e2e
def test_its_types_are_told(typescript: Path) -> None:
    """To a strict program that imports it by its name."""
    (typescript / "strict.ts").write_text(STRICT, encoding="utf-8")
    options = ("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--types", "node")
    done = subprocess.run(
        [NODE / "node_modules" / ".bin" / "tsc", *options, "strict.ts"],
        cwd=typescript,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_it_needs_nothing() -> None:
    """No dependency, and what it is built with is pinned to what the tests install."""
    package = json.loads((SOURCE / "package.json").read_text(encoding="utf-8"))
    assert "dependencies" not in package
    assert "peerDependencies" not in package
    install = (SOURCE.parents[1] / "tests" / "e2e" / "install").read_text(encoding="utf-8")
    assert all(f"{name}@{version}" in install for name, version in package["devDependencies"].items())


@pytest.mark.e2e
def test_npm_packs_and_installs_it(typescript: Path, tmp_path: Path) -> None:
    """The archive holds what is built, its types and its pages, and no source, test or setting; installed, it can be imported."""
    if shutil.which("npm") is None:
        pytest.skip("no npm: run tests/e2e/install (or `make e2e`)")
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "npm_config_cache": str(tmp_path / "cache"),
        "npm_config_update_notifier": "false",
    }

    def npm(*arguments: str, folder: Path) -> str:
        done = subprocess.run(
            ["npm", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shutil.rmtree(typescript / "package" / "dist")
    npm("pack", "--pack-destination", str(tmp_path), folder=typescript / "package")
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as held:
        names = {name.removeprefix("package/") for name in held.getnames()}
    built = {f"dist/{path.stem}{end}" for path in (SOURCE / "src").glob("*.ts") for end in (".js", ".d.ts")}
    assert names == built | {"package.json", "README.md", "LICENSE"}

    project = tmp_path / "project"
    project.mkdir()
    (project / "package.json").write_text('{"private": true, "type": "module"}', encoding="utf-8")
    npm("install", "--offline", "--no-audit", "--no-fund", str(archive), folder=project)
    program = 'import { Mailbridge } from "mailbridge-2fa-client"; console.log(new Mailbridge({ token: "mb_token" }).url);'
    done = subprocess.run(
        ["node", "--input-type=module", "-e", program], cwd=project, capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "http://127.0.0.1:8025\n"
