"""What `check-config` accepts, a start and a reload accept: compared over every key with values that may or may not do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

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
STARTED = 2
"""Configurations of one key with which a daemon is started: a start takes a third of a second."""


def _text(section: str, key: str, value: str) -> str:
    """A configuration on free ports with one key set so."""
    own = {"smtp": 'listen = ["127.0.0.1:0"]\n', "http": 'listen = "127.0.0.1:0"\n', "practice": 'listen = "127.0.0.1:0"\n'}
    lines = []
    for name, listens in own.items():
        if name != section:
            lines.append(f"[{name}]\n{listens}")
    head = own.get(section, "") if key != "listen" else ""
    lines.append(f"[{section}]\n{head}{key} = {value}\n")
    return "".join(lines)


@pytest.mark.parametrize(("section", "key"), KEYS, ids=[f"{section}.{key}" for section, key in KEYS])
def test_what_is_accepted_starts_and_reloads(section: str, key: str, here: Path, run: Run) -> None:  # noqa: F811
    """One key, twenty values: those that `check-config` takes make a daemon that starts with them, and takes them again in a reload."""
    path = here / "mailbridge.toml"
    accepted: list[Settings] = []
    for value in VALUES:
        path.write_text(_text(section, key, value), encoding="utf-8")
        done = run("check-config", "--config", str(path), "--json")
        row = json.loads(done.out)
        assert (done.code == Exit.OK) == row["ok"]
        assert done.code in (Exit.OK, Exit.CONFIG, Exit.PERMISSION), (value, done.out)
        if row["ok"]:
            accepted.append(load(path, environ={"HOME": str(here)}, cwd=here).settings)
    distinct = [one for number, one in enumerate(accepted) if one not in accepted[:number]]
    for number, settings in enumerate(distinct[:STARTED]):
        place = msgspec.structs.replace(settings.store, url=f"sqlite:///{here}/{number}/mailbridge.db", key_file=None)
        asyncio.run(_started(msgspec.structs.replace(settings, store=place), here / str(number)))


async def _started(settings: Settings, folder: Path) -> None:
    """Start with the settings, and take them again; Skyvern is asked for nothing."""
    quiet = msgspec.structs.replace(settings, identity=msgspec.structs.replace(settings.identity, learn_from_skyvern=False))
    async with bridge(quiet, state_dir=folder) as running:
        await running.reload(quiet)
