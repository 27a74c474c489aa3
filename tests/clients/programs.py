"""Programs of people who use a client, run as they run them: what they are told, and what they print."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients.site import Site
from tests.conftest import ROOT
from tests.peers.browser import CHROMIUM, NODE
from tests.web.daemon import Daemon

RECIPES = ROOT / "clients" / "recipes"
ANN = "ann@corp.com"


def variables(daemon: Daemon, site: Site, identifier: str) -> dict[str, str]:
    """What every program is told: where mailbridge is, a token, the site, the browser. Nothing else of ours, and no calls home."""
    token = daemon.run("token", "add", "--identifier", identifier).stdout.strip()
    return {
        **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
        "MAILBRIDGE_URL": f"http://{daemon.http}",
        "MAILBRIDGE_TOKEN": token,
        "SITE": site.url,
        "CHROMIUM": str(CHROMIUM),
        "NO_PROXY": "*",
    }


def run(command: list[str | Path], folder: Path, environment: Mapping[str, str]) -> str:
    """What a program prints. It has to end well."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(environment: Path) -> Path:
    """The Python of an environment with an agent's packages and a browser; skips where they are not there."""
    if not (environment / ".complete").exists() or not CHROMIUM.exists():
        pytest.skip(f"no {environment.name} or no Chromium: run tests/e2e/install (or `make e2e`)")
    return environment / "bin" / "python"


def built(source: Path, folder: Path) -> str:
    """A program in TypeScript, checked by the compiler at its strictest and made JavaScript of, in ``folder``. Its name there."""
    (folder / source.name).write_bytes(source.read_bytes())
    options = ("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--types", "node", "--skipLibCheck")
    checked = subprocess.run(
        [NODE / "node_modules" / ".bin" / "tsc", *options, "--noUncheckedIndexedAccess", source.name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    made = f"{source.stem}.mjs"
    bundle = ("--bundle", "--platform=node", "--format=esm", "--packages=external", f"--outfile={made}")
    subprocess.run([NODE / "node_modules" / ".bin" / "esbuild", source.name, *bundle], cwd=folder, check=True, timeout=60)
    return made
