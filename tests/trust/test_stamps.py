"""Which lines of a mail's head are the forwarder's own, by where they stand."""

from __future__ import annotations

import pytest

from mailbridge.trust import stamps
from mailbridge.trust.raw import RawMail

OUT = "from mta.acme.example (mta.acme.example [192.0.2.1]) by mx.google.com with ESMTPS id 1 for <ann@corp.example>; x"
ARRIVAL = ("received", OUT)
INTERNAL = ("received", "by 2002:a05:6808:7006:b0:43f:1ae3:78f1 with SMTP id 5; x")
FRONT = ("received", "from mail-oi1.google.com by mx.bridge.example for <codes@bridge.example>; x")
ANN = ("delivered-to", "ann@corp.example")
BOB = ("delivered-to", "bob@corp.example")
MALLORY = ("delivered-to", "m@evil.example")
FROM = ("from", "no-reply@acme.example")


def ring(number: int) -> list[stamps.Line]:
    """The three headers of one set."""
    return [
        ("arc-seal", f"i={number}; a=rsa-sha256; cv=none; d=google.com; s=x; b=AA"),
        ("arc-message-signature", f"a=rsa-sha256; i={number}; d=google.com; s=x; h=from; bh=AA; b=AA"),
        ("arc-authentication-results", f"i={number}; mx.google.com; dmarc=pass"),
    ]


def mail(*lines: stamps.Line | list[stamps.Line]) -> RawMail:
    """A mail of these lines."""
    flat: list[stamps.Line] = []
    for one in lines:
        flat += one if isinstance(one, list) else [one]
    return RawMail(content=b"", headers=(*flat, FROM))


TWO, ONE, TEN, NINE = ring(2), ring(1), ring(10), ring(9)


@pytest.mark.parametrize(
    ("headers", "newest", "expected"),
    [
        (mail(TWO, ANN, INTERNAL, ONE, ARRIVAL, MALLORY), 2, [ANN, INTERNAL]),
        (mail(FRONT, BOB, TWO, ANN, ONE, ARRIVAL), 2, [ANN]),
        (mail(TWO, ARRIVAL, ANN, ONE), 2, []),
        (mail(TWO, ("received", "from x by y"), ANN, ONE), 2, []),
        (mail(TWO, ("x-received", "from x by y"), ANN, ONE), 2, [("x-received", "from x by y"), ANN]),
        (mail(TWO, ("received", "by y"), ANN, ONE), 2, [("received", "by y"), ANN]),
        (mail(TWO, ("subject", "from me"), ANN, ONE), 2, [("subject", "from me"), ANN]),
        (mail(ONE, ANN, TWO), 2, []),
        (mail(TWO[:2], ANN, TWO[2:], ONE), 2, []),
        (mail(TWO[:2], ANN, ONE), 2, []),
        (mail(TWO, ANN, ONE[:2]), 2, []),
        (mail(TWO, ANN, ONE[:2], ARRIVAL, ONE[2:]), 2, [ANN]),
        (mail(TWO, ANN, ONE[2:], MALLORY, ONE[:2]), 2, [ANN]),
        (mail(TWO[1:], ONE[0], ANN, TWO[0], BOB, ONE[1:]), 2, []),
        (mail(TWO, ANN, ONE, ONE), 2, []),
        (mail([TWO[0], TWO[2]], ANN, ONE), 2, []),
        (mail(("x-id", "i=2"), TWO, ANN, ("x-id", "i=1"), ONE), 2, [ANN, ("x-id", "i=1")]),
        (mail(TEN, ANN, NINE, MALLORY), 10, [ANN]),
        (mail(ONE, ANN, INTERNAL, ARRIVAL, MALLORY), 1, [ANN, INTERNAL]),
        (mail(BOB, ONE, ANN, ARRIVAL), 1, [ANN]),
        (mail(ONE, ANN), 1, []),
        (mail(ONE, ANN, ("received", "from x by mx.acme.example")), 1, []),
        (mail(ONE, ANN, ("received", "by mx.google.com")), 1, []),
        (mail(ONE[:2], ANN, ARRIVAL), 1, []),
        (mail(ANN, ARRIVAL), 1, []),
    ],
)
def test_lines_below_the_newest_seal(headers: RawMail, newest: int, expected: list[stamps.Line]) -> None:
    """They begin behind the whole set, end at the arrival or at the set before, and are none where anything is out of order."""
    assert stamps.below_seal(headers, newest) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (mail(ANN, INTERNAL, ONE, ARRIVAL, MALLORY), [ANN, INTERNAL]),
        (mail(FRONT, ANN, ONE), []),
        (mail(ARRIVAL, ANN, ONE), []),
        (mail(ANN, ARRIVAL, BOB, ONE), [ANN]),
        (mail(ANN, ONE[0], BOB, ONE[1:]), [ANN]),
        (mail(ANN, ONE[:2]), []),
    ],
)
def test_lines_above_a_sole_seal(headers: RawMail, expected: list[stamps.Line]) -> None:
    """They end at the first line of the set, or at the arrival."""
    assert stamps.above_seal(headers, 1) == expected


@pytest.mark.parametrize(
    ("name", "value", "instance"),
    [
        ("arc-seal", "i=1; a=x", 1),
        ("arc-seal", "a=x; i=12", 12),
        ("arc-seal", "a=x; i=123", None),
        ("arc-seal", "a=x; i=²", None),
        ("arc-seal", "a=x; i=-1", None),
        ("arc-seal", "a=x; i=", None),
        ("arc-seal", "a=x", None),
        ("arc-seal", "a=x; a=y; i=1", None),
        ("arc-message-signature", "a=x; i=2", 2),
        ("arc-authentication-results", "i=2; mx.google.com; x", 2),
        ("arc-authentication-results", "i=2; (i=3;) x=y", 2),
        ("arc-authentication-results", "mx.google.com; i=2; x", None),
        ("arc-authentication-results", "i=x; mx.google.com", None),
    ],
)
def test_the_number_of_a_set(name: str, value: str, instance: int | None) -> None:
    """A seal and a signature have it among their tags, results at their beginning."""
    assert stamps.instance_of(name, value) == instance


@pytest.mark.parametrize(
    ("lines", "above", "arrival"),
    [
        ([ANN, ARRIVAL, BOB], [ANN], ARRIVAL[1]),
        ([FRONT, ANN, ARRIVAL, BOB], [FRONT, ANN], ARRIVAL[1]),
        ([ANN, FRONT, BOB], [ANN], FRONT[1]),
        ([ANN, FRONT, BOB, ("received", "from a by b")], [ANN], FRONT[1]),
        ([ANN, INTERNAL], [ANN, INTERNAL], None),
        ([], [], None),
        ([ANN, ("x-received", OUT), BOB], [ANN, ("x-received", OUT), BOB], None),
        ([ANN, ("received", "from a by notgoogle.com"), ARRIVAL], [ANN, ("received", "from a by notgoogle.com")], ARRIVAL[1]),
        ([ANN, ("received", "from a by mx.google.com.evil.example"), BOB, ARRIVAL], None, ARRIVAL[1]),
        ([ANN, ("received", "from a by googlemail.com; x"), BOB], [ANN], "from a by googlemail.com; x"),
        ([ANN, ("received", "FROM a BY smtp.Gmail.COM"), BOB], [ANN], "FROM a BY smtp.Gmail.COM"),
    ],
)
def test_the_trace_of_arrival(lines: list[stamps.Line], above: list[stamps.Line] | None, arrival: str | None) -> None:
    """It is the topmost that Google wrote; where Google wrote none, the topmost at all."""
    found = stamps.until_google(lines)
    assert found[1] == arrival
    assert above is None or found[0] == above


def test_the_topmost_stamp_is_the_account() -> None:
    """Of several lines the first counts, and what is no plain address names nobody, nor does the line below it."""
    assert stamps.account_of([INTERNAL, ANN, BOB]) == {"ann@corp.example"}
    assert stamps.account_of([("delivered-to", "<Ann+x@Corp.Example>"), BOB]) == {"ann@corp.example"}
    assert stamps.account_of([("delivered-to", "ann@corp.example, x@y.example"), BOB]) == set()
    assert stamps.account_of([INTERNAL, FROM]) == set()
    assert stamps.delivered([ANN, BOB, ("x-original-to", "c@corp.example"), FROM]) == {"ann@corp.example", "bob@corp.example"}
    assert stamps.delivered([ANN, ("x-original-to", "c@corp.example")], names=("x-original-to",)) == {"c@corp.example"}


def test_what_a_list_of_headers_covers() -> None:
    """As many Delivered-To as it names, from the bottom up: so all of them, or it does not cover the forwarder's."""
    one, two = mail(TWO, ANN, ONE), mail(TWO, ANN, ONE, MALLORY)
    assert stamps.is_covered(one, "from:delivered-to", [ANN])
    assert not stamps.is_covered(one, "from:to", [ANN])
    assert not stamps.is_covered(one, "from:delivered-to", [])
    assert not stamps.is_covered(one, "from:delivered-to", [INTERNAL])
    assert not stamps.is_covered(two, "from:delivered-to", [ANN])
    assert stamps.is_covered(two, "from:delivered-to:Delivered-To", [ANN])


def octets(*lines: stamps.Line) -> bytes:
    """A mail of these lines as it is sent."""
    return "".join(f"{name.title()}: {value}\r\n" for name, value in lines).encode() + b"\r\nBy mx.google.com: x\r\n"


@pytest.mark.parametrize(
    ("content", "is_contradicted"),
    [
        (octets(ANN, ARRIVAL), False),
        (octets(ARRIVAL), False),
        (octets(("received", ARRIVAL[1].replace("ann", "mallory"))), True),
        (octets(("received", ARRIVAL[1].replace("ann", "mallory")), ANN, ARRIVAL), True),
        (octets(ANN, ("received", ARRIVAL[1].replace("ann", "mallory"))), False),
        (octets(BOB, ANN, ("received", ARRIVAL[1].replace("ann", "mallory"))), True),
        (octets(("received", "from a by mx.google.com; x")), True),
        (octets(("received", "from for <ann@corp.example> by mx.google.com for <m@evil.example>; x")), True),
        (octets(("received", "from a for <ann@corp.example> by mx.google.com id 1; x")), True),
        (octets(("received", "from a for <ann@corp.example>; x")), False),
        (octets(("received", "from a by for <ann@corp.example> by mx.google.com for <m@evil.example>; x")), True),
        (octets(("received", "from a by b for <ann@corp.example> by mx.google.com for <m@evil.example>; x")), True),
        (octets(("received", "from a by b by mx.google.com for <ann@corp.example>; x")), False),
        (octets(INTERNAL), False),
        (octets(), False),
        (b"", False),
        (octets(FRONT, ANN, ARRIVAL), False),
        (octets(FRONT, ARRIVAL), False),
        (b"Received: from a\r\n\tby mx.google.com\r\n for <m@evil.example>; x\r\n" + octets(ANN), True),
        (b"not a header\r\n" + octets(("received", ARRIVAL[1].replace("ann", "mallory"))), False),
        (octets(("received", ARRIVAL[1].replace("ann", "mallory"))) + b"\r\n" + octets(ANN, ARRIVAL), True),
    ],
)
def test_what_contradicts_an_envelope(content: bytes, is_contradicted: bool) -> None:
    """Google's topmost trace and stamp name another mailbox, or nobody; what stands lower, or in the body, does not count."""
    assert stamps.is_for_another(content, "Ann@corp.example") is is_contradicted


def test_a_long_head_is_read_as_far_as_it_goes() -> None:
    """What stands beyond 64 kB is the sender's in any case."""
    filler = ("x-filler", "y" * 1_000)
    contradiction = ("received", ARRIVAL[1].replace("ann", "mallory"))
    assert stamps.is_for_another(octets(*[filler] * 60, contradiction), "ann@corp.example")
    assert not stamps.is_for_another(octets(*[filler] * 70, contradiction), "ann@corp.example")
    assert stamps.head(b"A:  b \r\n  c\r\nD:e\r\n\r\nF: g") == [("a", "b  c"), ("d", "e")]
