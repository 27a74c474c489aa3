"""What only the assembly can get wrong: rooms that know nothing of each other, joined."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec

from mailbridge.app.daemon import bridge
from mailbridge.config import settings as s
from mailbridge.core.recipients import Recipient
from mailbridge.core.secret import Secret
from mailbridge.intake.events import ConfirmationRequest
from mailbridge.intake.policy import policy_of
from tests.ingress.imap.watched import account, code_mail
from tests.loop import looped, until
from tests.peers.scripted_imap import ScriptedImap

ASKING = "ann@gmail.com"


def settings(folder: Path, **changes: object) -> s.Settings:
    """A daemon of its own, whose target nobody answers for."""
    base = s.Settings(
        smtp=s.SmtpSettings(listen=("127.0.0.1:0",), tls=False),
        http=s.HttpSettings(listen="127.0.0.1:0"),
        skyvern=s.SkyvernSettings(base_url="http://127.0.0.1:9", api_key=Secret("a-key-of-nobody")),
        identity=s.IdentitySettings(learn_from_skyvern=False),
        store=s.StoreSettings(url=f"sqlite:///{folder}/mailbridge.db"),
    )
    return msgspec.structs.replace(base, **changes)


@asynccontextmanager
async def counted_target() -> AsyncIterator[tuple[s.SkyvernSettings, list[str]]]:
    """A target that only counts who connects to it."""
    connections: list[str] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append("one more")
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(meet, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield s.SkyvernSettings(base_url=url, api_key=Secret("a-key-of-nobody")), connections


@looped
async def test_somebody_who_waits_makes_the_mailboxes_hot(tmp_path: Path) -> None:
    """A mailbox is asked often from the moment in which somebody begins to wait, and no more once nobody does."""
    with ScriptedImap() as server:
        server.is_deaf = True
        async with bridge(settings(tmp_path, imap=(account(server.port),)), state_dir=tmp_path) as running:

            def mode() -> str:
                return running.mailboxes.health()[0].mode

            await until(lambda: mode() == "idle")
            wait = running.engine.waiting.begin("ann@corp.example", who="a test", until=datetime.now(UTC) + timedelta(minutes=1))
            await until(lambda: mode() == "hot")
            running.engine.waiting.end(wait)
            await until(lambda: mode() == "idle")


@looped
async def test_who_names_a_recipient_makes_a_connection_ready(tmp_path: Path) -> None:
    """The target is connected to when a recipient of ours is named, before there is a mail; a greeting alone connects to nobody."""
    domains = s.DomainSettings(accept=("bridge.example",))
    async with (
        counted_target() as (skyvern, connections),
        bridge(settings(tmp_path, skyvern=skyvern, domains=domains), state_dir=tmp_path) as running,
    ):
        host, _, port = running.smtp_addresses[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for line in (b"", b"EHLO a.example\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<nobody@else.example>\r\n"):
            writer.write(line)
            while (await reader.readline())[3:4] == b"-":
                pass
        assert not connections
        writer.write(b"RCPT TO:<codes@bridge.example>\r\n")
        await until(lambda: len(connections) == 1)
        writer.close()


@looped
async def test_a_code_in_a_mailbox_makes_a_connection_ready(tmp_path: Path) -> None:
    """While the proof of a mail is still being looked up, the target is connected to already; for a mail without a code it is not."""
    with ScriptedImap() as server:
        async with (
            counted_target() as (skyvern, connections),
            bridge(settings(tmp_path, imap=(account(server.port),), skyvern=skyvern), state_dir=tmp_path) as running,
        ):
            await until(lambda: running.mailboxes.health()[0].mode == "idle")
            server.deliver(code_mail("482913").replace(b"482913", b"soon"))
            await until(lambda: running.mailboxes.health()[0].mails == 1)
            assert not connections
            server.deliver(code_mail("482913"))
            await until(lambda: len(connections) == 1)


@looped
async def test_an_account_listed_by_a_reload_is_confirmed(tmp_path: Path) -> None:
    """Google's question is answered at once for an account that is listed since a reload, and for no account before it."""
    asked: list[str] = []

    def browser() -> httpx.AsyncClient:
        asked.append("opened")
        return httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(404)))

    first = settings(tmp_path)
    question = ConfirmationRequest(mail_id=1, requester=ASKING, link=Secret("https://mail-settings.google.com/mail/vf-abc"))
    async with bridge(first, state_dir=tmp_path, browser=browser) as running:
        running.door.events.on_confirmation(question)
        await running.reload(msgspec.structs.replace(first, trust=s.TrustSettings(accounts=(ASKING,))))
        assert asked == []
        running.door.events.on_confirmation(question)
        await until(lambda: asked)
        assert asked == ["opened"]


def test_a_mailbox_has_a_policy_of_its_own(tmp_path: Path) -> None:
    """``trust`` and ``accept_from`` of an account count for the mails of its mailbox, and for no others."""
    box = account(993, trust="none", accept_from=("*@acme.example",))
    policy = policy_of(settings(tmp_path, imap=(box,)), is_practice=False)
    assert policy.of(Recipient(rcpt=box.mailbox)) == (frozenset({"none"}), False, ("*@acme.example",))
    assert policy.of(Recipient(rcpt="other@corp.example"))[0] == policy.default
