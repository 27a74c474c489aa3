"""A little of every fuzzer in each test run, and all that it ever found."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.fuzz import SEEDS, run

COUNT = int(os.environ.get("MAILBRIDGE_FUZZ", "100"))
"""Inputs of each kind; `make fuzz` runs many more."""


@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_fuzz(kind: str) -> None:
    """No mutation of a mail, a dialogue, a signature, a seal, a key, a policy, a server's results or a configuration raises or takes long."""
    run(kind, COUNT, seed=7)
