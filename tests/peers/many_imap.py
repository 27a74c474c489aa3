"""Thousands of mailboxes on several hosts (127.0.0.2 and on), in one process: as much of IMAP as a watcher needs, and counts.

``python -m tests.peers.many_imap PORT HOSTS`` serves until its standard input ends. Whoever sends STATS on a connection of its own is told
how many mailboxes are watched, and how many logins at most were under way at once at a host.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter

LOGIN_TAKES = 0.02
"""Seconds."""


class Hosts:
    """All hosts and their sessions."""

    def __init__(self) -> None:
        self.watched: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.logins = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await Dialogue(self, reader, writer).run()
        writer.close()

    def stats(self) -> str:
        """What STATS is answered."""
        watched = sum(count > 0 for count in self.watched.values())
        twice = sum(count > 1 for count in self.watched.values())
        return json.dumps({"watched": watched, "twice": twice, "most": dict(self.most), "logins": self.logins})


class Dialogue:
    """One session with an empty mailbox."""

    def __init__(self, hosts: Hosts, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._hosts = hosts
        self._reader = reader
        self._writer = writer
        self._host = writer.get_extra_info("sockname")[0]
        self._user = ""
        self._idle = ""

    async def run(self) -> None:
        """Until the client leaves."""
        hosts = self._hosts
        self._writer.write(b"* OK ready\r\n")
        is_logging_in = False
        try:
            while line := (await self._reader.readline()).decode("latin-1").strip():
                if line == "STATS":
                    self._writer.write(f"{hosts.stats()}\r\n".encode())
                    continue
                if not is_logging_in and not self._user:
                    is_logging_in = True
                    hosts.under_way[self._host] += 1
                    hosts.most[self._host] = max(hosts.most[self._host], hosts.under_way[self._host])
                await self._answer(line)
                if is_logging_in and self._user:
                    is_logging_in = False
                    hosts.under_way[self._host] -= 1
        finally:
            if is_logging_in:
                hosts.under_way[self._host] -= 1
            self._end_idle()

    async def _answer(self, line: str) -> None:
        if line.upper() == "DONE":
            tag = self._idle
            self._end_idle()
            self._writer.write(f"{tag} OK\r\n".encode())
            return
        tag, _, rest = line.partition(" ")
        name = rest.partition(" ")[0].upper()
        before = b""
        if name == "CAPABILITY":
            before = b"* CAPABILITY IMAP4rev1 IDLE\r\n"
        elif name == "LOGIN":
            taken = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(LOGIN_TAKES, taken.set_result, None)
            await taken
            self._hosts.logins += 1
            self._user = rest.split(" ")[1].strip('"')
        elif name in ("EXAMINE", "SELECT"):
            before = b"* 0 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1] ok\r\n* OK [UIDNEXT 1] ok\r\n"
        elif name == "IDLE":
            self._idle = tag
            self._hosts.watched[self._user] += 1
            self._writer.write(b"+ idling\r\n")
            return
        elif "SEARCH" in rest.upper():
            before = b"* SEARCH\r\n"
        self._writer.write(before + f"{tag} OK done\r\n".encode())

    def _end_idle(self) -> None:
        if self._idle:
            self._idle = ""
            self._hosts.watched[self._user] -= 1


async def serve(port: int, count: int) -> None:
    """Serve until standard input ends."""
    hosts = Hosts()
    servers = [await asyncio.start_server(hosts.serve, f"127.0.0.{2 + number}", port, backlog=1000) for number in range(count)]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for server in servers:
        server.close()
    os._exit(0)  # with thousands of sessions open, which nobody ends any more


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
