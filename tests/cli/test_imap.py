"""`imap` and `oauth`: what a person sees of watched mailboxes, from a daemon that runs and without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from mailbridge.app.daemon import bridge
from mailbridge.config.settings import (
    CanarySettings,
    HttpSettings,
    IdentitySettings,
    PracticeSettings,
    Settings,
    SmtpSettings,
    StoreSettings,
)
from tests.cli.running import Run
from tests.ingress.imap.watched import account, code_mail
from tests.loop import looped, until
from tests.peers.scripted_imap import ScriptedImap, Session
from tests.peers.token_endpoint import running_token_endpoint


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A scripted server that behaves."""
    with ScriptedImap() as one:
        yield one


def configured(here: Path, port: int, *, more: str = "", secret: str = 'password = "pw"') -> None:
    """A configuration with one account on the scripted server."""
    folder = here / "config"
    folder.mkdir()
    (folder / "mailbridge.toml").write_text(
        f'[store]\nurl = "sqlite:///{here}/state/mailbridge.db"\n{more}\n'
        f'[[imap]]\nname = "box"\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\nusername = "ann@corp.example"\n{secret}\n'
    )


def test_a_good_account_passes_every_step(here: Path, run: Run, server: ScriptedImap) -> None:
    """Connect, log in, list, open, idle; exit 0."""
    configured(here, server.port)
    done = run("imap", "test", "box", "--idle", "0.05")
    assert (done.code, [line.split()[0] for line in done.out.splitlines()]) == (0, ["ok"] * 5)
    assert "IDLE" in done.out


@pytest.mark.parametrize(
    ("secret", "port", "step", "told"),
    [
        ('password = "wrong-one"', 0, "login", "check username and password"),
        ('password = "pw"', 1, "connect", "connection refused"),
    ],
)
def test_a_bad_account_fails_at_its_step(
    here: Path, run: Run, server: ScriptedImap, secret: str, port: int, step: str, told: str
) -> None:
    """Exit 69, one line that says what to do, and no password in it."""
    configured(here, port or server.port, secret=secret)
    done = run("imap", "test", "box", "--json")
    last = done.rows[-1]
    assert (done.code, last["step"], last["ok"]) == (69, step, False)
    assert told in last["text"]
    assert "wrong-one" not in done.out + done.err


def test_an_unknown_account_is_told_apart(here: Path, run: Run, server: ScriptedImap) -> None:
    """Exit 4, and the names that there are; the same for a permission that no account asks for."""
    configured(here, server.port)
    assert (run("imap", "test", "bx").code, run("oauth", "login", "google").code) == (4, 4)


def test_files_of_an_account_are_checked_before_it_is_watched(here: Path, run: Run) -> None:
    """`check-config` names a certificate authority that is not there; exit 78."""
    configured(here, 993, secret='password = "pw"')
    path = here / "config" / "mailbridge.toml"
    path.write_text(path.read_text().replace('tls = "none"', 'tls_ca = "nowhere.pem"'))
    done = run("check-config")
    assert done.code == 78
    assert "nowhere.pem" in done.err


def test_status_needs_a_daemon(here: Path, run: Run, server: ScriptedImap) -> None:
    """Exit 69 and what starts one, where none runs."""
    configured(here, server.port, more='[http]\nlisten = "127.0.0.1:1"')
    done = run("imap", "status")
    assert done.code == 69
    assert "no daemon is running" in done.err


@looped
async def test_status_readyz_and_metrics_tell_the_truth(tmp_path: Path) -> None:
    """From the daemon itself: green while the server answers, the code pushed; degraded when it is gone, and mail still accepted."""
    with ScriptedImap() as server:
        settings = Settings(
            smtp=SmtpSettings(listen=("127.0.0.1:0",), tls=False),
            http=HttpSettings(listen="127.0.0.1:0"),
            practice=PracticeSettings(listen="127.0.0.1:0"),
            identity=IdentitySettings(learn_from_skyvern=False),
            store=StoreSettings(url=f"sqlite:///{tmp_path}/mailbridge.db"),
            imap=(account(server.port), account(1, name="gone", renew=timedelta(seconds=0.05))),
        )
        async with bridge(settings, state_dir=tmp_path) as running:
            await until(lambda: server.idling == 1)
            server.deliver(code_mail("482913"))
            assert running.practice is not None
            await until(lambda: running.practice is not None and running.practice.rows())
            await until(lambda: not running.mailboxes.health()[1].is_well)
            health = await running.health()
            assert (health.level, list(health.checks)) == ("degraded", ["practice", "mailbox gone/INBOX"])
            assert [row["is_well"] for row in health.mailboxes] == [True, False]
            told = (await running.render_metrics()).decode()
            assert 'mailbridge_mailbox_last_roundtrip_timestamp_seconds{mailbox="box/INBOX"}' in told
            assert "ann@corp.example" not in told + json.dumps(health.mailboxes)
            await running.reload(
                Settings(**{**{n: getattr(settings, n) for n in settings.__struct_fields__}, "imap": settings.imap[:1]})
            )
            assert [one.mailbox for one in running.mailboxes.health()] == ["box/INBOX"]
            await until(lambda: server.idling == 1)


def _throttled(session: Session, tag: str, _: str) -> bool:
    session.send(f"{tag} NO Server Unavailable. 15\r\n".encode())
    return True


@looped
async def test_a_reload_ends_the_wait_after_a_fault(tmp_path: Path) -> None:
    """Nothing has changed in the configuration: whoever sends a HUP has mended something elsewhere, and does not wait for half a minute."""
    with ScriptedImap() as server:
        server.hooks["EXAMINE"] = _throttled
        settings = Settings(
            smtp=SmtpSettings(listen=("127.0.0.1:0",), tls=False),
            http=HttpSettings(listen="127.0.0.1:0"),
            practice=PracticeSettings(listen="127.0.0.1:0"),
            identity=IdentitySettings(learn_from_skyvern=False),
            store=StoreSettings(url=f"sqlite:///{tmp_path}/mailbridge.db"),
            imap=(account(server.port),),
        )
        async with bridge(settings, state_dir=tmp_path) as running:
            await until(lambda: running.mailboxes.health()[0].mode == "waiting")
            assert not running.mailboxes.health()[0].is_well
            server.hooks.clear()
            watched = running.mailboxes
            await running.reload(settings)
            await until(lambda: server.idling == 1, patience=5)
            assert running.mailboxes is watched


def _is_full(session: Session, tag: str, _: str) -> bool:
    session.send(f"{tag} NO [OVERQUOTA] full\r\n".encode())
    return True


@looped
async def test_a_canary_shows_in_readyz_metrics_and_status(here: Path, run: Run) -> None:
    """One that arrives with its time; one that does not as a degradation and an alarm, which a reload takes along."""
    with ScriptedImap() as server, ScriptedImap() as lost:
        lost.hooks["APPEND"] = _is_full
        every = CanarySettings(every=timedelta(milliseconds=200), by="append")
        settings = Settings(
            smtp=SmtpSettings(listen=("127.0.0.1:0",), tls=False),
            http=HttpSettings(listen="127.0.0.1:0"),
            practice=PracticeSettings(listen="127.0.0.1:0"),
            identity=IdentitySettings(learn_from_skyvern=False),
            store=StoreSettings(url=f"sqlite:///{here}/mailbridge.db"),
            imap=(account(server.port, canary=every), account(lost.port, name="lost", canary=every)),
        )
        async with bridge(settings, state_dir=here) as running:
            await until(lambda: running.mailboxes.canaries()["box"].seen is not None)
            await until(lambda: not running.mailboxes.canaries()["lost"].is_well)
            health = await running.health()
            assert (health.level, list(health.checks)) == ("degraded", ["practice", "canary lost"])
            assert "could not be sent" in health.checks["canary lost"] and "full" in health.checks["canary lost"]
            told = (await running.render_metrics()).decode()
            assert 'mailbridge_mailbox_canary_seconds{mailbox="box"}' in told
            assert 'mailbridge_mailbox_canary_last_arrival_timestamp_seconds{mailbox="box"}' in told
            assert (
                'mailbridge_alarm{kind="canary",name="lost"} 1.0' in told
                and 'mailbridge_alarm{kind="canary",name="box"} 0.0' in told
            )
            assert running.practice is not None and not running.practice.rows()
            (here / "status.toml").write_text(f'[store]\nurl = "sqlite:///{here}/mailbridge.db"\n')
            done = await asyncio.to_thread(run, "imap", "status", "--config", str(here / "status.toml"))
            assert (done.code, [line[:4] for line in done.out.splitlines()]) == (1, ["ok  ", "ok  ", "ok  ", "FAIL", "    "])
            assert "box canary" in done.out and "lost canary" in done.out
            await running.reload(msgspec.structs.replace(settings, imap=settings.imap[:1]))
            assert "canary lost" not in (await running.render_metrics()).decode()


def test_a_canary_is_tried_without_a_daemon(here: Path, run: Run, server: ScriptedImap) -> None:
    """Sent, seen and removed, each with its time; the mail that lies there is left alone, and nothing is kept."""
    configured(here, server.port)
    server.deliver(code_mail("482913"))
    done = run("imap", "test", "box", "--idle", "0.05", "--canary")
    assert (done.code, [line.partition(":")[0] for line in done.out.splitlines()][-3:]) == (
        0,
        ["ok   canary sent", "ok   canary seen", "ok   canary removed"],
    )
    assert "APPEND" in done.out and " ms" in done.out
    assert len(server.mails) == 1 and not server.mails[0].flags


def test_a_canary_that_cannot_go_fails_the_try(here: Path, run: Run, server: ScriptedImap) -> None:
    """Exit 69 with the reason."""
    configured(here, server.port, secret='password = "pw"\ncanary = { smtp = "127.0.0.1:1" }')
    done = run("imap", "test", "box", "--idle", "0.05", "--canary", "--json")
    assert (done.code, done.rows[-1]["step"], done.rows[-1]["ok"]) == (69, "canary sent", False)
    assert "connection refused" in done.rows[-1]["text"]


def test_a_permission_is_kept_for_the_daemon(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`oauth login` by device code: the words on the screen, the token sealed on disk and nowhere else."""
    with running_token_endpoint() as provider:
        grant = (
            'oauth = { provider = "custom", client_id = "app", scope = "mail", '
            f'token_url = "{provider.url}/token", device_url = "{provider.url}/device" }}'
        )
        configured(here, 1, secret=grant)
        done = run("oauth", "login", "box", "--device")
        assert done.code == 0
        assert "ABCD-EFGH" in done.out
        kept = next((here / "state").rglob("box.token"))
        assert all(token.encode() not in kept.read_bytes() and token not in done.out for token in provider.refresh)


def test_a_permission_by_browser(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is shown; what the browser brings back is exchanged."""
    with running_token_endpoint() as provider:
        grant = (
            'oauth = { provider = "custom", client_id = "app", scope = "mail", '
            f'token_url = "{provider.url}/token", auth_url = "{provider.url}/auth" }}'
        )
        configured(here, 1, secret=grant)
        _browser(here, monkeypatch)
        done = run("oauth", "login", "box", "--timeout", "10")
        assert (done.code, provider.tokens_asked()) == (0, 1)


def _browser(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that says yes: the program that $BROWSER and xdg-open would be."""
    place = here / "bin"
    place.mkdir()
    program = place / "xdg-open"
    program.write_text(
        "#!/usr/bin/env python3\nimport sys, urllib.request\nurllib.request.urlopen(sys.argv[1], timeout=5).read()\n"
    )
    program.chmod(0o755)
    import os

    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
