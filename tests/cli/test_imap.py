"""`imap` and `oauth`: what a person sees of watched mailboxes, from a daemon that runs and without one."""

from __future__ import annotations

import asyncio
import json
import subprocess
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
from tests.cli.running import PROGRAM, Run, environment
from tests.ingress.imap.watched import account, code_mail
from tests.loop import looped, until
from tests.peers.scripted_imap import ScriptedImap, Session
from tests.peers.token_endpoint import TokenEndpoint, running_token_endpoint


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
    """Connect, log in, list, open, fetch, idle; exit 0."""
    configured(here, server.port)
    done = run("imap", "test", "box", "--idle", "0.05")
    assert (done.code, [line.split()[0] for line in done.out.splitlines()]) == (0, ["ok"] * 6)
    assert "IDLE" in done.out


def test_an_idle_that_ends_by_itself_is_told(here: Path, run: Run, server: ScriptedImap) -> None:
    """It was not held, and the account works all the same."""

    def ended(session: Session, tag: str, _: str) -> bool:
        session.send(f"+ idling\r\n{tag} OK that was all\r\n".encode())
        return True

    server.hooks["IDLE"] = ended
    configured(here, server.port)
    done = run("imap", "test", "box", "--idle", "5")
    assert done.code == 0 and "ended by the server at once" in done.out


def _refused(session: Session, tag: str, _: str) -> bool:
    session.send(f"{tag} NO [SERVERBUG] it is broken\r\n".encode())
    return True


def test_a_server_that_gives_no_mail_fails_at_the_fetch(here: Path, run: Run, server: ScriptedImap) -> None:
    """Login and folder are well, and no mail can be had: exit 69, with the server's words."""
    configured(here, server.port)
    server.deliver(code_mail("482913"))
    server.hooks["UID FETCH"] = _refused
    done = run("imap", "test", "box", "--idle", "0.05", "--json")
    assert (done.code, done.rows[-1]["step"], done.rows[-1]["ok"]) == (69, "fetch", False)
    assert "it is broken" in done.rows[-1]["text"]


def test_one_mail_that_cannot_be_had_is_no_failure(here: Path, run: Run, server: ScriptedImap) -> None:
    """The newest one is refused, the one before it comes: the account works."""
    configured(here, server.port)
    for code in ("482913", "482914"):
        server.deliver(code_mail(code))

    def hook(session: Session, tag: str, arguments: str) -> bool:
        return arguments.startswith("2 ") and _refused(session, tag, arguments)

    server.hooks["UID FETCH"] = hook
    done = run("imap", "test", "box", "--idle", "0.05", "--json")
    assert (done.code, next(row["text"] for row in done.rows if row["step"] == "fetch").split(",")[0]) == (
        0,
        "INBOX: the mail with UID 1",
    )


def test_a_folder_to_move_to_has_to_be_there(here: Path, run: Run, server: ScriptedImap) -> None:
    """`after` names a folder that the server does not have: exit 69, named with the setting."""
    configured(here, server.port, secret='password = "pw"\nafter = "move:Nowhere"')

    def hook(session: Session, tag: str, arguments: str) -> bool:
        if "Nowhere" not in arguments:
            return False
        session.send(f"{tag} NO [NONEXISTENT] no such folder\r\n".encode())
        return True

    server.hooks["EXAMINE"] = hook
    done = run("imap", "test", "box", "--idle", "0.05", "--json")
    assert (done.code, done.rows[-1]["step"], done.rows[-1]["ok"]) == (69, "after", False)
    assert "after = 'move:Nowhere'" in done.rows[-1]["text"]
    server.hooks.clear()
    assert run("imap", "test", "box", "--idle", "0.05").code == 0


def test_thousands_of_folders_fit_on_a_screen(here: Path, run: Run, server: ScriptedImap) -> None:
    """The watched ones and those with a role are named, the others counted; escapes in their names do nothing to a terminal."""
    configured(here, server.port)
    server.folders |= {f"Archive/{number}/{'x' * 40}": [] for number in range(3000)} | {"Junk": [], "a\x1b[31mb": []}
    done = run("imap", "test", "box", "--idle", "0.05")
    assert done.code == 0
    assert len(done.out.splitlines()) <= 24 and len(done.out) <= 24 * 80
    assert "INBOX, Junk (junk), " in done.out and " more" in done.out and "\x1b" not in done.out


@looped
async def test_a_mailbox_is_added_tried_and_watched_at_once(here: Path, run: Run) -> None:
    """By its address: tried with a fetch, watched by the running daemon under a name without it, followed to the verdict, removed."""
    with ScriptedImap() as server:
        settings = Settings(
            smtp=SmtpSettings(listen=("127.0.0.1:0",), tls=False),
            http=HttpSettings(listen="127.0.0.1:0"),
            practice=PracticeSettings(listen="127.0.0.1:0"),
            identity=IdentitySettings(learn_from_skyvern=False),
            store=StoreSettings(url=f"sqlite:///{here}/mailbridge.db"),
        )
        (here / "c.toml").write_text(f'[store]\nurl = "sqlite:///{here}/mailbridge.db"\n')
        (here / "pw").write_text("wrong-one")
        (here / "pw").chmod(0o600)
        words = ["imap", "add", "ann@corp.example", "--config", str(here / "c.toml"), "--server", f"127.0.0.1:{server.port}"]
        words += ["--tls", "none", "--password-file", str(here / "pw")]
        async with bridge(settings, state_dir=here) as running:
            done = await asyncio.to_thread(run, *words)
            assert (done.code, running.mailboxes.health()) == (69, ())
            assert "ann@corp.example is not added; login: " in done.err and "wrong-one" not in done.out + done.err
            (here / "pw").write_text("pw")
            adding = asyncio.create_task(asyncio.to_thread(run, *words, "--timeout", "30"))
            await until(lambda: [one.mailbox for one in running.mailboxes.health()] == ["imap-1/INBOX"] and server.idling == 1)
            while not adding.done():
                server.deliver(code_mail(f"{len(server.mails) + 482913}"))
                await asyncio.wait([adding], timeout=0.5)
            done = await adding
            assert done.code == 0, done.err
            assert "imap-1" in done.out and "fetch" in done.out and "delivered" in done.out
            listed = await asyncio.to_thread(run, "imap", "list", "--json", "--config", str(here / "c.toml"))
            assert [row["name"] for row in listed.rows] == ["imap-1"] and "pw" not in listed.out
            tested = await asyncio.to_thread(run, "imap", "test", "imap-1", "--idle", "0.05", "--config", str(here / "c.toml"))
            assert tested.code == 0, tested.err
            told = (await running.render_metrics()).decode()
            assert 'mailbox="imap-1/INBOX"' in told and "ann@corp.example" not in told
            gone = await asyncio.to_thread(run, "imap", "remove", "ann@corp.example", "--config", str(here / "c.toml"))
            assert (gone.code, running.mailboxes.health()) == (0, ())


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


def _lets_in(server: ScriptedImap, provider: TokenEndpoint) -> None:
    """Every access token of the provider opens the mailbox."""
    server.capabilities = "IMAP4rev1 IDLE AUTH=XOAUTH2"

    def authenticate(session: Session, _: str, __: str) -> bool:
        session.server.tokens = set(provider.access)
        return False

    server.hooks["AUTHENTICATE"] = authenticate


def _grant(provider: TokenEndpoint) -> str:
    return (
        'oauth = { provider = "custom", client_id = "app", scope = "mail", '
        f'token_url = "{provider.url}/token", auth_url = "{provider.url}/auth", device_url = "{provider.url}/device" }}'
    )


def test_a_permission_is_kept_for_the_daemon(here: Path, run: Run, server: ScriptedImap) -> None:
    """`oauth login` by device code: the words on the screen, the token sealed on disk and nowhere else, after one login."""
    with running_token_endpoint() as provider:
        _lets_in(server, provider)
        configured(here, server.port, secret=_grant(provider))
        done = run("oauth", "login", "box", "--device")
        assert done.code == 0, done.err
        assert "ABCD-EFGH" in done.out and len(server.logins) == 1
        kept = next((here / "state").rglob("box.token"))
        assert all(token.encode() not in kept.read_bytes() and token not in done.out for token in provider.refresh)


def test_a_permission_that_opens_nothing_is_not_kept(here: Path, run: Run, server: ScriptedImap) -> None:
    """The provider says yes and the mailbox says no: exit 69 with the server's words, and no token on disk."""
    with running_token_endpoint() as provider:
        server.capabilities = "IMAP4rev1 IDLE AUTH=XOAUTH2"
        configured(here, server.port, secret=_grant(provider))
        done = run("oauth", "login", "box", "--device")
        assert done.code == 69
        assert "refuses the login" in done.err and not list((here / "state").rglob("box.token"))


def test_a_permission_by_browser(here: Path, run: Run, server: ScriptedImap, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is shown; what the browser brings back is exchanged, and tried."""
    with running_token_endpoint() as provider:
        _lets_in(server, provider)
        configured(here, server.port, secret=_grant(provider))
        _browser(here, monkeypatch)
        done = run("oauth", "login", "box", "--timeout", "10")
        assert (done.code, provider.tokens_asked()) == (0, 2)


def test_a_permission_is_pasted_back(here: Path, server: ScriptedImap) -> None:
    """Without a browser on this machine: the address that a browser elsewhere ended at, from standard input."""
    with running_token_endpoint() as provider:
        _lets_in(server, provider)
        configured(here, server.port, secret=_grant(provider))
        with subprocess.Popen(
            [*PROGRAM, "oauth", "login", "box", "--no-browser", "--port", "4711"],
            cwd=here,
            env=environment(here) | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            address = next(line.strip() for line in process.stdout if line.strip().startswith("http"))
            redirect = provider.consent(address)
            assert redirect.startswith("http://127.0.0.1:4711/?")
            out, err = process.communicate(f"{redirect}\n", timeout=60)
        assert process.returncode == 0, err
        assert "is kept" in out and list((here / "state").rglob("box.token"))


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
