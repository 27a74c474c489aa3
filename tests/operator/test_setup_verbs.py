"""The verbs of a setup in a running daemon: a key, a mailbox and an address are added once, tried first, and kept as data."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest

from mailbridge.app.daemon import Bridge, bridge
from mailbridge.config.added import ADDABLE, MAIN, Added, as_toml, has_main, merged, removal
from mailbridge.config.load import load
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import Settings, SkyvernSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.tls import self_signed
from mailbridge.operator.setup.verb import SetupState
from mailbridge.operator.tokens import AddToken, Tokens
from tests.loop import looped
from tests.peers.practice import PracticePeer, running_practice
from tests.peers.scripted_imap import ScriptedImap
from tests.test_additions import configured

ANN = "ann@corp.com"


@dataclass
class Client:
    """Asks a running daemon over HTTP as an operator."""

    running: Bridge
    token: str = ""

    async def post(self, path: str, **values: object) -> httpx.Response:
        """A POST to a route of the setup."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            headers = {"Authorization": f"Bearer {self.token}"}
            return await client.post(f"http://{self.running.http_address}/api/v1/setup/{path}", json=values, headers=headers)

    async def answer(self, name: str, value: str) -> httpx.Response:
        """One answer."""
        return await self.post("answer", name=name, value=value)

    async def taken(self, name: str, value: str) -> SetupState:
        """One answer that has to be taken."""
        found = await self.answer(name, value)
        assert found.status_code == 200, found.text
        return msgspec.convert(found.json(), SetupState)


async def operator(running: Bridge) -> Client:
    """A client with a token of its own."""
    made = await Tokens(entries=running.engine.store.entries, now=running.engine.clock.now).add(
        AddToken(name="test", role="operator")
    )
    return Client(running, token=getattr(made, "token", ""))


def settings_in(folder: Path) -> Settings:
    """A daemon's settings on free ports, without a key."""
    return load(configured(folder), environ={}, cwd=folder).settings


@looped
async def test_a_key_is_tried_kept_and_in_force_at_once_and_after_a_restart(tmp_path: Path) -> None:
    """A wrong one changes nothing; a good one takes the practice receiver's place without a restart, encrypted; removed, it is gone."""
    settings = settings_in(tmp_path)
    with running_practice() as skyvern:
        async with bridge(settings, state_dir=tmp_path) as running:
            one = await operator(running)
            assert running.engine.targets.served(running.settings).is_practice
            await one.taken("skyvern", skyvern.base_url)
            wrong = await one.answer("key", "not-the-key")
            assert wrong.status_code == 409
            assert "refuses the API key" in wrong.json()["title"]
            assert "not-the-key" not in wrong.text
            state = await one.taken("key", skyvern.api_key)
            assert skyvern.api_key not in msgspec.json.encode(state).decode()
            assert _serves(running, skyvern)
            assert state.steps[0].level == "done"
            assert [done.text.partition(",")[0] for done in state.did] == [f"key for {skyvern.base_url}"]
            revision = await running.engine.store.entries.revision()
            again = await one.taken("key", skyvern.api_key)
            assert again.did == state.did
            assert await running.engine.store.entries.revision() == revision
        assert skyvern.api_key.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("mailbridge.db*"))
        async with bridge(settings, state_dir=tmp_path) as running:
            assert _serves(running, skyvern)
            assert await running.engine.store.entries.remove(MAIN, MAIN)
        async with bridge(settings, state_dir=tmp_path) as running:
            assert running.engine.targets.served(running.settings).is_practice


def _serves(running: Bridge, skyvern: PracticePeer) -> bool:
    served = running.engine.targets.served(running.settings)
    main = served.targets[0]
    return not served.is_practice and (main.base_url, main.api_key) == (skyvern.base_url, Secret(skyvern.api_key))


@looped
async def test_an_address_is_added_once_and_answers_are_kept_over_a_restart(tmp_path: Path) -> None:
    """The steps of a way in are done as far as they can be; asked again, nothing is added twice; begun anew, what was added stays."""
    settings = settings_in(tmp_path)
    settings = msgspec.structs.replace(settings, smtp=msgspec.structs.replace(settings.smtp, lmtp=("127.0.0.1:0",)))
    async with bridge(settings, state_dir=tmp_path) as running:
        one = await operator(running)
        for name, value in (("key", ""), ("way", "lmtp"), ("for", ANN), ("sites", "github.com"), ("domain", "corp.example")):
            state = await one.taken(name, value)
        assert state.current == "mail"
        added = await running.engine.store.entries.entries("address")
        assert [entry.settings["site"] for entry in added] == [["github.com"]]
        await asyncio.gather(*(one.post("go") for _ in range(5)))
        assert len(await running.engine.store.entries.entries("address")) == 1
        assert (await one.answer("domain", "")).status_code == 409
        assert (await one.answer("way", "pigeon")).status_code == 409
        assert (await one.answer("pigeon", "x")).status_code == 400
    async with bridge(settings, state_dir=tmp_path) as running:
        one = await operator(running)
        state = msgspec.convert((await one.post("go")).json(), SetupState)
        assert (state.identifier, state.current) == (ANN, "mail")
        begun = msgspec.convert((await one.post("forget")).json(), SetupState)
        assert (begun.identifier, len(begun.did)) == ("", 1)
        assert len(await running.engine.store.entries.entries("address")) == 1


@looped
async def test_a_mailbox_that_does_not_let_us_in_is_not_added(tmp_path: Path) -> None:
    """The failing step and its reason; the address that was typed stays; without an address there is nothing to try."""
    async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
        one = await operator(running)
        await one.taken("key", "")
        await one.taken("way", "mailbox")
        assert "name the mailbox first" in (await one.answer("password", "pw")).json()["title"]
        await one.taken("username", ANN)
        await one.taken("host", "127.0.0.1:9")
        found = await one.answer("password", "a-password-of-ann")
        assert found.status_code == 409
        assert found.json()["title"].startswith(f"{ANN} is not added; connect: ")
        assert "a-password-of-ann" not in found.text
        assert await running.engine.store.entries.entries("imap") == ()
        state = msgspec.convert((await one.post("go")).json(), SetupState)
        assert state.question is not None
        assert (state.question.name, state.steps[2].text) == ("password", ANN)


class Records:
    """DNS in which corp.com is hosted by Google."""

    async def txt(self, name: str) -> tuple[str, ...]:
        return ()

    async def addresses(self, name: str) -> tuple[str, ...]:
        return ()

    async def exchangers(self, name: str) -> tuple[str, ...]:
        return ("aspmx.l.google.com",) if name == "corp.com" else ()


@looped
async def test_a_hosted_domain_is_known_by_its_mx_records(tmp_path: Path) -> None:
    """The password of its provider is asked for, not a server; no server is known for another domain."""
    async with bridge(settings_in(tmp_path), state_dir=tmp_path, dns=Records()) as running:
        one = await operator(running)
        await one.taken("key", "")
        await one.taken("way", "mailbox")
        state = await one.taken("username", ANN)
        assert state.question is not None
        assert state.question.name == "password" and "apppasswords" in state.question.text
        state = await one.taken("username", "ann@other.example")
        assert state.question is not None
        assert (state.question.name, state.question.default) == ("host", "imap.other.example")


@looped
async def test_a_mailbox_is_added_as_the_command_adds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried with a fetch over TLS, named without its address, bound to the identifier, and watched; said twice, it is added once."""
    pair = self_signed(tmp_path, "localhost")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(pair.cert, pair.key)
    with ScriptedImap(tls=theirs) as server:
        server.deliver(b"From: a@b.example\r\nSubject: x\r\n\r\nAt noon?\r\n")
        async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
            one = await operator(running)
            for name, value in (("key", ""), ("way", "mailbox"), ("username", ANN), ("host", f"localhost:{server.port}")):
                await one.taken(name, value)
            assert "tls_ca" in (await one.answer("password", "pw")).json()["title"]
            monkeypatch.setenv("SSL_CERT_FILE", str(pair.cert))
            assert "login: " in (await one.answer("password", "not-it")).json()["title"]
            state = await one.taken("password", "pw")
            assert state.did[-1].text.startswith(f"mailbox {ANN}, as imap-1;")
            (entry,) = await running.engine.store.entries.entries("imap")
            assert (entry.name, entry.settings["identifier"], entry.settings["host"]) == ("imap-1", ANN, "localhost")
            assert any(" UID FETCH " in words and "BODY.PEEK" in words for words in server.log)
            await one.taken("password", "pw")
            assert len(await running.engine.store.entries.entries("imap")) == 1
            assert running.settings.imap[0].label == "imap-1"


@looped
async def test_a_yes_allows_the_one_question_that_was_shown(tmp_path: Path) -> None:
    """Before Gmail has asked there is nothing to allow."""
    async with bridge(settings_in(tmp_path), state_dir=tmp_path) as running:
        one = await operator(running)
        for name, value in (("key", ""), ("way", "gmail"), ("for", ANN), ("sites", ""), ("domain", "bridge.example.com")):
            await one.taken(name, value)
        assert "has not asked yet" in (await one.answer("allow", "yes")).json()["title"]
        assert "only this machine" in (await one.answer("domain", "corp.local")).json()["title"]


def _added(**values: object) -> Added:
    return Added(
        kind=MAIN,
        name=MAIN,
        values=values,
        secrets={"api_key": Secret("sk-added")},
        at=datetime(2026, 1, 1, tzinfo=UTC),
        by="ann",
    )


def test_a_key_of_the_file_comes_before_one_that_was_added() -> None:
    """The added one counts only while there is no other, and keeps what else the file says of Skyvern."""
    own = SkyvernSettings(source="sms", base_url="http://skyvern.example")
    found = merged(Settings(skyvern=own), (_added(),)).skyvern
    assert (found.source, found.base_url, found.api_key) == ("sms", "http://skyvern.example", Secret("sk-added"))
    assert merged(Settings(skyvern=own), (_added(base_url="http://other.example"),)).skyvern.base_url == "http://other.example"
    file = msgspec.structs.replace(own, api_key=Secret("sk-file"))
    assert merged(Settings(skyvern=file), (_added(),)).skyvern.api_key == Secret("sk-file")
    assert not has_main(Settings())


def test_a_key_that_was_added_is_exported_as_its_section() -> None:
    """Not as a table of a list; the command that takes it back is one that there is."""
    text = as_toml([_added(base_url="http://other.example")])
    assert "[skyvern]\n" in text
    assert "[[" not in text
    assert "sk-added" not in text
    assert {removal(kind, "x") for kind in ADDABLE} >= {"mailbridge skyvern remove-key", "mailbridge address remove x"}


def test_an_added_key_that_is_none_is_refused() -> None:
    """As one of the file would be."""
    with pytest.raises(ConfigError, match="base_ulr"):
        merged(Settings(), (_added(base_ulr="http://x"),))
