"""What a test of watched mailboxes may ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.scripted_imap import ScriptedImap


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A scripted server that behaves."""
    with ScriptedImap() as one:
        yield one
