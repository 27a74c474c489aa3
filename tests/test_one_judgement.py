"""What `check-config` accepts, a start and a reload accept: over every key with values that may or may not do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec

from mailbridge.app.daemon import bridge
from mailbridge.cli.exits import Exit
from mailbridge.config.keys import FIELDS, TABLES, fields_of
from mailbridge.config.load import load
from mailbridge.config.settings import Settings
from tests.cli.conftest import here, run  # noqa: F401
from tests.cli.running import Run

VALUES = (
    '""',
    '" "',
    '"x y"',
    '"ä.example"',
    '"127.0.0.1:0"',
    '"10s"',
    '"a\\nb"',
    f'"{"x" * 5000}"',
    "0",
    "1",
    "-1",
    "70000",
    "99999999999999999999999",
    "1.5",
    "true",
    "[]",
    '[""]',
    '["a.example"]',
    '["127.0.0.1:0"]',
    '["*"]',
    "[5]",
    '"../x"',
)
KEYS = [(section, key) for section in FIELDS if section not in TABLES for key in fields_of(section)]
FIXED = {
    ("smtp", "listen"): '["127.0.0.1:0"]',
    ("http", "listen"): '"127.0.0.1:0"',
    ("practice", "listen"): '"127.0.0.1:0"',
    ("identity", "learn_from_skyvern"): "false",
}
"""So that no daemon of the test takes a port that is known, or asks a real Skyvern."""

ROUNDS = 3
"""Daemons that are started, each with another accepted value of every key at once."""


def _text(chosen: dict[tuple[str, str], str]) -> str:
    """A configuration with these keys."""
    lines: list[str] = []
    for section in FIELDS:
        own = [f"{key} = {value}" for (name, key), value in {**FIXED, **chosen}.items() if name == section]
        lines += [f"[{section}]", *own] if own else []
    return "\n".join([*lines, ""])


def test_what_is_accepted_starts_and_reloads(here: Path, run: Run) -> None:  # noqa: F811
    """Twenty values for each key; what `check-config` takes starts a daemon, and is taken again by a reload."""
    path = here / "mailbridge.toml"

    def judged(chosen: dict[tuple[str, str], str]) -> list[str]:
        path.write_text(_text(chosen), encoding="utf-8")
        done = run("check-config", "--config", str(path), "--json")
        row = json.loads(done.out)
        assert done.code in (Exit.OK, Exit.CONFIG, Exit.PERMISSION), done.err
        assert (done.code == Exit.OK) == row["ok"]
        return list(row["problems"])

    accepted = {one: [value for value in VALUES if not judged({one: value})] for one in KEYS}
    assert sum(map(len, accepted.values())) > len(KEYS)
    for number in range(ROUNDS):
        chosen = {one: values[number % len(values)] for one, values in accepted.items() if values and one not in FIXED}
        while problems := judged(chosen):  # keys that contradict each other: the first that is named goes
            named = next(one for one in chosen if any(f"[{one[0]}] {one[1]}" in problem for problem in problems))
            del chosen[named]
        assert len(chosen) > len(KEYS) // 2
        settings = load(path, environ={"HOME": str(here)}, cwd=here).settings
        place = msgspec.structs.replace(settings.store, url=f"sqlite:///{here}/{number}/mailbridge.db", key_file=None)
        asyncio.run(_started(msgspec.structs.replace(settings, store=place), here / str(number)))


async def _started(settings: Settings, folder: Path) -> None:
    """Start with the settings, and take them again."""
    async with bridge(settings, state_dir=folder) as running:
        await running.reload(settings)
