"""Real peers, started once for all tests that ask for them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import dovecot
from tests.peers import skyvern as peer
from tests.peers.skyvern import Skyvern, running_skyvern


@pytest.fixture(scope="session")
def skyvern(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Skyvern]:
    """A real Skyvern on loopback, empty at the start of the tests."""
    if not peer.is_installed():
        pytest.skip(peer.MEND)
    with running_skyvern(tmp_path_factory.mktemp("skyvern")) as running:
        yield running


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that a mail server's own user can reach; pytest's is for its owner alone."""
    path = Path(tempfile.mkdtemp(prefix="mailbridge-mail-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def folder(reachable: Path) -> Path:
    """A folder for a Dovecot and for what watches it."""
    if not dovecot.is_installed():
        pytest.skip(dovecot.MEND)
    return reachable
