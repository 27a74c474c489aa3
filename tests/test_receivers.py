"""Webhooks and HTTP targets from the configuration to the receiver: beside Skyvern, in order, disabled and enabled again."""

from __future__ import annotations

import asyncio
import json
import secrets
import smtplib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from standardwebhooks.webhooks import Webhook

from mailbridge.app.daemon import Bridge, bridge
from mailbridge.cli import cli
from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import IdentitySettings, NotifySettings, Settings
from mailbridge.core.delivery import State
from mailbridge.core.secret import Secret
from mailbridge.operator.shapes import Status
from mailbridge.sinks.signing import new_secret
from tests.loop import looped, until
from tests.peers.daemon import RCPT
from tests.peers.scripted import Scripted, answer, scripted, silence
from tests.test_additions import configured
from tests.test_app import send

WHOM = "ann@other.example"
SECRET = new_secret().reveal()
TRUSTING = '[trust]\ndefault = "none"\n'


def settings_of(folder: Path, text: str) -> tuple[Path, Settings]:
    """A configuration with these tables, and what it says."""
    config = configured(folder)
    config.write_text(config.read_text() + TRUSTING + text, encoding="utf-8")
    config.chmod(0o600)
    return config, load(config, environ={}, cwd=folder).settings


def hook(server: Scripted, more: str = "", kind: str = "webhook") -> str:
    """A target at a scripted server."""
    signing = f'secret = "{SECRET}"\n' if kind == "webhook" else ""
    return f'[[target]]\nname = "hook"\nkind = "{kind}"\nurl = "{server.base_url}/in/a-path-that-is-secret"\n{signing}{more}'


async def delivered(running: Bridge, *wanted: tuple[str, State]) -> None:
    """Wait until the deliveries stand so, oldest first."""
    async with asyncio.timeout(60):
        while True:
            rows = await running.engine.store.outbox.deliveries()
            if [(row.draft.target, row.state) for row in reversed(rows)] == list(wanted):
                return
            await asyncio.sleep(0.01)


def told(server: Scripted) -> list[dict[str, Any]]:
    """What a webhook was told, each verified by the reference library."""
    verifier = Webhook(SECRET)
    return [verifier.verify(one.body, {name: values[0] for name, values in one.headers.items()}) for one in server.heard]


async def status_of(running: Bridge) -> Status:
    """What the daemon says of itself."""
    assert running.operator is not None
    found = await running.operator.daemon.status()
    assert isinstance(found, Status)
    return found


def run(config: Path, words: Sequence[str], key: str = "") -> str:
    """What a command says, whatever its exit code."""
    return CliRunner().invoke(cli, [*words[:2], "--config", str(config), *words[2:]], input=key).output


@looped
async def test_a_code_goes_to_skyvern_and_to_the_webhook_beside_it(tmp_path: Path) -> None:
    """From the configuration to the receiver: signed, told once, shown in the status without the secret part of its address."""
    async with scripted(answer(204)) as server:
        _, settings = settings_of(tmp_path, hook(server, "include_code = true\n"))
        async with bridge(settings, state_dir=tmp_path) as running:
            await send(running, "482911", identifier=WHOM)
            await delivered(running, ("practice", State.DELIVERED), ("hook", State.DELIVERED))
            (event,) = told(server)
            assert event["type"] == "code.received"
            assert (event["data"]["code"], event["data"]["identifier"]) == ("482911", WHOM)
            shown = {one.name: one for one in (await status_of(running)).targets}
            assert (shown["hook"].kind, shown["hook"].url, shown["hook"].reason) == ("webhook", server.base_url, "")
            assert not running.live.now.gate.is_practice
            assert running.engine.masks.masked(f"POST {settings.target[0].url}").count("a-path") == 0
            assert "a-path" not in running.engine.masks.masked(f"POST {server.base_url}/in/a-path-that-is-secret")


@looped
async def test_trouble_of_a_webhook_holds_up_nobody_and_keeps_the_id(tmp_path: Path) -> None:
    """Skyvern has the code while the webhook answers 503; then it gets it under the same id, and the trouble is shown and over."""
    async with scripted(answer(503), answer(503), answer(200)) as server:
        _, settings = settings_of(tmp_path, hook(server))
        async with bridge(settings, state_dir=tmp_path) as running:
            await send(running, "482911", identifier=WHOM)
            await until(lambda: running.engine.dispatcher.failing)
            assert (await running.health()).checks["target hook"] == "the receiver answered 503"
            await delivered(running, ("practice", State.DELIVERED), ("hook", State.DELIVERED))
            await until(lambda: not running.engine.dispatcher.failing)
    ids = {one.headers["webhook-id"][0] for one in server.heard}
    assert (len(ids), len(server.heard)) == (1, 3)


@looped
async def test_a_receiver_that_wants_nothing_more_is_disabled_until_a_test_is_taken(tmp_path: Path) -> None:
    """410: nothing is sent any more, what was for it is a dead letter and says how it is enabled; `target test` does that."""
    async with scripted(answer(410), answer(200, "well"), answer(204)) as server:
        config, settings = settings_of(tmp_path, hook(server))
        async with bridge(settings, state_dir=tmp_path) as running:
            await send(running, "482911", identifier=WHOM)
            await delivered(running, ("practice", State.DELIVERED), ("hook", State.DEAD))
            await send(running, "482912", identifier=WHOM)
            states = [("practice", State.DELIVERED), ("hook", State.DEAD)] * 2
            await delivered(running, *states)
            assert len(server.heard) == 1
            dead = (await running.engine.store.outbox.deliveries())[0]
            assert "mailbridge target test hook" in dead.reason
            assert "410" in (await status_of(running)).targets[1].reason
            said = await asyncio.to_thread(run, config, ["target", "test", "hook"])
            assert said == "ok   hook: it answered 200\n     well\n"
            assert told(server)[1]["type"] == "test"
            await send(running, "482913", identifier=WHOM)
            await delivered(running, *states, ("practice", State.DELIVERED), ("hook", State.DELIVERED))
            assert "target hook" not in (await running.health()).checks
            async with asyncio.timeout(30):
                while await running.engine.store.events.alarms():
                    await asyncio.sleep(0.05)


@looped
async def test_a_webhook_is_added_by_command_with_a_secret_of_its_own(tmp_path: Path) -> None:
    """In force at once; a private address needs to be allowed; the secret is shown once and never again."""
    async with scripted(answer(204)) as server:
        config, settings = settings_of(tmp_path, "")
        words = ["target", "add", "hook", "--for", "*", "--kind", "webhook", "--url", f"{server.base_url}/x"]
        async with bridge(settings, state_dir=tmp_path) as running:
            refused = await asyncio.to_thread(run, config, words)
            assert "allow_private = true" in refused
            added = json.loads(await asyncio.to_thread(run, config, [*words, "--allow-private", "--json"]))
            await until(lambda: [one.settings.name for one in running.engine.targets.made] == ["practice", "hook"])
            await send(running, "482911", identifier=WHOM)
            await delivered(running, ("practice", State.DELIVERED), ("hook", State.DELIVERED))
            (heard,) = server.heard
            Webhook(added["secret"]).verify(heard.body, {name: values[0] for name, values in heard.headers.items()})
            for command in (["target", "list"], ["config", "show"], ["config", "export"]):
                assert added["secret"] not in await asyncio.to_thread(run, config, command)


@looped
async def test_a_webhook_without_codes_among_its_events_gets_none(tmp_path: Path) -> None:
    """It has no part in the outbox."""
    async with scripted(answer(204)) as server:
        _, settings = settings_of(tmp_path, hook(server, 'events = ["mailbox.*"]\n'))
        async with bridge(settings, state_dir=tmp_path) as running:
            await send(running, "482911", identifier=WHOM)
            await delivered(running, ("practice", State.DELIVERED))
    assert server.heard == []


@looped
async def test_an_http_target_gets_what_its_template_says_of_the_mail(tmp_path: Path) -> None:
    """Added by command: the text and the To header are read from the mail by a worker, and the key stands in no list."""
    template, headers = tmp_path / "template.toml", tmp_path / "headers"
    template.write_text('[json]\ntotp_identifier = "{raw_to}"\ncontent = "{text}"\nsource = "email"\n', encoding="utf-8")
    headers.write_text("x-api-key: a-key-of-the-api\n", encoding="utf-8")
    headers.chmod(0o600)
    async with scripted(answer(200)) as server:
        config, settings = settings_of(tmp_path, "")
        words = ["target", "add", "api", "--for", "*", "--kind", "http", "--url", f"{server.base_url}/v1/credentials/totp"]
        words += ["--allow-private", "--template", str(template), "--headers-file", str(headers)]
        async with bridge(settings, state_dir=tmp_path) as running:
            assert await asyncio.to_thread(run, config, words) == "api is added\n"
            await until(lambda: [one.settings.name for one in running.engine.targets.made] == ["practice", "api"])
            await send(running, "482911", identifier=WHOM)
            await delivered(running, ("practice", State.DELIVERED), ("api", State.DELIVERED))
            assert "a-key-of-the-api" not in await asyncio.to_thread(run, config, ["config", "show"])
    (heard,) = server.heard
    body = heard.json()
    assert (body["totp_identifier"], body["source"]) == (WHOM, "email")
    assert "482911" in str(body["content"])
    assert heard.headers["x-api-key"] == ["a-key-of-the-api"]


def test_options_belong_to_their_kind(tmp_path: Path) -> None:
    """What would have no effect is a usage error, and so is what is missing."""
    config = configured(tmp_path)
    for words, said in (
        (["--kind", "webhook"], "needs --url"),
        (["--kind", "http", "--url", "https://x.example"], "needs --template"),
        (["--kind", "webhook", "--url", "https://x.example", "--source", "x"], "--source is not for --kind webhook"),
        (["--include-code"], "--include-code is not for --kind skyvern"),
        (["--event", "mail.*"], "--event is not for --kind skyvern"),
        (["--kind", "webhook", "--url", "https://x.example", "--template", "x"], "--template is not for --kind webhook"),
    ):
        assert said in run(config, ["target", "add", "x", "--for", "*", *words])


def posted(running: Bridge, text: str, *, to: str = WHOM, subject: str = "Hello") -> None:
    """Send a mail with this text."""
    host, _, port = running.smtp_addresses[0].rpartition(":")
    content = (
        f"Delivered-To: {to}\r\nX-Forwarded-For: {to} {RCPT}\r\nFrom: Larch <no-reply@larch.example>\r\nTo: {to}\r\n"
        f"Subject: {subject}\r\nMessage-ID: <{secrets.token_hex(8)}@larch.example>\r\n\r\n{text}\r\n"
    )
    with smtplib.SMTP(host, int(port), local_hostname="load.localhost", timeout=10) as client:
        client.sendmail("bounce@larch.example", [RCPT], content.encode())


@looped
async def test_no_event_but_a_code_that_was_asked_for_holds_a_code(tmp_path: Path) -> None:
    """Two codes in one mail, a mail for nobody, one without a code, a dead letter: told without a digit of them, in order, each verified."""
    async with scripted(answer(200)) as server, scripted(answer(422)) as api:
        text = hook(server) + f'[[target]]\nname = "api"\nkind = "http"\nurl = "{api.base_url}/x"\nraw = "{{code}}"\n'
        _, settings = settings_of(tmp_path, text)
        narrow = msgspec.structs.replace(
            settings, identity=IdentitySettings(known=("*@other.example",), learn_from_skyvern=False)
        )
        async with bridge(narrow, state_dir=tmp_path) as running:
            await asyncio.to_thread(posted, running, "Nothing to see here.")
            await asyncio.to_thread(posted, running, "Your code is 482911. Your code is 593822.", subject="Code 482911 or 593822")
            await asyncio.to_thread(posted, running, "Your verification code is 604733.", to="who@nowhere.example")
            await asyncio.to_thread(posted, running, "Your verification code is 715644.")
            await until(lambda: {"delivery.dead", "code.received"} <= {one["type"] for one in told(server)})
            kinds = [one["type"] for one in told(server)]
            assert kinds.count("mail.no_code") == 1
            assert kinds.count("mail.held") == 2
            for heard in server.heard:
                assert not any(code in heard.body for code in (b"482911", b"593822", b"604733", b"715644"))
            dead = next(one["data"] for one in told(server) if one["type"] == "delivery.dead")
            assert (dead["target"], dead["identifier"], dead["attempts"]) == ("api", WHOM, 1)


@looped
async def test_a_target_that_wanted_nothing_more_is_still_disabled_after_a_restart(tmp_path: Path) -> None:
    """The alarm is in the store; another address under the same name, by a reload, begins anew."""
    async with scripted(answer(410)) as server, scripted(answer(204)) as other:
        _, settings = settings_of(tmp_path, hook(server))
        async with bridge(settings, state_dir=tmp_path) as running:
            await send(running, "482911", identifier=WHOM)
            await delivered(running, ("practice", State.DELIVERED), ("hook", State.DEAD))
            async with asyncio.timeout(30):
                while not await running.engine.store.events.alarms():
                    await asyncio.sleep(0.05)
        async with bridge(settings, state_dir=tmp_path) as running:
            assert "410" in running.engine.dispatcher.alarms["hook"]
            await send(running, "482912", identifier=WHOM)
            states = [("practice", State.DELIVERED), ("hook", State.DEAD)] * 2
            await delivered(running, *states)
            assert len(server.heard) == 1
            moved = msgspec.structs.replace(settings.target[0], url=Secret(f"{other.base_url}/in"))
            await running.reload(msgspec.structs.replace(settings, target=(moved,)))
            await send(running, "482913", identifier=WHOM)
            await delivered(running, *states, ("practice", State.DELIVERED), ("hook", State.DELIVERED))


@looped
async def test_a_reload_changes_who_is_told(tmp_path: Path) -> None:
    """A notice that is new, one that is gone; a mistake in one changes nothing."""
    async with scripted(answer(200)) as server:
        _, settings = settings_of(tmp_path, "")
        desk = NotifySettings(name="desk", kind="http", url=Secret(f"{server.base_url}/x"), events=("mail.*",))
        async with bridge(settings, state_dir=tmp_path) as running:
            await running.reload(msgspec.structs.replace(settings, notify=(desk,)))
            async with asyncio.timeout(30):
                while not list(await running.engine.store.journal.after(0)) or not server.heard:
                    await asyncio.to_thread(posted, running, "Nothing to see here.")
                    await asyncio.sleep(0.3)
            bad = msgspec.structs.replace(desk, url=Secret("ftp://x.example/"))
            with pytest.raises(ConfigError, match="url: must begin with"):
                await running.reload(msgspec.structs.replace(settings, notify=(bad,)))
            await running.reload(settings)
            assert server.heard[0].json()["type"] == "mail.no_code"


@looped
async def test_a_receiver_that_never_answers_costs_nobody_else_time(tmp_path: Path) -> None:
    """Its attempts end by their own time; Skyvern and another webhook have every code meanwhile."""
    async with scripted(silence()) as stuck, scripted(answer(204)) as server:
        text = hook(server) + hook(stuck).replace('"hook"', '"stuck"') + 'senders = 1\ntimeout = "60s"\n'
        _, settings = settings_of(tmp_path, text)
        async with bridge(settings, state_dir=tmp_path) as running:
            for number in range(5):
                await send(running, f"48291{number}", identifier=f"ann{number}@other.example")
            await until(lambda: len([one for one in told(server) if one["type"] == "code.received"]) == 5)
            assert running.practice is not None
            for number in range(5):
                await running.practice.wait_for(f"48291{number}", patience=30)
            assert len(stuck.heard) == 1
