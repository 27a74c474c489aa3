"""The examples of docs/agents.md do what they say, word for word."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.web.daemon import Daemon, Sender, running_daemon

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailbridge"
NODE = CACHE / "node"
CHROMIUM = Path("/usr/bin/chromium")
DRIVER = """
import { chromium } from "playwright-core";
import { enterCode } from "./example";

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const page = await browser.newPage();
await page.goto(process.env.LOGIN!);
await enterCode(page, "ann@corp.com");
console.log(await page.getByLabel("Code").inputValue());
await browser.close();
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A running one."""
    with running_daemon(tmp_path) as one:
        yield one


def example(language: str, heading: str = "## The API", number: int = 0) -> str:
    """A block of a language below a heading of the page; ``number`` counts from 0, from the end where it is negative."""
    page = (ROOT / "docs" / "agents.md").read_text("utf-8")
    section = re.split(r"^#{2,3} ", page.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return str(re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[number])


def run_while_a_mail_comes(daemon: Daemon, arguments: list[str], folder: Path, **variables: str) -> str:
    """What a program prints to which a mail is sent once it waits."""
    token = daemon.run("token", "new", "--identifier", "ann@corp.com").stdout.strip()
    environment = {**os.environ, "MAILBRIDGE_URL": f"http://{daemon.http}", "MAILBRIDGE_TOKEN": token, **variables}
    with subprocess.Popen(
        arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        until = time.monotonic() + 60
        while "ann@corp.com" not in daemon.run("codes", "waiting", "--url", f"http://{daemon.http}").stdout:
            assert time.monotonic() < until and program.poll() is None, program.communicate()[1]
            time.sleep(0.1)

        async def send() -> None:
            sender = await Sender.connect(daemon.smtp)
            await sender.send("ann@corp.com", "482913")
            await sender.close()

        asyncio.run(send())
        said, complaint = program.communicate(timeout=60)
    assert program.returncode == 0, complaint
    return said


def test_the_python_example_prints_the_code(daemon: Daemon, tmp_path: Path) -> None:
    """With a token for the identifier and nothing else, while the mail comes."""
    assert run_while_a_mail_comes(daemon, [sys.executable, "-c", example("python")], tmp_path) == "482913\n"


def test_the_example_of_mcp_prints_the_code(daemon: Daemon, tmp_path: Path) -> None:
    """With the official client, while the mail comes."""
    script = example("python", "## MCP: tools for agents")
    assert run_while_a_mail_comes(daemon, [sys.executable, "-c", script], tmp_path) == "482913\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl: apt-get install curl")
@pytest.mark.parametrize("heading", ["## The API", "## MCP: tools for agents"])
def test_the_examples_of_curl_print_the_code(daemon: Daemon, tmp_path: Path, heading: str) -> None:
    """By the API and by MCP: one request each, while the mail comes."""
    arguments = ["bash", "-c", example("sh", heading, -1)]
    assert run_while_a_mail_comes(daemon, arguments, tmp_path) == "482913\n"


def test_the_configurations_of_clients_are_json() -> None:
    """One that asks over HTTP with a token, and one that starts our command."""
    far, near = (json.loads(example("json", "## MCP: tools for agents", number))["mcpServers"]["mailbridge"] for number in (0, 1))
    assert (far["url"], list(far["headers"])) == ("http://127.0.0.1:8025/mcp", ["Authorization"])
    assert [near["command"], *near["args"]] == ["mailbridge", "mcp"]


class Login(BaseHTTPRequestHandler):
    """A login page with one field."""

    def do_GET(self) -> None:
        """The page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><label>Code <input></label>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        """Nothing."""


@pytest.mark.e2e
def test_the_typescript_example_types_the_code_into_a_page(daemon: Daemon, tmp_path: Path) -> None:
    """In a real Chromium, driven by Playwright, while the mail comes; the example passes the type checker as it is printed."""
    if not (NODE / ".complete").exists() or not CHROMIUM.exists():
        pytest.skip("no Chromium, Node or Playwright: run tests/e2e/install (or `make e2e`)")
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "example.ts").write_text(example("typescript"), encoding="utf-8")
    (folder / "driver.ts").write_text(DRIVER, encoding="utf-8")
    options = ("--strict", "--noEmit", "--target", "es2022", "--module", "preserve", "--types", "node", "--skipLibCheck")
    subprocess.run([NODE / "node_modules" / ".bin" / "tsc", *options, "driver.ts"], cwd=folder, check=True, timeout=120)
    bundle = ("--bundle", "--platform=node", "--format=esm", "--external:playwright-core", "--outfile=driver.mjs")
    subprocess.run([NODE / "node_modules" / ".bin" / "esbuild", "driver.ts", *bundle], cwd=folder, check=True, timeout=60)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Login)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        variables = {"CHROMIUM": str(CHROMIUM), "LOGIN": f"http://127.0.0.1:{server.server_address[1]}/"}
        assert run_while_a_mail_comes(daemon, ["node", "driver.mjs"], folder, **variables) == "482913\n"
    finally:
        server.shutdown()
        server.server_close()
