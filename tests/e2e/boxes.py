"""Ann's mailbox on a real server: her account, codes that are delivered to it, and what is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from mailbridge.config.settings import ImapSettings
from mailbridge.ingress.imap.watchers import Watchers
from tests.ingress.imap.watched import House, account, code_mail, house, until, watching
from tests.peers.cyrus import Cyrus
from tests.peers.dovecot import Dovecot

Server = TypeVar("Server", Dovecot, Cyrus)
WATCHED = ("notify", "idle", "hot", "poll")


def of(server: Dovecot | Cyrus, **changes: object) -> ImapSettings:
    """Ann's account over TLS."""
    usual: dict[str, object] = {"host": "localhost", "tls": "tls", "tls_ca": server.ca, "renew": timedelta(seconds=2)}
    port = changes.pop("port", server.imaps)
    assert isinstance(port, int)
    return account(port, **{**usual, **changes})


async def deliver(server: Dovecot | Cyrus, first: int, count: int, *, every: float = 0.02) -> None:
    """Deliver codes one after another; a server that is down is waited for, as a mail server does."""
    for number in range(first, first + count):
        for _ in range(400):
            with contextlib.suppress(OSError, smtplib.SMTPException):
                await asyncio.to_thread(server.deliver, code_mail(str(number)))
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(every)


async def all_there(home: House, first: int, count: int, *, within: float) -> float:
    """Wait until every code is in the store; fail if one is there twice."""
    wanted = [str(number) for number in range(first, first + count)]

    async def is_so() -> bool:
        return set(await home.codes()) >= set(wanted)

    taken = await until(is_so, within=within, what=f"{count} codes")
    assert sorted(await home.codes()) == wanted
    return taken


async def well(watchers: Watchers, *, within: float = 15) -> None:
    """Wait until every mailbox is watched."""
    await until(lambda: all(one.mode in WATCHED for one in watchers.health()), within=within, what="watching")


async def settled(watchers: Watchers, *, within: float = 30) -> None:
    """Wait until every mailbox has asked for whole mails, and looked for new ones with it."""
    await until(lambda: all(one.mode == "notify" for one in watchers.health()), within=within, what="NOTIFY")


async def sixty_codes_survive(server: Server, folder: Path, act: Callable[[Server], Awaitable[None]], bound: float) -> None:
    """Deliver sixty codes and do something to the server meanwhile: each is in the store once, the last about ``bound`` seconds
    after the end of it, and the mailbox is well. How long it took is printed; it fails only at ten times the bound."""
    async with house(folder) as home, watching(home, of(server)) as watchers:
        await well(watchers)
        delivering = asyncio.create_task(deliver(server, 500_000, 60))
        await asyncio.sleep(0.3)
        await act(server)
        await delivering
        taken = await all_there(home, 500_000, 60, within=bound * 10)
        await well(watchers)
        print(f"all there {taken:.2f} s after the end of it, of {bound} s")
        assert all(one.is_well for one in watchers.health())
