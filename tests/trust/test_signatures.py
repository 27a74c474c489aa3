"""What is asked of a signature before anything is verified: what it leaves open, how old it is, whose it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.trust import dkim, raw
from mailbridge.trust.raw import RawMail

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
DAY, SKEW = 86_400, 300

NO_TIME = "its signature has a time that is none"
NO_DATE = "its signature is too old: it has no time (t=), and covers no Date that is one"
OLD, OLD_DATE = "its signature is older than a day (t=)", "its signature is older than a day (its Date)"
FUTURE, FUTURE_DATE = "its signature is from the future (t=)", "its signature is from the future (its Date)"
EXPIRED = "its signature has expired (x=)"


@pytest.mark.parametrize(
    ("tags", "written", "why"),
    [
        ({"t": str(AT)}, None, ""),
        ({"t": str(AT - DAY)}, None, ""),
        ({"t": str(AT - DAY - 1)}, None, OLD),
        ({"t": str(AT + SKEW)}, None, ""),
        ({"t": str(AT + SKEW + 1)}, None, FUTURE),
        ({"t": str(AT - DAY - 1)}, NOW, OLD),
        ({"t": str(AT)}, NOW - timedelta(days=9), ""),
        ({"t": "0"}, NOW, OLD),
        ({"t": "9" * 12}, None, FUTURE),
        ({"t": "1" * 13}, None, NO_TIME),
        ({"t": "soon"}, NOW, NO_TIME),
        ({"t": "-1"}, NOW, NO_TIME),
        ({"t": "²"}, NOW, NO_TIME),
        ({"t": "１"}, NOW, NO_TIME),
        ({"t": str(AT), "x": "never"}, None, NO_TIME),
        ({"t": str(AT), "x": str(AT)}, None, ""),
        ({"t": str(AT), "x": str(AT + 1)}, None, ""),
        ({"t": str(AT), "x": str(AT - 1)}, None, EXPIRED),
        ({"t": str(AT), "x": "0"}, None, EXPIRED),
        ({}, NOW, ""),
        ({}, NOW - timedelta(days=1), ""),
        ({}, NOW - timedelta(days=1, seconds=1), OLD_DATE),
        ({}, NOW + timedelta(minutes=5), ""),
        ({}, NOW + timedelta(minutes=5, seconds=1), FUTURE_DATE),
        ({"t": ""}, NOW, ""),
        ({}, None, NO_DATE),
        ({"x": str(AT + 1)}, None, NO_DATE),
        ({"x": str(AT - 1)}, NOW, EXPIRED),
    ],
)
def test_how_old_a_signature_is(tags: dict[str, str], written: datetime | None, why: str) -> None:
    """By its own time, or else by the Date that it covers: at most a day, five minutes ahead at most, and not over."""
    assert dkim.aged(tags, now=NOW, written=written) == why


def mail(*lines: str) -> RawMail:
    """A mail of these header lines."""
    return raw.read("".join(f"{line}\r\n" for line in ("From: a@acme.example", *lines)).encode() + b"\r\ntext\r\n")


DATE = "Date: Wed, 25 Nov 2026 12:00:00 +0000"


@pytest.mark.parametrize(
    ("found", "covered", "expected"),
    [
        (mail(DATE), ("from", "date"), NOW),
        (mail(DATE), ("from", "subject"), None),
        (mail("Date: today"), ("from", "date"), None),
        (mail(), ("from", "date"), None),
        (RawMail(content=b"", headers=(("date", DATE[6:]), ("date", DATE[6:]))), ("date",), None),
    ],
)
def test_the_date_that_is_signed(found: RawMail, covered: tuple[str, ...], expected: datetime | None) -> None:
    """The one Date of the mail, where it is covered and a moment."""
    assert dkim.signed_date(covered, found) == expected


def signature(covered: str = "from:subject", **tags: str) -> dkim.Signature:
    """A signature of today; a tag that is ``""`` is left out."""
    every = {"a": "rsa-sha256", "d": "acme.example", "s": "s1", "b": "AA", "bh": "AA", "t": str(AT), **tags}
    kept = {name: value for name, value in every.items() if value}
    return dkim.Signature(index=0, tags=kept, covered=raw.hosts_of(covered))


@pytest.mark.parametrize(
    ("one", "found", "why"),
    [
        (signature(), mail("Subject: x"), ""),
        (signature("from"), mail(), ""),
        (signature("from"), mail("Subject: x"), "its signature does not cover Subject"),
        (signature("subject"), mail("Subject: x"), "its signature does not cover From"),
        (signature(l="0"), mail("Subject: x"), "its signature has l=, which lets anybody append to the mail"),
        (signature(a="RSA-SHA256"), mail("Subject: x"), ""),
        (signature(a="ed25519-sha256"), mail("Subject: x"), ""),
        (signature(a="rsa-sha1"), mail(), "its signature's algorithm is not rsa-sha256 or ed25519-sha256: rsa-sha1"),
        (signature(a=""), mail(), "its signature's algorithm is not rsa-sha256 or ed25519-sha256: "),
        (signature(s=""), mail(), "its signature is incomplete"),
        (signature(b=""), mail(), "its signature is incomplete"),
        (signature(bh=""), mail(), "its signature is incomplete"),
        (signature(t=str(AT - DAY - 1)), mail(), OLD),
        (signature(t=""), mail(), NO_DATE),
        (signature("from:date", t=""), mail(DATE), ""),
        (signature("from", t=""), mail(DATE), NO_DATE),
    ],
)
def test_what_a_signature_must_have(one: dkim.Signature, found: RawMail, why: str) -> None:
    """An algorithm that counts, all of its parts, From and Subject covered, the whole body, and a time of today."""
    assert dkim.refused(one, found, now=NOW) == why


def test_the_signatures_of_a_mail() -> None:
    """Those that can be read and name a domain, topmost first, each with its place; which of them are the author's organization's."""
    found = mail(
        "DKIM-Signature: d=ACME.example; h=From:To",
        "DKIM-Signature: d=a.example; d=b.example",
        "DKIM-Signature: h=from",
        "DKIM-Signature: d=mail.acme.example; h=Subject",
        "DKIM-Signature: d=evil.example",
    )
    read = dkim.signatures(found)
    assert [(one.index, one.domain, one.covered) for one in read] == [
        (0, "acme.example", ("from", "to")),
        (3, "mail.acme.example", ("subject",)),
        (4, "evil.example", ()),
    ]
    assert [one.index for one in dkim.aligned(found, "Ann@Acme.EXAMPLE")] == [0, 3]
    assert dkim.aligned(found, "ann@corp.example") == []


def test_the_algorithm_that_is_shown_is_cut() -> None:
    """A stranger's text is shown as far as twenty characters."""
    found = dkim.refused(signature(a="x" * 50), mail(), now=NOW)
    assert found.endswith(": " + "x" * 20)
