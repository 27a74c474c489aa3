"""Debian's Chromium, driven by Playwright in a Node process of its own: a test hands in pieces of script and gets what they give."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mailbridge"
NODE = CACHE / "node"
CHROMIUM = Path("/usr/bin/chromium")
DRIVER = Path(__file__).with_name("browser.mjs")


class Browser:
    """A running browser. ``open(name)`` makes a page, ``pages.name`` is it, ``given`` what the test hands in."""

    def __init__(self, process: subprocess.Popen[str], stdin: IO[str], stdout: IO[str]) -> None:
        self._process = process
        self._stdin = stdin
        self._stdout = stdout

    def run(self, script: str, **given: Any) -> Any:
        """Run a piece of JavaScript; what it returns. Raises AssertionError with its fault."""
        self._stdin.write(json.dumps({"script": script, "given": given}) + "\n")
        self._stdin.flush()
        line = self._stdout.readline()
        assert line, f"the browser has ended: {self._process.poll()}"
        answer = json.loads(line)
        assert "fault" not in answer, answer["fault"]
        return answer["value"]

    def complaints(self) -> list[str]:
        """What went to the console, every request to another host, every dialog; and forget it."""
        found: list[str] = self.run("return complaints.splice(0)")
        return found


@contextmanager
def running_browser(folder: Path, base: str) -> Iterator[Browser]:
    """A browser for the length of the block. ``base`` is the only origin that its pages may ask. Skips where it is not installed."""
    if not (NODE / "node_modules" / "axe-core").exists() or not CHROMIUM.exists():
        pytest.skip("no Chromium, Node, Playwright or axe: run tests/e2e/install (or `make e2e`)")
    folder.mkdir(exist_ok=True)
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    (folder / "browser.mjs").write_text(DRIVER.read_text(encoding="utf-8"), encoding="utf-8")
    process = subprocess.Popen(
        ["node", "browser.mjs"],
        cwd=folder,
        env={**os.environ, "CHROMIUM": str(CHROMIUM), "BASE": base},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Browser(process, process.stdin, process.stdout)
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
