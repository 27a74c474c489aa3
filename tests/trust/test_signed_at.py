"""When a mail was first signed, as its signatures tell: by that a genuine mail that is sent on too late is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.trust import Proven
from mailbridge.trust.dkim import Signature, combined, first_signed_at, signed_at
from mailbridge.trust.raw import RawMail

NOON = datetime(2026, 6, 5, 12, tzinfo=UTC)
MAIL = RawMail(content=b"", headers=(("date", "Fri, 05 Jun 2026 12:00:00 +0000"),))
DATED = ("from", "date")
PROVEN = Proven(by="dkim", detail="signed by acme.example", named=frozenset(), signed_at=NOON)


def signature(made: str, covered: tuple[str, ...] = ("from",)) -> Signature:
    """One with this ``t=``."""
    return Signature(index=0, tags={"d": "acme.example", "t": made} if made else {"d": "acme.example"}, covered=covered)


def seconds(moment: datetime) -> str:
    """As ``t=`` has it."""
    return str(int(moment.timestamp()))


@pytest.mark.parametrize(
    ("made", "covered", "at"),
    [
        ("", ("from",), None),
        ("", DATED, NOON),
        (seconds(NOON - timedelta(hours=3)), ("from",), NOON - timedelta(hours=3)),
        (seconds(NOON - timedelta(hours=3)), DATED, NOON),
        (seconds(NOON + timedelta(hours=3)), DATED, NOON + timedelta(hours=3)),
        ("16725225600", ("from",), datetime(2500, 1, 1, tzinfo=UTC)),
        ("167252256000", ("from",), None),
        ("١٧٨٠٦٦٠٨٠٠", ("from",), None),
        ("²", ("from",), None),
        ("12 June", DATED, NOON),
    ],
)
def test_the_later_of_time_and_date_counts(made: str, covered: tuple[str, ...], at: datetime | None) -> None:
    """A Date counts where it is signed, ``t=`` where it is one."""
    assert signed_at(signature(made, covered), MAIL) == at


def test_of_several_the_earliest_counts() -> None:
    """Whoever sends an old mail on may sign it anew, and cannot make the author's own signature younger by that."""
    several = [signature(seconds(NOON)), signature(""), signature(seconds(NOON - timedelta(hours=1)))]
    assert first_signed_at(several, MAIL) == NOON - timedelta(hours=1)
    assert first_signed_at([signature("")], MAIL) is None


@pytest.mark.parametrize("other", [None, NOON - timedelta(hours=1), NOON + timedelta(hours=1)])
def test_two_genuine_signatures_are_as_old_as_the_older(other: datetime | None) -> None:
    """In either order; one that tells no time does not hide the other's."""
    earliest = min(filter(None, (NOON, other)))
    assert combined(PROVEN, replace(PROVEN, signed_at=other)).signed_at == earliest
    assert combined(replace(PROVEN, signed_at=other), PROVEN).signed_at == earliest
