"""What is read of results and of sets of seals (RFC 8601, RFC 8617), before anything is verified."""

from __future__ import annotations

import pytest

from mailbridge.trust import arc
from mailbridge.trust.raw import RawMail

DMARC = "dmarc=pass header.from=acme.example"


def nested(depth: int) -> str:
    """Comments within comments."""
    return "a" + "(" * depth + ")" * depth + "b"


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ("mx.example; spf=pass", "mx.example; spf=pass"),
        ("a (b) c", "a   c"),
        ('a "b (c" d', "a   d"),
        ('a "b \\" c" d', "a   d"),
        ("a ((b) c) d", "a   d"),
        ("a (b", ""),
        ("a b)", ""),
        ('a "b', ""),
        ("a \\b", ""),
        ("", ""),
        (nested(10), "a b"),
        (nested(11), ""),
    ],
)
def test_results_without_a_senders_words(results: str, expected: str) -> None:
    """Comments and quoted strings are taken out, ten deep; what does not come out even is nothing at all."""
    assert arc.bare(results) == expected


@pytest.mark.parametrize(
    ("results", "sender", "is_pass"),
    [
        (DMARC, "a@acme.example", True),
        ("mx.example; DMARC = Pass Header.From = ACME.example.", "a@Acme.Example", True),
        ("mx.example; dmarc=pass (p=none) header.from=acme.example; spf=fail", "a@acme.example", True),
        (DMARC, "a@mail.acme.example", False),
        (DMARC.replace("pass", "fail"), "a@acme.example", False),
        (f"{DMARC}; dmarc=fail header.from=acme.example", "a@acme.example", False),
        (f"{DMARC}; {DMARC}", "a@acme.example", False),
        (f"{DMARC} header.from=evil.example", "a@acme.example", False),
        (f"{DMARC} header.from=acme.example", "a@acme.example", True),
        ("dmarc=pass", "a@acme.example", False),
        ("header.from=acme.example", "a@acme.example", False),
        ("xdmarc=pass header.from=acme.example", "a@acme.example", False),
        (f"({DMARC})", "a@acme.example", False),
        ("", "a@acme.example", False),
        (f"{DMARC} (", "a@acme.example", False),
    ],
)
def test_dmarc_passed_for_the_from(results: str, sender: str, is_pass: bool) -> None:
    """One verdict, and every From that it names is the author's domain, in any case and with or without a final dot."""
    assert arc.is_dmarc_pass(results, sender) is is_pass


@pytest.mark.parametrize(
    ("results", "is_direct"),
    [
        ("spf=pass smtp.mailfrom=b@acme.example", True),
        ("SPF = Pass SMTP.MailFrom = B@Bounce.ACME.example", True),
        ("spf=pass smtp.mailfrom=acme.example", True),
        ("spf=pass smtp.mailfrom=acme.example; spf=pass smtp.helo=mta.esp.example", True),
        ("dkim=pass; spf=pass smtp.mailfrom=acme.example; dmarc=fail", True),
        ("spf=pass smtp.mailfrom=acme.example; spf=fail smtp.helo=mta.esp.example", False),
        ("spf=pass smtp.mailfrom=acme.example; spf=pass smtp.mailfrom=evil.example", False),
        ("spf=pass smtp.mailfrom=acme.example smtp.mailfrom=evil.example", False),
        ("spf=pass smtp.mailfrom=evil.example", False),
        ("spf=pass smtp.mailfrom=", False),
        ("spf=fail smtp.mailfrom=acme.example", False),
        ("spf=pass", False),
        ("x-spf=pass smtp.mailfrom=acme.example", False),
        ("dkim=pass smtp.mailfrom=acme.example", False),
        ("", False),
    ],
)
def test_a_mail_came_straight_from_the_author(results: str, is_direct: bool) -> None:
    """Every verdict of SPF is a pass, one names the envelope, and each envelope that is named is of the author's organization."""
    assert arc.is_from_authors_server(results.split(";"), "acme.example") is is_direct


def seal(number: object) -> tuple[str, str]:
    """A seal with that number."""
    return "arc-seal", f"i={number}; cv=none; d=google.com"


def signature(number: object) -> tuple[str, str]:
    """The signature of a set with that number."""
    return "arc-message-signature", f"a=rsa-sha256; i={number}; d=google.com"


def results(number: object) -> tuple[str, str]:
    """The results of a set with that number."""
    return "arc-authentication-results", f"i={number}; mx.google.com; {DMARC}"


def chain(*numbers: int) -> list[tuple[str, str]]:
    """Whole sets, topmost first."""
    return [part(number) for number in numbers for part in (seal, signature, results)]


GAPS, MALFORMED = "its chain of seals has gaps", "its seals are malformed"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (chain(1), 1),
        (chain(3, 2, 1), 3),
        (chain(1, 2, 3), 3),
        (chain(6, 5, 4, 3, 2, 1), 6),
        (chain(7, 6, 5, 4, 3, 2, 1), "it has more than 6 seals"),
        ([], "it is not sealed"),
        ([signature(1), results(1)], "it is not sealed"),
        (chain(2), GAPS),
        (chain(3, 1), GAPS),
        (chain(0), GAPS),
        ([seal(1), signature(1)], GAPS),
        ([seal(1), results(1)], GAPS),
        ([*chain(1), seal(2), signature(2)], GAPS),
        ([*chain(1), signature(2)], GAPS),
        ([*chain(1), results(2)], GAPS),
        ([*chain(1), seal(1)], MALFORMED),
        ([*chain(1), signature(1)], MALFORMED),
        ([*chain(1), results(1)], MALFORMED),
        ([*chain(1), ("arc-seal", "i=2; i=2")], MALFORMED),
        ([*chain(1), ("arc-message-signature", "i=2; i=2")], MALFORMED),
        ([*chain(1), ("arc-authentication-results", f"mx.google.com; {DMARC}")], MALFORMED),
        ([*chain(1), results("x")], MALFORMED),
        ([*chain(1), results(111)], MALFORMED),
    ],
)
def test_sets_are_a_chain(headers: list[tuple[str, str]], expected: int | str) -> None:
    """From the first to the last, each with its three headers, once; else it is said what is wrong."""
    found = arc.sets(RawMail(content=b"", headers=tuple(headers)))
    if isinstance(expected, str):
        assert found == expected
    else:
        assert isinstance(found, list)
        numbers = [(seal["i"], signature["i"], results[:3]) for seal, signature, results in found]
        assert numbers == [(str(one), str(one), f"i={one};"[:3]) for one in range(1, expected + 1)]
