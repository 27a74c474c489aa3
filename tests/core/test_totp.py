"""Codes of authenticator secrets are those of the RFCs, and of an implementation that shares no line with ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import random
import struct

import pytest

from mailbridge.core.secret import Secret
from mailbridge.core.totp import DIGESTS, Algorithm, Authenticator, decode

SEEDS = {
    "SHA1": b"12345678901234567890",
    "SHA256": b"12345678901234567890123456789012",
    "SHA512": b"1234567890123456789012345678901234567890123456789012345678901234",
}
"""RFC 6238 appendix B, with the seeds of its erratum 2866."""

RFC_6238 = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]

RFC_4226 = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]

SECRETS = int(os.environ.get("MAILBRIDGE_SECRETS", "10000"))


def authenticator(seed: bytes, algorithm: str = "SHA1", digits: int = 6, period: int = 30) -> Authenticator:
    """One with these octets as its secret."""
    chosen: Algorithm = "SHA512" if algorithm == "SHA512" else "SHA256" if algorithm == "SHA256" else "SHA1"
    text = base64.b32encode(seed).decode().rstrip("=")
    return Authenticator(secret=Secret(text), algorithm=chosen, digits=digits, period=period)


def independent(seed: bytes, algorithm: str, digits: int, counter: int) -> str:
    """RFC 4226 5.3, written down from the RFC with `hmac` and `struct` alone."""
    digest = hmac.new(seed, struct.pack(">Q", counter), getattr(hashlib, algorithm.lower())).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}d}"


@pytest.mark.parametrize("row", RFC_6238, ids=lambda row: str(row[0]))
def test_the_vectors_of_rfc_6238_hold(row: tuple[int, str, str, str]) -> None:
    """Appendix B: every time with every algorithm."""
    for algorithm, expected in zip(SEEDS, row[1:], strict=True):
        one = authenticator(SEEDS[algorithm], algorithm, digits=8)
        assert one.code(one.counter(row[0])).reveal() == expected


def test_the_vectors_of_rfc_4226_hold() -> None:
    """Appendix D: the first ten counters."""
    one = authenticator(SEEDS["SHA1"])
    assert [one.code(counter).reveal() for counter in range(10)] == RFC_4226


@pytest.mark.parametrize("digits", range(6, 11))
@pytest.mark.parametrize("algorithm", DIGESTS)
def test_random_secrets_agree_with_another_implementation(algorithm: str, digits: int) -> None:
    """Secrets of 5 to 80 octets, any counter, any period: the same code as the one worked out from the RFC."""
    dice = random.Random(f"{algorithm}{digits}")
    for _ in range(SECRETS // 15 + 1):
        seed = dice.randbytes(dice.randrange(5, 81))
        at, period = dice.randrange(2**36), dice.randrange(1, 600)
        one = authenticator(seed, algorithm, digits, period)
        assert one.code(one.counter(at)).reveal() == independent(seed, algorithm, digits, at // period)


def test_steam_has_five_letters_of_its_own_alphabet() -> None:
    """Steam's codes are the 31-bit number in base 26, least digit first, by letters that nobody takes for others."""
    seed = b"steam-secret-of-20oc"
    one = Authenticator(secret=Secret(base64.b32encode(seed).decode()), digits=5, is_steam=True)
    digest = hmac.new(seed, struct.pack(">Q", 57_000_000), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    expected = ""
    for _ in range(5):
        number, rest = divmod(number, 26)
        expected += "23456789BCDFGHJKMNPQRTVWXY"[rest]
    assert one.code(57_000_000).reveal() == expected


def test_what_remains_of_a_period_is_told() -> None:
    """A period of 30 s that began 29 s ago has one second left, and the next one all of it."""
    one = authenticator(b"0123456789")
    assert one.remaining(29) == pytest.approx(1)
    assert one.remaining(30) == pytest.approx(30)
    assert one.counter(29.99) + 1 == one.counter(30.0)


@pytest.mark.parametrize("text", ["A", "ABC", "ABCDEF", "1AAAAAAA", "ÄÄÄÄÄÄÄÄ", "AAAA AAAA"])
def test_what_is_not_base32_is_refused_unseen(text: str) -> None:
    """The complaint does not repeat the text."""
    with pytest.raises(ValueError, match="not Base32") as caught:
        decode(text)
    assert text not in str(caught.value)


def test_a_secret_does_not_show_in_a_repr() -> None:
    """Neither the secret nor a code of it."""
    one = authenticator(SEEDS["SHA1"])
    assert "GEZDGNBV" not in repr(one)
    assert RFC_4226[0] not in repr(one.code(0))
