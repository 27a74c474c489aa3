"""`why` in staged situations, real daemons and all: its first cause is the one that whoever staged it wrote down beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.staged.run import score
from tests.staged.situations import SITUATIONS, Situation

LEAST = 30


def test_there_are_enough_of_them() -> None:
    """Each has a name of its own."""
    assert len({one.name for one in SITUATIONS}) == len(SITUATIONS) >= LEAST


@pytest.mark.e2e
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name)
def test_the_first_cause_is_the_right_one(situation: Situation, tmp_path: Path) -> None:
    """It names what was staged; nothing else is ever called certain."""
    found = score(situation, tmp_path)
    assert not found.is_confident_and_wrong, found.text
    assert found.is_right, found.text
