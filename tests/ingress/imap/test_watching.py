"""A mailbox on a scripted server: what is lost, doubled or late when the server misbehaves, each fault with its bound."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.ingress.imap.watched import account, code_mail, house, until, watching
from tests.peers.scripted_imap import ScriptedImap


def test_a_mail_is_taken_when_it_is_announced(server: ScriptedImap, tmp_path: Path) -> None:
    """IDLE, an announcement, the code in the store, and the cursor with it."""

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("482913"))

            async def is_there() -> bool:
                return await home.codes() == ["482913"]

            assert await until(is_there) < 0.5
            cursor = home.brought[0].cursor
            assert cursor is not None and cursor.endswith("/1000/1")
            assert await home.store.cursor(cursor.rsplit("/", 2)[0]) == cursor

    asyncio.run(run())
