"""A real PostgreSQL, one for each file of tests, and a database for each test."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.peers import postgres as peer
from tests.peers.postgres import Postgres, running_postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server for all tests here."""
    if not peer.found():
        pytest.skip(peer.MEND)
    with running_postgres() as running:
        yield running


@pytest.fixture
def name(server: Postgres, request: pytest.FixtureRequest) -> str:
    """A new database of the test's own."""
    name = "t" + re.sub(r"\W", "_", request.node.name.lower())[-50:]
    server.ask(f'CREATE DATABASE "{name}"')
    return name
