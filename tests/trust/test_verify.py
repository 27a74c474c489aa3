"""Our verifier says what dkimpy says, which the tests have beside it, and takes no longer for octets that are made to be slow."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from dkim import ARC, DKIM, CV_Pass, DKIMException, sign
from dkim.canonicalization import CanonicalizationPolicy

from mailbridge.trust import Proven, Unproven, raw, verify
from tests import cost
from tests.peers import signer
from tests.trust.mails import mail
from tests.trust.test_dkim import check

PIECES = (b"a", b"Your code", b" ", b"  ", b"\t", b"\r\n", b"\r\n\r\n", b" \r\n", b"\t\r\n\t", b"=", b"\xff", b".")


@pytest.mark.parametrize("kind", ["relaxed", "simple"])
def test_bodies_and_headers_are_canonical_as_the_library_has_them(kind: str) -> None:
    """For any arrangement of blanks and line ends, in body and headers."""
    dice = random.Random(5)
    policy = CanonicalizationPolicy.from_c_value(f"{kind}/{kind}".encode())
    for _ in range(3_000):
        octets = b"".join(dice.choice(PIECES) for _ in range(dice.randrange(12)))
        ours = verify.relaxed_body(octets) if kind == "relaxed" else verify.simple_body(octets)
        if octets.endswith((b" ", b"\t")):
            octets += b"\r\n"  # a last line without its end: there the library keeps a blank that RFC 6376 drops
        assert ours == policy.canonicalize_body(octets), octets
        if kind == "relaxed":
            value = octets + b"\r\n"
            assert [verify.relaxed_header(b"SubJect", value)] == policy.canonicalize_headers([[b"SubJect", value]])


def test_a_signatures_own_value_is_left_out() -> None:
    """``b=`` loses its value wherever it stands, and ``bh=`` keeps its own."""
    assert verify.unsigned(b" v=1; b=AA\r\n BB; bh=CC") == b" v=1; b=; bh=CC"
    assert verify.unsigned(b" bh=CC; b=AA=\r\n") == b" bh=CC; b="
    assert verify.unsigned(b" bh=CC;\r\n b = AA") == b" bh=CC;\r\n b ="


@pytest.mark.parametrize("of_headers", [b"simple", b"relaxed"])
@pytest.mark.parametrize("of_body", [b"simple", b"relaxed"])
def test_the_librarys_own_signatures_are_genuine(of_headers: bytes, of_body: bytes) -> None:
    """What the library signs, by either canonicalization of headers and body, is verified; and not with another digit."""
    pem = signer.key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    content = mail("Your code  is 482913. \n\n\n", below="X-Folded: a\n  b")
    names = [b"from", b"to", b"subject", b"x-folded"]
    line = sign(content, b"s1", b"acme.example", pem, canonicalize=(of_headers, of_body), include_headers=names)
    assert isinstance(check(line + content, datetime.now(UTC)), Proven)
    assert isinstance(check(line + content.replace(b"482913", b"482914"), datetime.now(UTC)), Unproven)
    assert isinstance(check(line + content.replace(b"X-Folded: a", b"X-Folded: c"), datetime.now(UTC)), Unproven)


RESULTS = "mx.google.com; dkim=pass header.i=@acme.example; dmarc=pass header.from=acme.example"
KEYS = {
    f"{selector}._domainkey.{domain}": signer.key().public_key()
    for selector in ("s1", "arc")
    for domain in ("acme.example", "google.com")
}
ODD = (b"", b" ", b"\t", b"\r\n ", b";", b"=", b":", b"a", b"From", b"1", b"\xff")
FAULTS = (DKIMException, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError)
"""What dkimpy raises for octets that nobody foresaw, beside its own exceptions."""


def published_key(name: bytes, timeout: int = 5) -> str | None:
    """The key of KEYS, as the library looks it up."""
    return signer.record(signer.key()) if name.decode("ascii", "replace").lower().rstrip(".") in KEYS else None


def of_library(content: bytes, *, is_chain: bool) -> bool:
    """What dkimpy makes of the topmost signature, or of the chain."""
    try:
        if is_chain:
            return bool(ARC(content).verify(dnsfunc=published_key)[0] == CV_Pass)
        return bool(DKIM(content).verify(dnsfunc=published_key))
    except FAULTS:
        return False


def changed(content: bytes, dice: random.Random) -> bytes:
    """A mail with one odd thing at one place, mostly in its signatures, or with a header line twice or gone."""
    head, _, _ = content.partition(b"\r\n\r\n")
    if dice.random() < 0.2:
        lines = content.split(b"\r\n")
        place = dice.randrange(len(lines))
        return b"\r\n".join([*lines[:place], *([lines[place]] * dice.choice((0, 2))), *lines[place + 1 :]])
    place = dice.randrange(len(content) if dice.random() < 0.2 else len(head))
    return content[:place] + dice.choice(ODD) + content[place + dice.choice((0, 1)) :]


@pytest.mark.parametrize("kind", ["signature", "signature, simple", "chain of one", "chain of two"])
def test_nothing_is_genuine_that_the_library_refuses(kind: str) -> None:
    """Mails with one odd thing each: whatever is genuine here is so for dkimpy, and the other way round."""
    dice = random.Random(7)
    content = signer.dkim(mail(), "acme.example", canon="simple/simple" if "simple" in kind else "relaxed/relaxed")
    is_chain = kind.startswith("chain")
    for number in range({"chain of one": 1, "chain of two": 2}.get(kind, 0)):
        content = signer.arc(content, "google.com", results=RESULTS, instance=number + 1)
    genuine = 0
    for number in range(1_000):
        octets = changed(content, dice) if number else content
        if raw.read(octets).doubt:
            continue  # never verified at all
        is_ours = verify.arc(octets, KEYS) is not None if is_chain else verify.dkim(octets, 0, KEYS)
        assert is_ours == of_library(octets, is_chain=is_chain), octets
        genuine += is_ours
    assert genuine > 20


@pytest.mark.parametrize(
    ("more", "is_good"),
    [
        ({"v": "2"}, False),
        ({"v": None}, False),
        ({"q": "dns/txt"}, True),
        ({"q": "http"}, False),
        ({"i": "@Acme.example"}, True),
        ({"i": "ann@mail.acme.example"}, True),
        ({"i": "@evil.example"}, False),
        ({"i": "@notacme.example"}, False),
        ({"c": "relaxed/nowsp"}, False),
        ({"t": "10", "x": "20"}, True),
        ({"t": "10", "x": "10"}, True),
        ({"t": "20", "x": "10"}, False),
        ({"d": "Acme.example", "i": "@acme.example"}, True),
        ({"h": "From:To:SUBJECT"}, True),
        ({"t": "soon"}, False),
        ({"x": "1" * 13}, False),
        ({"l": "20"}, False),
    ],
)
def test_what_tags_may_hold(more: dict[str, str | None], is_good: bool) -> None:
    """A signature whose arithmetic is right does not count where a tag holds what RFC 6376 3.5 has no room for, nor with l=."""
    assert verify.dkim(signer.dkim(mail(), "acme.example", more=more), 0, KEYS) is is_good


def test_a_second_from_breaks_a_signature() -> None:
    """Whoever let a second From pass: the signature over the first does not fit any more."""
    content = signer.dkim(mail(), "acme.example")
    keys = {"s1._domainkey.acme.example": signer.key().public_key()}
    assert verify.dkim(content, 0, keys)
    assert not verify.dkim(b"From: x@evil.example\r\n" + content, 0, keys)


SLOW = {
    "a body of blanks": lambda: signer.dkim(mail("x" + " " * 60_000 + "y"), "acme.example"),
    "a large body of blanks": lambda: signer.dkim(mail("x" + " " * 900_000 + "y"), "acme.example"),
    "a body of blank lines": lambda: signer.dkim(mail("x\n" + " \n" * 60_000 + "y"), "acme.example"),
    "a signature of folds": lambda: signer.dkim(mail(), "acme.example").replace(b"; b=", b"; b=" + b"\r\n " * 20_000, 1),
    "a signature of blanks": lambda: signer.dkim(mail(), "acme.example").replace(b"; b=", b"; b=" + b" " * 60_000, 1),
    "a signature of 0.9 MB": lambda: signer.dkim(mail(), "acme.example").replace(b"; h=", b"; h=" + b"x:" * 450_000, 1),
    "a signature of short folds": lambda: signer.dkim(mail(), "acme.example").replace(b"; b=", b"; b=" + b"\r\n A" * 1_500, 1),
}


@pytest.mark.parametrize("name", SLOW)
def test_octets_that_are_made_to_be_slow_are_not(name: str) -> None:
    """Each of these costs a check no more than a hundred empty loops; the library alone takes up to half an hour."""
    content, now = SLOW[name](), datetime.now(UTC)
    assert cost.loops(cost.seconds(lambda: check(content, now), rounds=2)) < 200
    raw.read(content)


def test_a_signature_that_is_longer_than_any_honest_one_is_no_proof() -> None:
    """It is refused before anything looks at it."""
    found = check(SLOW["a signature of folds"](), datetime.now(UTC))
    assert isinstance(found, Unproven)
    assert "longer than any honest one" in found.why
