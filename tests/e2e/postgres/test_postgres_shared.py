"""What replicas of one PostgreSQL have in common beside mails: permissions to read mailboxes, and addresses of tests."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.config.settings import StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.faults import MailboxFault
from mailbridge.ingress.imap.vault import SharedVault, open_vault
from mailbridge.store import StoreError
from tests.e2e.postgres.test_postgres_leases import replicas
from tests.peers.postgres import Postgres

pytestmark = pytest.mark.e2e


def test_a_permission_serves_all_replicas(server: Postgres, name: str, tmp_path: Path) -> None:
    """What one machine keeps another reads; it is sealed with the key of all, and its stamp tells a new login."""

    async def make() -> None:
        async with replicas(server, name, tmp_path, 1):
            pass

    asyncio.run(make())
    shared = tmp_path / "shared.key"
    settings = [StoreSettings(url=server.url(name), folder=tmp_path / one, key_file=shared) for one in ("one", "two")]
    first, second = (open_vault(one) for one in settings)
    assert isinstance(first, SharedVault) and second.read("box") is None and second.stamp("box") == 0
    first.write("box", Secret("refresh-1"))
    before = second.stamp("box")
    assert before and second.read("box") == Secret("refresh-1")
    second.write("box", Secret("refresh-2"))
    assert first.stamp("box") > before and first.read("box") == Secret("refresh-2")
    assert not list(tmp_path.glob("*/oauth"))
    ((row,),) = server.ask("SELECT string_agg(encode(sealed, 'escape'), '') FROM oauth_token", database=name)
    assert "refresh" not in row
    server.ask("UPDATE oauth_token SET account = 'other'", database=name)
    with pytest.raises(StoreError, match="mailbridge oauth login other"):
        first.read("other")
    first.forget("other")
    assert first.read("other") is None


def test_a_permission_while_the_server_is_away(tmp_path: Path) -> None:
    """It cannot be read now, which is no reason to log in anew."""
    vault = open_vault(StoreSettings(url="postgresql://ann@127.0.0.1:1/codes", folder=tmp_path))
    with pytest.raises(MailboxFault, match="cannot be read"):
        vault.read("box")
    assert vault.stamp("box") == 0


def test_an_address_of_a_test_is_known_to_all(server: Postgres, name: str, tmp_path: Path) -> None:
    """Until its time is over by the server's clock, or its mail has come."""

    async def use() -> None:
        async with replicas(server, name, tmp_path, 2) as (first, second):
            for address, lives in (("test-a@b.example", 60), ("test-c@b.example", -1)):
                await first.one_time.keep(address, identifier="ann@corp.example", by="ann", lives=timedelta(seconds=lives))
            assert await second.one_time.find("test-a@b.example") == ("ann@corp.example", "ann")
            assert await second.one_time.find("test-c@b.example") is None
            await second.one_time.spend("test-a@b.example")
            assert await first.one_time.find("test-a@b.example") is None

    asyncio.run(use())
