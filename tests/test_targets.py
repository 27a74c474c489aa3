"""Targets that are added, changed and removed while the daemon runs, by command and by a reload."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from mailbridge.app.daemon import Bridge, bridge
from mailbridge.cli import cli
from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import AddressSettings, TargetSettings
from mailbridge.core.delivery import State
from mailbridge.core.secret import Secret
from mailbridge.dispatch.dispatcher import NOWHERE
from mailbridge.practice.receiver import Practice, practice_app
from mailbridge.web.server import serve_app
from tests.loop import looped, until
from tests.test_additions import configured
from tests.test_app import send

WHOM = "ann@other.example"


@asynccontextmanager
async def a_target() -> AsyncIterator[tuple[Practice, str]]:
    """A Skyvern of another organization, and its address."""
    practice = Practice()
    async with serve_app(practice_app(practice), listen="127.0.0.1:0") as bound:
        yield practice, f"http://{bound.address}"


def said(config: Path, *words: str, key: str = "") -> Result:
    """A command with this configuration, and a key on its standard input."""
    return CliRunner().invoke(cli, [*words[:2], "--config", str(config), *words[2:]], input=key)


def add(config: Path, url: str, key: str, name: str = "other") -> Result:
    """`target add` for everybody at other.example."""
    return said(config, "target", "add", name, "--for", "*@other.example", "--url", url, key=key)


def names(running: Bridge) -> list[str]:
    """The targets that are served."""
    return [one.settings.name for one in running.engine.targets.made]


async def states(running: Bridge) -> list[State]:
    """The state of every delivery, oldest first."""
    return [row.state for row in reversed(await running.engine.store.outbox.deliveries())]


@looped
async def test_a_target_is_in_force_within_half_a_second_and_gone_as_soon(tmp_path: Path) -> None:
    """Codes of those whom it lists go to it, signed polls of its key are answered, and after `remove` all of that is over."""
    config = configured(tmp_path)
    settings = load(config, environ={}, cwd=tmp_path).settings
    trusting = msgspec.structs.replace(settings, address=(AddressSettings(rcpt="codes@mailbridge.localhost", trust="none"),))
    async with a_target() as (other, url), bridge(trusting, state_dir=tmp_path) as running:
        workers, mailboxes = running.engine.pool.pids, running.mailboxes
        found = await asyncio.to_thread(add, config, url, other.api_key)
        assert found.exit_code == 0, found.output
        await until(lambda: names(running) == ["practice", "other"])
        assert running.live.now.intake.routes.targets(WHOM) == ["other"]
        assert not running.live.now.gate.is_practice
        assert (running.engine.pool.pids, running.mailboxes) == (workers, mailboxes)
        assert any(key.secret == Secret(other.api_key) and key.serves(WHOM) for key in running.live.now.pull.keys)
        assert running.engine.masks.masked(f"x-api-key: {other.api_key}") == "x-api-key: ***"
        assert (await asyncio.to_thread(said, config, "target", "remove", "other")).exit_code == 0
        await until(lambda: names(running) == ["practice"])
        assert running.live.now.intake.routes.targets(WHOM) == ["practice"]
        assert not any(key.secret == Secret(other.api_key) for key in running.live.now.pull.keys)


@looped
async def test_codes_go_to_a_target_from_the_moment_that_it_is_there(tmp_path: Path) -> None:
    """One mail before, one while it is there, one after: practice, other, practice; and a restart knows it without a file."""
    config = configured(tmp_path)
    text = config.read_text()
    config.write_text(f'{text}[trust]\ndefault = "none"\n', encoding="utf-8")
    settings = load(config, environ={}, cwd=tmp_path).settings
    async with a_target() as (other, url):
        async with bridge(settings, state_dir=tmp_path) as running:
            assert running.practice is not None
            await send(running, "482911", identifier=WHOM)
            await running.practice.wait_for("482911", patience=10)
            assert (await asyncio.to_thread(add, config, url, other.api_key)).exit_code == 0
            await until(lambda: names(running) == ["practice", "other"])
            await send(running, "482912", identifier=WHOM)
            await other.wait_for("482912", patience=10)
        async with bridge(settings, state_dir=tmp_path) as running:
            assert names(running) == ["practice", "other"]
            await send(running, "482913", identifier=WHOM)
            await other.wait_for("482913", patience=10)
            assert (await asyncio.to_thread(said, config, "target", "remove", "other")).exit_code == 0
            await until(lambda: names(running) == ["practice"])
            await send(running, "482914", identifier=WHOM)
            assert running.practice is not None
            await running.practice.wait_for("482914", patience=10)
            async with asyncio.timeout(10):
                while await states(running) != [State.DELIVERED] * 4:
                    await asyncio.sleep(0.01)
        assert [row.code for row in other.rows()] == ["482913", "482912"]


@looped
async def test_a_reload_takes_up_what_the_file_says_of_targets(tmp_path: Path) -> None:
    """Added, its key changed, its identifiers changed, removed: each by HUP; one that is as before keeps its connections."""
    settings = load(configured(tmp_path), environ={}, cwd=tmp_path).settings
    one = TargetSettings(name="one", identifiers=("*@one.example",), base_url="http://127.0.0.1:9", api_key=Secret("first-key"))
    two = TargetSettings(name="two", identifiers=("*@two.example",), base_url="http://127.0.0.1:9", api_key=Secret("second-key"))
    async with bridge(settings, state_dir=tmp_path) as running:
        await running.reload(msgspec.structs.replace(settings, target=(one, two)))
        assert names(running) == ["practice", "one", "two"]
        before = running.engine.targets.made
        wider = msgspec.structs.replace(one, identifiers=("*@wide.example",))
        other_key = msgspec.structs.replace(two, api_key=Secret("third-key"))
        await running.reload(msgspec.structs.replace(settings, target=(wider, other_key)))
        after = running.engine.targets.made
        assert after[:2] == before[:2]
        assert after[2].target is not before[2].target
        assert running.live.now.intake.routes.targets("x@wide.example") == ["one"]
        bad = msgspec.structs.replace(one, base_url="http://user@x.example")
        with pytest.raises(ConfigError, match="no user, query or fragment"):
            await running.reload(msgspec.structs.replace(settings, target=(bad,)))
        assert running.engine.targets.made is after
        await running.reload(settings)
        assert names(running) == ["practice"]


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    """Without a daemon: listed and shown with who and when, exported without the key; doubles and mistakes are one line."""
    config = configured(tmp_path)
    key = "a-key-that-nobody-shows"
    assert add(config, "http://127.0.0.1:9", key).exit_code == 0
    listed = json.loads(said(config, "target", "list", "--json").stdout)
    assert (listed["name"], listed["kind"], listed["identifiers"]) == ("other", "skyvern", ["*@other.example"])
    assert listed["origin"].startswith("added by ")
    shown = json.loads(said(config, "config", "show", "--json").stdout)["added"]
    assert [(one["kind"], one["name"], one["secrets"]) for one in shown] == [("target", "other", ["api_key"])]
    exported = said(config, "config", "export").output
    assert '[[target]]\nname = "other"\nkind = "skyvern"\nidentifiers = ["*@other.example"]\n' in exported
    texts = (exported, said(config, "config", "show").output, said(config, "target", "list").output)
    assert not any(key in text for text in texts)
    again = add(config, "http://127.0.0.1:9", key, name="OTHER")
    assert (again.exit_code, "is there already" in again.output) == (1, True)
    bad = add(config, "http://127.0.0.1:9", "two words", name="second")
    assert (bad.exit_code, "must be the bare key" in bad.output) == (78, True)
    assert add(config, "ftp://x.example", key, name="second").exit_code == 2
    taken = add(config, "http://127.0.0.1:9", key, name="skyvern")
    assert (taken.exit_code, "is the name of the main target" in taken.output) == (78, True)
    nowhere = add(config, "http://127.0.0.1:9", key, name=NOWHERE)
    assert (nowhere.exit_code, "stands for targets that were removed" in nowhere.output) == (78, True)
    dead = said(config, "target", "test", "other")
    assert (dead.exit_code, dead.stdout.startswith("FAIL other: ")) == (69, True)
    assert said(config, "target", "test", "nobody").exit_code == 4
    assert said(config, "target", "remove", "other").exit_code == 0
    assert said(config, "target", "remove", "other").exit_code == 4


@looped
async def test_a_target_can_be_tried_before_a_code_needs_it(tmp_path: Path) -> None:
    """`target test` says whether it is there and takes the key, and pushes nothing."""
    config = configured(tmp_path)
    async with a_target() as (other, url):
        assert (await asyncio.to_thread(add, config, url, other.api_key)).exit_code == 0
        assert (await asyncio.to_thread(add, config, url, "another-key", "wrong")).exit_code == 0
        good = await asyncio.to_thread(said, config, "target", "test", "other", "--json")
        bad = await asyncio.to_thread(said, config, "target", "test", "wrong", "--json")
        assert (await asyncio.to_thread(said, config, "target", "test", "skyvern")).exit_code == 78  # there is no key
        plain = config.read_text(encoding="utf-8")
        mains = []
        for key in (other.api_key, "another-key"):
            config.write_text(f'{plain}[skyvern]\nbase_url = "{url}"\napi_key = "{key}"\n', encoding="utf-8")
            mains.append(await asyncio.to_thread(said, config, "target", "test", "skyvern", "--json"))
        assert not other.rows()
    assert [(one.exit_code, json.loads(one.stdout)["ok"]) for one in mains] == [(0, True), (69, False)]
    assert (good.exit_code, json.loads(good.stdout)["ok"]) == (0, True)
    assert (bad.exit_code, json.loads(bad.stdout)["ok"]) == (69, False)
