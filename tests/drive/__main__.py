"""`python -m tests.drive WAY`: walk one way in a network namespace of its own, print every action, and fail on one that the docs lack.

`python -m tests.drive WAY --skyvern` walks it with a real Skyvern. It puts itself into the namespace: the machine's own network is
never touched.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.drive.terminal import Action, Terminal
from tests.drive.ways import HERE, WAYS, scene

UNSHARE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
"""Before a command: it runs in a network namespace of its own, which ends with it."""


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


def walk(name: str, *, is_real: bool = False) -> list[Action]:
    """Walk one way. Raises AssertionError where it goes wrong, takes too many actions, or one that the docs do not have."""
    way, title, most = WAYS[name]
    with tempfile.TemporaryDirectory(prefix="mailbridge-drive-") as folder:
        Path(folder).chmod(0o755)
        with scene(Path(folder), is_real=is_real) as here:
            terminal = Terminal(folder=Path(folder), env=here.env)
            try:
                way(here, terminal)
            finally:
                terminal.kill()
    assert len(terminal.actions) <= most, f"{len(terminal.actions)} actions, {most} at most"
    assert not title or not undocumented(terminal.actions, title), undocumented(terminal.actions, title)
    return terminal.actions


def namespace() -> int:
    """The number of the network namespace that this process is in."""
    return Path("/proc/self/ns/net").stat().st_ino


def main(words: list[str]) -> int:
    """Go into a network namespace of one's own, give its loopback the address of the world, and walk."""
    if "--within" not in words:
        inside = [sys.executable, "-m", "tests.drive", *words, "--within", str(namespace())]
        return subprocess.run([*UNSHARE, *inside], cwd=ROOT, check=False).returncode
    place = words.index("--within")
    assert namespace() != int(words[place + 1]), "this is the network of the machine: nothing is changed in it"
    for change in (
        ["link", "set", "lo", "up"],
        ["addr", "add", f"{HERE}/32", "dev", "lo"],
        ["route", "add", "default", "dev", "lo", "src", HERE],
    ):
        subprocess.run(["ip", *change], check=True)
    actions = walk(words[0], is_real="--skyvern" in words)
    print(json.dumps({"way": words[0], "actions": [f"{one.where}: {one.name}" for one in actions]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
