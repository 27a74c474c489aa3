"""A little of every fuzzer in each test run, and all that it ever found."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.fuzz import SEEDS, corpus, run
from tests.fuzz.grow import MOST_FILES, MOST_OCTETS

COUNT = int(os.environ.get("MAILBRIDGE_FUZZ", "100"))
"""Inputs of each kind; `make fuzz` runs many more."""


@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_fuzz(kind: str) -> None:
    """No mutation of what strangers write, or of a configuration, raises, takes long, or is told what is not for it."""
    run(kind, COUNT, seed=7)


@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_the_corpus_is_there_and_small(kind: str) -> None:
    """Every kind has inputs that were grown, within its share."""
    kept = corpus(kind)
    assert 5 <= len(kept) <= MOST_FILES + 10
    assert sum(len(octets) for octets in kept) <= MOST_OCTETS
