"""A mail to several mailboxes: who counts beside the one to push for, and who does not."""

from __future__ import annotations

import pytest

from mailbridge.trust import Proven, recipients

ANN = "ann@corp.example"
SENDER = "no-reply@acme.example"


def others(*written: str, address: str = ANN, sure: tuple[str, ...] = (), sender: str = SENDER) -> set[str]:
    """Who counts beside an address."""
    proof = Proven(by="dkim", detail="", named=frozenset(), written=frozenset(written), sure=frozenset(sure))
    return set(recipients.others(proof, address, sender=sender, is_own=lambda one: one.endswith("@bridge.example")))


def test_who_counts_beside_the_one() -> None:
    """Everybody else, one that cannot be read too; not the one itself, in whatever spelling, ourselves or the author's people."""
    assert others() == set()
    assert others(ANN) == set()
    assert others(ANN, address="Ann+x@corp.example") == set()
    assert others(ANN, "m@evil.example", "bob@corp.example") == {"m@evil.example", "bob@corp.example"}
    assert others(ANN, "") == {""}
    assert others(ANN, "codes@bridge.example") == set()
    assert others(ANN, "audit@acme.example", "x@mail.acme.example") == set()
    assert others(ANN, "x@acme.example.evil.example") == {"x@acme.example.evil.example"}
    assert others(ANN, "m@gmail.com", sender="x@gmail.com") == {"m@gmail.com"}


def test_who_is_named_alone_is_meant() -> None:
    """Whatever To says: the forwarder has told whose mailbox it was."""
    assert others(ANN, "m@evil.example", "", sure=(ANN,)) == set()
    assert others(ANN, "m@evil.example", sure=("m@evil.example",)) == {"m@evil.example"}


@pytest.mark.parametrize(
    ("one", "other", "are_neighbours"),
    [
        (ANN, "bob@corp.example", True),
        (ANN, "bob@mail.CORP.example", True),
        (ANN, "bob@corp-example.example", False),
        (ANN, "bob@evil.example", False),
        (ANN, "", False),
        ("", ANN, False),
        ("", "", False),
        ("ann@gmail.com", "bob@gmail.com", False),
        ("ann@gmail.com", "bob@googlemail.com", False),
        ("ann@gmail.com", "bob@mail.gmail.com", False),
        ("ann@x.github.io", "bob@y.github.io", False),
    ],
)
def test_neighbours_are_of_one_organization(one: str, other: str, are_neighbours: bool) -> None:
    """By their registrable domain; never at a provider where anybody has a mailbox."""
    assert recipients.is_neighbour(one, other) == are_neighbours
    assert recipients.is_neighbour(other, one) == are_neighbours
