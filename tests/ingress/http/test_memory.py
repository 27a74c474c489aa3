"""How much memory one large mail takes in the daemon, by a raw post and by a provider's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.ingest import rises

MOST = 64.0
"""MiB above what the daemon took before; the mail itself is 24."""


@pytest.mark.parametrize("way", ["mime", "postmark", "sendgrid", "ses"])
def test_a_mail_of_25_megabytes_is_in_memory_twice_at_the_most(tmp_path: Path, way: str) -> None:
    """Text that holds a mail and the mail are there together for a moment; nothing else of its size is."""
    assert rises(tmp_path, way) <= MOST
