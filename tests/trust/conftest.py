"""A DNS of our own, and the zone that the signers of these tests publish in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.trust.dns import Dns
from tests.peers import signer
from tests.peers.dns_server import DnsServer, dns_server

Asking = Callable[[], "AsyncIterator[tuple[DnsServer, Dns]]"]


@asynccontextmanager
async def published(timeout: timedelta = timedelta(seconds=3)) -> AsyncIterator[tuple[DnsServer, Dns]]:
    """A server whose zone has the usual signers, and a resolver that asks it."""
    async with dns_server() as server:
        for name in ("s1._domainkey.acme.example", "s1._domainkey.evil.example", "arc._domainkey.google.com"):
            server.txt(name, signer.record(signer.key()))
        server.txt("arc._domainkey.evil.example", signer.record(signer.key()))
        server.txt("arc._domainkey.microsoft.com", signer.record(signer.key()))
        yield server, Dns(timeout=timeout, nameservers=[server.address])


@pytest.fixture
def now() -> datetime:
    """The wall clock: signatures are made with it."""
    return datetime.now(UTC)


Work = Callable[[DnsServer, Dns], Awaitable[None]]
