"""What a command adds is in force in the running daemon at once, survives a restart, and never breaks what serves."""

from __future__ import annotations

import asyncio
import json
import smtplib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mailbridge.app.daemon import Bridge, bridge
from mailbridge.cli import cli
from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError
from mailbridge.core.secret import Secret
from tests.loop import looped, until

ADDED = "codes@new.example"


def configured(folder: Path) -> Path:
    """A configuration file for a daemon on free ports."""
    path = folder / "mailbridge.toml"
    path.write_text(
        f'[store]\nurl = "sqlite:///{folder}/mailbridge.db"\n[smtp]\nlisten = ["127.0.0.1:0"]\ntls = false\n'
        '[http]\nlisten = "127.0.0.1:0"\n[practice]\nlisten = "127.0.0.1:0"\n[identity]\nlearn_from_skyvern = false\n',
        encoding="utf-8",
    )
    return path


def said(config: Path, *words: str) -> Result:
    """A command with this configuration."""
    return CliRunner().invoke(cli, [*words[:2], "--config", str(config), *words[2:]])


def is_taken(running: Bridge, rcpt: str) -> bool:
    """Whether the listener takes mail for an address."""
    host, _, port = running.smtp_addresses[0].rpartition(":")
    with smtplib.SMTP(host, int(port), local_hostname="client.example", timeout=10) as client:
        client.ehlo()
        client.mail("x@acme.example")
        return client.rcpt(rcpt)[0] == 250


@looped
async def test_an_address_is_in_force_at_once_and_after_a_restart(tmp_path: Path) -> None:
    """Added and removed beside the running daemon, and there again when it starts."""
    config = configured(tmp_path)
    settings = load(config, environ={}, cwd=tmp_path).settings
    async with bridge(settings, state_dir=tmp_path) as running:
        assert not await asyncio.to_thread(is_taken, running, ADDED)
        found = await asyncio.to_thread(said, config, "address", "add", "--rcpt", ADDED, "--for", "ann@corp.example")
        assert found.exit_code == 0, found.output
        await until(lambda: running.live.now.accepts(ADDED))
        assert await asyncio.to_thread(is_taken, running, ADDED)
        assert running.live.now.is_known("ann@corp.example")
    async with bridge(settings, state_dir=tmp_path) as running:
        assert running.live.now.accepts(ADDED)
        assert (await asyncio.to_thread(said, config, "address", "remove", ADDED)).exit_code == 0
        await until(lambda: not running.live.now.accepts(ADDED))


@looped
async def test_a_mailbox_that_is_added_is_watched_and_its_secret_masked(tmp_path: Path) -> None:
    """The account comes up beside the running daemon; what the log says of it never holds the password."""
    settings = load(configured(tmp_path), environ={}, cwd=tmp_path).settings
    async with bridge(settings, state_dir=tmp_path) as running:
        box = {"name": "box", "host": "127.0.0.1", "port": 9, "tls": "none", "username": "ann@corp.example"}
        password = "a password of the mailbox"
        await running.engine.store.entries.put("imap", "box", box, by="ann", secrets={"password": Secret(password)})
        await until(lambda: bool(running.mailboxes.health()))
        assert running.settings.imap[0].password is not None
        assert running.engine.masks.masked(f"login {password}") == "login ***"
        assert await running.engine.store.entries.remove("imap", "box")
        await until(lambda: not running.mailboxes.health())


@looped
async def test_what_contradicts_the_file_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """A reload with a file that holds what was added is refused and says which command fixes it; so is a start."""
    config = configured(tmp_path)
    settings = load(config, environ={}, cwd=tmp_path).settings
    async with bridge(settings, state_dir=tmp_path) as running:
        assert (await asyncio.to_thread(said, config, "address", "add", "--rcpt", ADDED)).exit_code == 0
        await until(lambda: running.live.now.accepts(ADDED))
        before = running.live.now
        config.write_text(f'{config.read_text()}[[address]]\nrcpt = "{ADDED}"\n', encoding="utf-8")
        both = load(config, environ={}, cwd=tmp_path).settings
        with pytest.raises(ConfigError, match=f"mailbridge address remove {ADDED}"):
            await running.reload(both)
        assert running.live.now is before
    with pytest.raises(ConfigError, match="stands in the configuration's file as well"):
        async with bridge(both, state_dir=tmp_path):
            pass


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    """Without a daemon and without a database: add makes one; show says who and when; export is TOML; mistakes have one line."""
    config = configured(tmp_path)
    made = said(config, "address", "add", "--for", "ann@corp.example", "--domain", "bridge.example")
    assert made.exit_code == 0, made.output
    rcpt = made.stdout.strip()
    assert rcpt.endswith("@bridge.example")
    listed = json.loads(said(config, "address", "list", "--json").stdout)
    assert (listed["rcpt"], listed["identifier"]) == (rcpt, "ann@corp.example")
    assert listed["origin"].startswith("added by ")
    shown = json.loads(said(config, "config", "show", "--json").stdout)
    assert [(one["kind"], one["name"]) for one in shown["added"]] == [("address", rcpt)]
    assert f'rcpt = "{rcpt}"' in said(config, "config", "export").output
    again = said(config, "address", "add", "--rcpt", rcpt.upper())
    assert (again.exit_code, "is there already" in again.output) == (1, True)
    bad = said(config, "address", "add", "--rcpt", "nobody")
    assert (bad.exit_code, "is not a mail address" in bad.output) == (78, True)
    assert said(config, "address", "remove", rcpt).exit_code == 0
    gone = said(config, "address", "remove", rcpt)
    assert (gone.exit_code, "`mailbridge address list`" in gone.output) == (4, True)
