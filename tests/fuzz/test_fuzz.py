"""A little of every fuzzer in each test run, and all that it ever found."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.fuzz import SEEDS, run

COUNT = int(os.environ.get("MAILBRIDGE_FUZZ", "100"))
"""Inputs of each kind; `make fuzz` runs many more."""


@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_fuzz(kind: str) -> None:
    """No mutation of what strangers write, or of a configuration, raises, takes long, or is told what is not for it."""
    run(kind, COUNT, seed=7)
