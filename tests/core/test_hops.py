"""Received headers as hops: what servers write, and what nobody can read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailbridge.core.hops import MOST_HOPS, Hop, hops

GMAIL = (
    "by 2002:a05:6a10:dc9c:b0:46e:1a2b with SMTP id ef28csp12; Sun, 29 Nov 2026 04:00:03 -0800 (PST)",
    "from mail-sor-f41.google.com (mail-sor-f41.google.com. [209.85.220.41]) by mx.google.com with SMTPS id d9 (Google); Sun, 29 Nov 2026 04:00:02 -0800 (PST)",
    "from out.github.com (unknown [10.0.0.1]) by smtp.github.com (Postfix) with ESMTP id 5F; Sun, 29 Nov 2026 12:00:00 +0000",
)


def headers(*received: str) -> list[tuple[str, str]]:
    """Headers as a parsed mail has them."""
    return [("Received", one) for one in received] + [("Subject", "from a by b; now")]


def test_hops_go_from_the_first_server_to_the_last() -> None:
    """Comments, clauses behind, and a header without a sender."""
    found = hops(headers(*GMAIL))
    assert [(one.sender, one.receiver) for one in found] == [
        ("out.github.com", "smtp.github.com"),
        ("mail-sor-f41.google.com", "mx.google.com"),
        ("", "2002:a05:6a10:dc9c:b0:46e:1a2b"),
    ]
    assert [one.at for one in found if one.at] == [datetime(2026, 11, 29, 12, 0, second, tzinfo=UTC) for second in (0, 2, 3)]


@pytest.mark.parametrize(
    "value",
    ["", ";", "nonsense", "; Sun, 99 Nov 2026", "(from a by b); now", "<script>alert(1)</script>", "from", "\x00" * 50],
)
def test_what_is_no_hop_is_none(value: str) -> None:
    """Nothing of it is shown."""
    assert hops(headers(value)) == ()


def test_a_date_that_is_none_leaves_the_hop() -> None:
    """Also one of a year that no calendar has."""
    for date in ("yesterday", "Sun, 29 Nov 99999 12:00:00 +0000", "Sun, 29 Nov 2026 12:00:00 +9999", ""):
        assert hops(headers(f"from a.example by b.example; {date}")) == (Hop(sender="a.example", receiver="b.example", at=None),)


def test_hostile_headers_are_bounded() -> None:
    """A thousand headers, endless ones, and nested comments."""
    assert len(hops(headers(*["from a by b; x"] * 1_000))) == MOST_HOPS
    assert len(hops(headers("from " + "a" * 100_000))) <= 1
    assert len(hops(headers("(" * 50_000 + "from a by b; x"))) <= 1
