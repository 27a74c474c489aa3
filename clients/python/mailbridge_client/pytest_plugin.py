"""Fixtures for pytest: `mailbridge`, the client of the whole run, and `mailbridge_inbox`, a fresh inbox for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mailbridge_client.sync import Inbox, Mailbridge


@pytest.fixture(scope="session")
def mailbridge() -> Iterator[Mailbridge]:
    """The client that MAILBRIDGE_URL and MAILBRIDGE_TOKEN name. A test that asks for it fails where they are not as they must be."""
    try:
        client = Mailbridge()
    except ValueError as fault:
        pytest.fail(f"mailbridge: {fault}", pytrace=False)
    with client:
        yield client


@pytest.fixture
def mailbridge_inbox(mailbridge: Mailbridge) -> Iterator[Inbox]:
    """A throw-away inbox, released after the test."""
    with mailbridge.inbox() as made:
        yield made
