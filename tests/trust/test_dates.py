"""Dates that are moments, and those that are none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.trust.dates import moment

ZONES = {"GMT": 0, "UT": 0, "UTC": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
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
        "Wed, 25 Nov 2026 12:00:00 +2400",
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


@pytest.mark.parametrize(
    ("zone", "hours"),
    [
        ("GMT", 0), ("UT", 0), ("utc", 0), ("EST", -5), ("EDT", -4), ("CST", -6), ("CDT", -5), ("MST", -7), ("MDT", -6), ("PST", -8),
        ("PDT", -7), ("+2359", 23 + 59 / 60), ("-2359", -23 - 59 / 60), ("+0059", 59 / 60), ("-1200", -12),
    ],
)  # fmt: skip
def test_zones(zone: str, hours: float) -> None:
    """A zone's name or offset is taken off."""
    assert moment(f"Wed, 25 Nov 2026 12:00:00 {zone}") == NOON - timedelta(hours=hours)


def test_every_month_and_the_ends_of_time() -> None:
    """Twelve months are known; before the first year and behind the last there is nothing."""
    for number, name in enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1):
        assert moment(f"5 {name} 2026 00:00:01 +0000") == datetime(2026, number, 5, 0, 0, 1, tzinfo=UTC)
    assert moment("1 Jan 0001 00:00:00 +0100") is None
    assert moment("31 Dec 9999 23:59:59 -0100") is None
    assert moment("25 Nov 2026 12:00 +0000" + " " * 177) == NOON
    assert moment("25 Nov 2026 12:00 +0000" + " " * 178) is None


def test_a_leap_second_is_the_last_of_its_minute() -> None:
    """The 60th second, which RFC 5322 allows, is no fault."""
    assert moment("Thu, 31 Dec 2026 23:59:60 +0000") == datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(("zone", "hours"), ZONES.items())
def test_a_zone_has_its_hours(zone: str, hours: int) -> None:
    """The names of RFC 5322 4.3, in any case."""
    for name in (zone, zone.lower()):
        assert moment(f"Wed, 25 Nov 2026 {12 + hours:02}:00:00 {name}") == NOON


def test_a_month_has_its_number_and_a_leap_second_is_the_last() -> None:
    """All twelve; a second of 60 counts as the one before."""
    for number, name in enumerate(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1):
        assert moment(f"1 {name} 2026 00:00:07 +0000") == datetime(2026, number, 1, 0, 0, 7, tzinfo=UTC)
    assert moment("1 Jan 2026 23:59:60 +0000") == datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC)
