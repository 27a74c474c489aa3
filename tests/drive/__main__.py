"""`python -m tests.drive WAY`: walk one way in a network namespace of its own, print every action, and fail on one that the docs lack."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.drive.terminal import Action, Terminal
from tests.drive.ways import HERE, WAYS, scene

BY_HAND = ("Google",)


def documented(title: str) -> list[tuple[str, str]]:
    """Where and what each action of a table of docs/setup.md is, in order."""
    text = (ROOT / "docs" / "setup.md").read_text(encoding="utf-8")
    section = text.partition(f"### {title}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (\w+) \| ([\w -]+) \| ", section, re.MULTILINE)
    return [row for row in rows if row != ("where", "action")]


def undocumented(actions: list[Action], title: str) -> list[Action]:
    """What was done and is not in the table, in its order."""
    rows = iter(documented(title))
    return [one for one in actions if not any(row == (one.where, one.name) for row in rows)]


def walk(name: str) -> list[Action]:
    """Walk one way. Raises AssertionError where it goes wrong, takes too many actions, or one that the docs do not have."""
    way, title, most = WAYS[name]
    with tempfile.TemporaryDirectory(prefix="mailbridge-drive-") as folder:
        Path(folder).chmod(0o755)
        with scene(Path(folder)) as here:
            terminal = Terminal(folder=Path(folder), env=here.env)
            try:
                way(here, terminal)
            finally:
                terminal.kill()
    assert len(terminal.actions) <= most, f"{len(terminal.actions)} actions, {most} at most"
    assert not title or not undocumented(terminal.actions, title), undocumented(terminal.actions, title)
    return terminal.actions


def main() -> None:
    """Give loopback the address of the world, and walk."""
    for words in (
        ["link", "set", "lo", "up"],
        ["addr", "add", f"{HERE}/32", "dev", "lo"],
        ["route", "add", "default", "dev", "lo", "src", HERE],
    ):
        subprocess.run(["ip", *words], check=True)
    actions = walk(sys.argv[1])
    print(json.dumps({"way": sys.argv[1], "actions": len(actions)}))


if __name__ == "__main__":
    main()
