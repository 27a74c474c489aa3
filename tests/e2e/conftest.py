"""Real peers, started once for all tests that ask for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers import skyvern as peer
from tests.peers.skyvern import Skyvern, running_skyvern


@pytest.fixture(scope="session")
def skyvern(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Skyvern]:
    """A real Skyvern on loopback, empty at the start of the tests."""
    if not peer.is_installed():
        pytest.skip(peer.MEND)
    with running_skyvern(tmp_path_factory.mktemp("skyvern")) as running:
        yield running
