"""Our canonicalization says what the library's says, and takes no longer for octets that are made to be slow."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from dkim import sign
from dkim.canonicalization import CanonicalizationPolicy

from mailbridge.trust import Proven, Unproven, raw, verify
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
    """Each of these takes a check less than a second; the library alone takes up to half an hour."""
    content = SLOW[name]()
    began = time.perf_counter()
    check(content, datetime.now(UTC))
    assert time.perf_counter() - began < 1.0
    raw.read(content)


def test_a_signature_that_is_longer_than_any_honest_one_is_no_proof() -> None:
    """It is refused before anything looks at it."""
    found = check(SLOW["a signature of folds"](), datetime.now(UTC))
    assert isinstance(found, Unproven)
    assert "longer than any honest one" in found.why
