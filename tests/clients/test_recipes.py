"""The recipes of clients/recipes do what they say, against a running daemon, in a real browser where they drive one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.letters import send
from tests.clients.model import Model
from tests.clients.site import Site, serving
from tests.conftest import ROOT
from tests.peers.browser import CACHE, CHROMIUM, NODE
from tests.peers.practice import running_practice
from tests.peers.skyvern import ENVIRONMENT as SKYVERN
from tests.web.daemon import Daemon, running_daemon

RECIPES = ROOT / "clients" / "recipes"
AGENTS = CACHE / "agents"
ANN = "ann@corp.com"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running one that knows the people of one company."""
    with running_daemon(tmp_path_factory.mktemp("daemon"), '[identity]\nknown = ["*@corp.com"]\n') as one:
        yield one


@pytest.fixture
def site(daemon: Daemon) -> Iterator[Site]:
    """A site whose mails go to that daemon: to an inbox's own address, or as a forwarded mail."""
    one = Site(lambda address, code: send(daemon, address, code, rcpt=rcpt_of(address)))
    with serving(one):
        yield one


def rcpt_of(address: str) -> str:
    """Where a mail to an address comes in."""
    return address if address.startswith("inbox-") else "codes@bridge.example"


def variables(daemon: Daemon, site: Site, identifier: str) -> dict[str, str]:
    """What every recipe is told: where mailbridge is, a token, the site, the browser. Nothing else of ours, and no calls home."""
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
    """What a recipe prints. It has to end well."""
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


def built(recipe: str, folder: Path) -> str:
    """A recipe in TypeScript, checked by the compiler at its strictest and made JavaScript of."""
    shutil.copy(RECIPES / recipe, folder)
    options = ("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--types", "node", "--skipLibCheck")
    checked = subprocess.run(
        [NODE / "node_modules" / ".bin" / "tsc", *options, "--noUncheckedIndexedAccess", recipe],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    made = f"{Path(recipe).stem}.mjs"
    bundle = ("--bundle", "--platform=node", "--format=esm", "--packages=external", f"--outfile={made}")
    subprocess.run([NODE / "node_modules" / ".bin" / "esbuild", recipe, *bundle], cwd=folder, check=True, timeout=60)
    return made


@pytest.mark.e2e
def test_playwright_in_python(daemon: Daemon, site: Site, installed: Path, tmp_path: Path) -> None:
    """A new user is signed up, and the inbox is gone afterwards."""
    environment = {**variables(daemon, site, "inbox-*"), "PYTHONPATH": str(installed)}
    said = run([python(AGENTS), RECIPES / "playwright_sign_up.py"], tmp_path, environment)
    assert (site.welcomed, list(site.codes)) == (1, [said.split()[-1]])
    assert httpx.get(f"http://{daemon.http}/api/v1/inboxes", headers=daemon.headers, trust_env=False).json() == {"inboxes": []}


@pytest.mark.e2e
def test_playwright_in_typescript(daemon: Daemon, site: Site, typescript: Path) -> None:
    """The same."""
    said = run(["node", built("playwright-sign-up.ts", typescript)], typescript, variables(daemon, site, "inbox-*"))
    assert (site.welcomed, list(site.codes)) == (1, [said.split()[-1]])


@pytest.mark.e2e
def test_browser_use(daemon: Daemon, site: Site, installed: Path, tmp_path: Path) -> None:
    """An agent logs in, and its model is never shown the code."""
    model = Model(site.url, ANN)
    quiet = {
        "OPENAI_API_KEY": "none",
        "ANONYMIZED_TELEMETRY": "false",
        "BROWSER_USE_VERSION_CHECK": "false",
        "BROWSER_USE_DISABLE_EXTENSIONS": "1",
        "IN_DOCKER": "true",
    }
    with serving(model):
        environment = {**variables(daemon, site, ANN), **quiet, "OPENAI_BASE_URL": model.url, "PYTHONPATH": str(installed)}
        said = run([python(AGENTS), RECIPES / "browser_use_log_in.py"], tmp_path, environment)
    assert said.splitlines()[-1] == "logged in"
    assert site.welcomed == 1
    assert len(model.asked) >= 5
    assert not any(site.codes[ANN] in text for text in (said, *model.asked))
