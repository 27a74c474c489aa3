"""What a reload refuses: whatever breaks on disk, the old settings serve on, and check-config and a start refuse it too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from mailbridge.app.daemon import bridge
from mailbridge.app.preparation import prepare
from mailbridge.cli import cli
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import (
    DomainSettings,
    ImapSettings,
    OAuthSettings,
    RuleSettings,
    Settings,
    SmtpSettings,
    TrustSettings,
)
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.vault import open_vault
from mailbridge.ingress.tls import self_signed
from tests.loop import looped
from tests.peers.daemon import free_port
from tests.test_app import send, settings_in


def whole(folder: Path) -> Settings:
    """Settings that name a file of every kind: certificate, rules, authorities, the key of a service account, OAuth tokens."""
    pair = self_signed(folder / "pair", "mx.bridge.example")
    (folder / "rules.toml").write_text("", encoding="utf-8")
    (folder / "ca.pem").write_bytes(pair.cert.read_bytes())
    (folder / "service.json").write_text("{}", encoding="utf-8")
    first = settings_in(folder)
    open_vault(first.store).write("box", Secret("a refresh token"))
    return msgspec.structs.replace(
        first,
        smtp=SmtpSettings(listen=("127.0.0.1:0",), tls_cert=pair.cert, tls_key=pair.key),
        rules=RuleSettings(paths=(folder / "rules.toml",)),
        imap=(
            ImapSettings(
                name="box",
                host="127.0.0.1",
                port=9,
                username="ann@corp.example",
                tls_ca=folder / "ca.pem",
                oauth=OAuthSettings(
                    provider="custom",
                    grant="service-account",
                    client_id="bridge",
                    token_url="https://127.0.0.1:9/token",
                    key_file=folder / "service.json",
                ),
            ),
        ),
    )


def _spoil(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "the key of the OAuth tokens can be read by others": (lambda at: (at / "oauth" / "vault.key").chmod(0o644), "chmod 600"),
    "the key of the OAuth tokens is gone": (_spoil("oauth/vault.key"), "vault.key"),
    "the key of the database is gone": (_spoil("mailbridge.key"), "key file of the database is missing"),
    "the key of the database is too short": (lambda at: (at / "mailbridge.key").write_bytes(b"short"), "must hold 32 octets"),
    "the key of the database can be read by others": (lambda at: (at / "mailbridge.key").chmod(0o640), "chmod 600"),
    "the certificate is none": (lambda at: (at / "pair" / "tls-cert.pem").write_text("none"), "not a PEM certificate"),
    "the certificate's key is gone": (_spoil("pair/tls-key.pem"), "No such file"),
    "a rule file is gone": (_spoil("rules.toml"), "cannot be read"),
    "a rule file is no TOML": (lambda at: (at / "rules.toml").write_text("[[rule"), "rules.toml"),
    "the authorities are gone": (_spoil("ca.pem"), "tls_ca"),
    "the service account's key is gone": (_spoil("service.json"), "no such file"),
}
"""What a person or a program may do to the files of a daemon that runs, and a part of the message that names it."""


@pytest.mark.parametrize("what", BREAKS)
@looped
async def test_what_breaks_is_refused_everywhere_and_the_old_settings_serve_on(what: str, tmp_path: Path) -> None:
    """A reload, a check and a start refuse it with one message, and the daemon takes mail as before."""
    spoil, told = BREAKS[what]
    settings = whole(tmp_path)
    async with bridge(settings, state_dir=tmp_path) as running:
        before, watched = running.live.now, running.mailboxes
        workers = running.engine.pool.pids
        spoil(tmp_path)
        wanted = msgspec.structs.replace(
            settings, trust=TrustSettings(default="none"), domains=DomainSettings(accept=("x.example",))
        )
        with pytest.raises(ConfigError, match=told):
            await running.reload(wanted)
        assert running.live.now is before
        assert running.mailboxes is watched
        assert running.engine.pool.pids == workers
        await send(running, "482913")
        assert running.practice is not None
        await running.practice.wait_for("482913", patience=60)
    with pytest.raises(ConfigError, match=told):
        prepare(settings)
    with pytest.raises(ConfigError, match=told):
        async with bridge(settings, state_dir=tmp_path):
            pass


@looped
async def test_no_worker_for_the_new_settings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started, the old workers read on, and the mailboxes are not touched."""
    settings = settings_in(tmp_path)
    async with bridge(settings, state_dir=tmp_path) as running:
        before, watched = running.live.now, running.mailboxes
        monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
        with pytest.raises(ConfigError, match="no parser worker starts"):
            await running.reload(msgspec.structs.replace(settings, domains=DomainSettings(accept=("x.example",))))
        assert (running.live.now, running.mailboxes) == (before, watched)
        await send(running, "482914")
        assert running.practice is not None
        await running.practice.wait_for("482914", patience=60)


@looped
async def test_a_reload_is_seen_by_every_part_at_once(tmp_path: Path) -> None:
    """Recipients, gate, intake, polls and confirmations all follow the one snapshot; what only a start takes up stays."""
    settings = settings_in(tmp_path)
    async with bridge(settings, state_dir=tmp_path) as running:
        changed = msgspec.structs.replace(
            settings,
            domains=DomainSettings(accept=("new.example",)),
            trust=TrustSettings(accounts=("ann@gmail.com",), alarm_held=3),
            rules=RuleSettings(ambiguous="push-best"),
            smtp=SmtpSettings(listen=settings.smtp.listen, max_per_ip=3),
        )
        await running.reload(changed)
        now = running.live.now
        assert now.accepts("codes@new.example")
        assert not now.accepts("codes@mailbridge.localhost")
        assert now.gate.accounts == ("ann@gmail.com",)
        assert (now.intake.alarm_held, now.intake.push_ambiguous) == (3, True)
        assert now.settings.smtp == settings.smtp


@looped
async def test_a_reload_listens_where_it_is_told_to(tmp_path: Path) -> None:
    """A new address is served and greets with the new name, one that is gone takes nobody, and who was there already goes on."""
    settings = settings_in(tmp_path)
    fresh, path = f"127.0.0.1:{free_port()}", f"unix:{tmp_path}/lmtp.sock"
    async with bridge(settings, state_dir=tmp_path) as running:
        (before,) = running.smtp_addresses
        host, _, port = before.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert (await reader.readline()).startswith(b"220")
        smtp = msgspec.structs.replace(settings.smtp, listen=(fresh,), lmtp=(path,), hostname="mx.corp.com")
        assert await running.reload(msgspec.structs.replace(settings, smtp=smtp)) == ()
        assert running.smtp_addresses == (fresh, path)
        assert running.settings.smtp == smtp
        assert (await greeting(fresh)).startswith(b"220 mx.corp.com")
        with pytest.raises(ConnectionRefusedError):
            await greeting(before)
        writer.write(b"NOOP\r\n")
        assert (await reader.readline()).startswith(b"250")
        writer.close()
        assert await running.reload(settings) == ()
        assert not (tmp_path / "lmtp.sock").exists()
        assert (await greeting(running.smtp_addresses[0])).startswith(b"220")


@looped
async def test_an_address_that_is_taken_waits_for_a_restart(tmp_path: Path) -> None:
    """All else of the new settings is in force, it listens where it did, and the answer names the section; nothing stays bound."""
    settings = settings_in(tmp_path)
    free = f"127.0.0.1:{free_port()}"
    async with bridge(settings, state_dir=tmp_path) as running:
        before = running.smtp_addresses
        smtp = msgspec.structs.replace(settings.smtp, listen=(free, before[0]))
        changed = msgspec.structs.replace(settings, smtp=smtp, domains=DomainSettings(accept=("new.example",)))
        assert await running.reload(changed) == ("smtp",)
        assert running.live.now.accepts("codes@new.example")
        assert running.smtp_addresses == before
        assert running.settings.smtp == settings.smtp
        with pytest.raises(ConnectionRefusedError):
            await greeting(free)


@looped
async def test_what_was_bound_for_a_reload_that_fails_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no worker starts for the new settings, nobody is served at the new address."""
    settings = settings_in(tmp_path)
    free = f"127.0.0.1:{free_port()}"
    async with bridge(settings, state_dir=tmp_path) as running:
        before = running.smtp_addresses
        monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
        smtp = msgspec.structs.replace(settings.smtp, listen=(free,))
        with pytest.raises(ConfigError, match="no parser worker starts"):
            await running.reload(msgspec.structs.replace(settings, smtp=smtp))
        assert running.smtp_addresses == before
        with pytest.raises(ConnectionRefusedError):
            await greeting(free)


async def greeting(address: str) -> bytes:
    """What is said first at an address."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        return await reader.readline()
    finally:
        writer.close()


def test_check_config_refuses_what_a_reload_refuses(tmp_path: Path) -> None:
    """The command names the key of the OAuth tokens that others can read, and does not call the configuration good."""
    settings = settings_in(tmp_path)
    open_vault(settings.store).write("box", Secret("a refresh token"))
    (tmp_path / "oauth" / "vault.key").chmod(0o644)
    config = tmp_path / "mailbridge.toml"
    config.write_text(
        f'[store]\nurl = "{settings.store.url}"\n[[imap]]\nname = "box"\npreset = "gmail"\nusername = "ann@gmail.com"\n'
        'oauth = { provider = "google", client_id = "x", client_secret = "y" }\n',
        encoding="utf-8",
    )
    config.chmod(0o600)
    found = CliRunner().invoke(cli, ["check-config", "--config", str(config)])
    assert found.exit_code == 78, found.output
    assert "vault.key" in found.output
    assert "chmod 600" in found.output
