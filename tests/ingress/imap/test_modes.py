"""The watcher's modes: the table in the documentation is the one in the code, and no event leads out of a mode that has ended."""

from __future__ import annotations

import pytest

from mailbridge.ingress.imap.modes import BACK, TRANSITIONS, WATCHED, Event, Impossible, Mode, after, picture
from tests.conftest import ROOT


def test_the_table_in_the_documentation_is_the_code() -> None:
    """docs/imap.md shows the modes as they are."""
    assert picture() in (ROOT / "docs" / "imap.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", Mode)
def test_every_mode_can_end(mode: Mode) -> None:
    """A stop is possible anywhere but after a stop, and a fault, a person or the store's refusal wherever a session goes on."""
    assert ((mode, Event.STOP) in TRANSITIONS) == (mode is not Mode.STOPPED)
    if mode in WATCHED:
        assert {after(mode, event) for event in (Event.FAULT, Event.PERSON, Event.REFUSED)} == {
            Mode.WAITING,
            Mode.PARKED,
            Mode.DEFERRING,
        }


def test_every_mode_can_be_reached() -> None:
    """By some event, from another mode."""
    assert {mode for (before, _), mode in TRANSITIONS.items() if before is not mode} == set(Mode)


def test_a_deferring_mailbox_goes_back_to_where_it_was() -> None:
    """Once the store takes mail again."""
    for mode, event in BACK.items():
        assert after(Mode.DEFERRING, event) is mode
        assert after(mode, Event.REFUSED) is Mode.DEFERRING


def test_what_cannot_happen_is_a_mistake() -> None:
    """An event that the table does not have says so."""
    with pytest.raises(Impossible, match="IDLE begins in mode waiting"):
        after(Mode.WAITING, Event.IDLES)
