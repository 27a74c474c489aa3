"""A canary on a real mailbox: handed in by a real submission dialogue, delivered by LMTP, seen by the watcher, removed from disk."""

from __future__ import annotations

import asyncio
import imaplib
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.config.settings import CanarySettings, ImapSettings
from mailbridge.ingress.imap.keeper import CanaryHealth
from mailbridge.ingress.imap.service import Watchers
from tests.e2e.boxes import all_there, deliver, of, well
from tests.ingress.imap.watched import ANN, house, until, watching
from tests.peers.dovecot import PASSWORD, Dovecot, running_dovecot
from tests.peers.submission import SubmissionPeer, running_submission

pytestmark = pytest.mark.e2e

EVERY = timedelta(seconds=2)
DEADLINE = timedelta(seconds=1.5)


def box(server: Dovecot, post: SubmissionPeer) -> ImapSettings:
    """Ann's account, whose canary goes by the submission server."""
    canary = CanarySettings(every=EVERY, deadline=DEADLINE, **post.settings)  # type: ignore[arg-type]
    return of(server, canary=canary)


def canaries(server: Dovecot) -> str:
    """Where canaries lie on the server, as its own administration tool sees it: a line for each."""
    return server.doveadm("search", "-u", ANN, "header", "X-Mailbridge-Canary", "")


async def told(watchers: Watchers, holds: Callable[[CanaryHealth], bool], what: str) -> CanaryHealth:
    """Wait until the canary's health is so."""
    await until(lambda: holds(watchers.canaries()["box"]), within=20, what=what)
    return watchers.canaries()["box"]


def test_a_canary_flies_home(folder: Path) -> None:
    """Seen within its deadline, taken for no mail, and gone from the server; codes beside it are pushed as ever."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server, running_submission(server.folder / "tls", server.deliver) as post:
            async with house(folder) as home, watching(home, box(server, post)) as watchers:
                await well(watchers)
                health = await told(watchers, lambda one: one.seen is not None, "a canary")
                assert health.is_well
                assert health.latency is not None
                print(f"canary seen after {health.latency * 1000:.0f} ms")
                await until(lambda: canaries(server) == "", within=10, what="the removal")
                await deliver(server, 500_000, 3)
                await all_there(home, 500_000, 3, within=5)
                assert len(home.brought) == 3
                assert all(one.is_well for one in watchers.health())

    asyncio.run(run())


def test_a_canary_that_a_filter_took_is_found(folder: Path) -> None:
    """It lies in Junk: the alarm names the folder and the line that mends it, and it is removed there as well."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:

            def filtered(content: bytes) -> None:
                context = ssl.create_default_context(cafile=str(server.ca))
                with imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=context) as client:
                    client.login(ANN, PASSWORD)
                    client.append("Junk", None, None, content)

            with running_submission(server.folder / "tls", filtered) as post:
                async with house(folder) as home, watching(home, box(server, post)) as watchers:
                    await well(watchers)
                    health = await told(watchers, lambda one: not one.is_well, "the alarm")
                    assert "went to Junk" in health.reason
                    assert 'folders = ["INBOX", "Junk"]' in health.reason
                    await until(lambda: canaries(server) == "", within=10, what="the removal")
                    post.deliver = server.deliver
                    await told(watchers, lambda one: one.is_well and one.seen is not None, "the end of the alarm")
                    assert home.brought == []

    asyncio.run(run())
