"""Dates that are moments, and those that are none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailbridge.trust.dates import moment

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "Wed, 25 Nov 2026 12:00:00 +0000",
        "Wed, 25 Nov 2026 12:00:00 -0000",
        "25 Nov 2026 12:00 +0000",
        "Wed,25 nov 2026 13:00:00 +0100",
        "Wed, 25 Nov 2026 04:00:00 -0800 (PST)",
        "Wed, 25 Nov 2026 17:30:00 +0530",
        "Wed, 25 Nov 2026 12:00:00 GMT",
        "Wed, 25 Nov 2026 12:00:00 UTC",
        "Wed, 25 Nov 2026 04:00:00 PST",
        "  Wed, 25 Nov 2026  12:00:00  +0000  ",
    ],
)
def test_a_moment(value: str) -> None:
    """The forms of RFC 5322 with a zone are read, in UTC."""
    assert moment(value) == NOON


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "1795608000",
        "2026-11-25T12:00:00Z",
        "Wed, 25 Nov 2026 12:00:00",
        "Wed, 25 Nov 26 12:00:00 +0000",
        "Wed, 25 Nov 2026 12:00:00 XYZ",
        "Wed, 25 Nov 2026 12:00:00 A",
        "Wed, 25 Nov 2026 12:00:00 +9900",
        "Wed, 25 Nov 2026 12:00:00 +0060",
        "Wed, 25 Nov 2026 12:00:00 +00000",
        "Wed, 25 Nov 2026 24:00:00 +0000",
        "Wed, 25 Nov 2026 12:60:00 +0000",
        "Wed, 25 Nov 2026 12:00:61 +0000",
        "Wed, 32 Nov 2026 12:00:00 +0000",
        "Wed, 25 Foo 2026 12:00:00 +0000",
        "Wed, 25 Nov 0000 12:00:00 +0000",
        "Wed, 25 Nov 2026 12:00:00 +0000 Wed, 26 Nov 2026 12:00:00 +0000",
        "Wed, 25 Nov 2026 12:00:00 +0000 (a (b))",
        "Wed, 25 Nov 2026 12:00:00 +0000 x",
        "Wed, ２５ Nov 2026 12:00:00 +0000",
        "Wed, 25 Nov 2026 12:00:00 +0000" + " " * 300,
    ],
)
def test_no_moment(value: str) -> None:
    """What has two readings, no zone, or is no date at all is no moment."""
    assert moment(value) is None


def test_a_leap_second_is_the_last_of_its_minute() -> None:
    """The 60th second, which RFC 5322 allows, is no fault."""
    assert moment("Thu, 31 Dec 2026 23:59:60 +0000") == datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
