"""Key records as they are published: which keys may be used, with what warning, and for whom."""

from __future__ import annotations

import asyncio
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailbridge.trust import keys
from tests.peers import signer
from tests.peers.zone import Zone

NAME = "s1._domainkey.acme.example"
UNKNOWN = bytes.fromhex("300b300506032a030403020000")
"""A key by an algorithm that nobody has (1.2.3.4)."""

WRAPPED = signer.edwards_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
"""An Ed25519 key in the form in which RSA's are published."""


def record(bits: int = 2_048, exponent: int = 65_537, *, more: str = "", version: str = "v=DKIM1; ") -> str:
    """The record of an RSA key of that size. It is nobody's: only its numbers are looked at."""
    public = RSAPublicNumbers(exponent, (1 << bits) - 1).public_key()
    octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"{version}{more}p={b64encode(octets).decode()}"


def good(text: str) -> keys.Key:
    """A record that may be used."""
    found = keys.judge(text, NAME)
    assert isinstance(found, keys.Key), found
    assert found.name == NAME
    return found


@pytest.mark.parametrize(
    ("bits", "warning"),
    [
        (1_024, "acme.example signs with 1024 bits, fewer than 2048"),
        (2_047, "acme.example signs with 2047 bits, fewer than 2048"),
        (2_048, ""),
        (4_096, ""),
    ],
)
def test_keys_of_good_and_of_poor_sizes(bits: int, warning: str) -> None:
    """From 1,024 to 4,096 bits a key may be used, and below 2,048 the operator is told."""
    assert good(record(bits)).warning("acme.example") == warning
    assert good(signer.record(signer.edwards_key())).warning("acme.example") == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (record(1_023), "has 1023 bits, fewer than 1024"),
        (record(4_097), "is larger than anybody needs"),
        (record(exponent=(1 << 32) + 1), "is larger than anybody needs"),
        (record(version="v=DKIM2; "), "is malformed"),
        (record(more="t=y; "), "is being tested"),
        (record(more="t=s:y; "), "is being tested"),
        (record(more="k=dsa; "), "of a kind that is not supported: dsa"),
        (record(more="h=sha1; "), "is not for mail with SHA-256"),
        (record(more="s=tlsrpt; "), "is not for mail with SHA-256"),
        ("v=DKIM1; p=", "is revoked"),
        ("v=DKIM1", "is revoked"),
        ("v=DKIM1; p=AA=A", "is malformed"),
        ("v=DKIM1; p", "is malformed"),
        (record().replace("p=", "p=!"), "is malformed"),
        ("v=DKIM1; p=AAAA", "is malformed"),
        pytest.param(f"v=DKIM1; p={b64encode(UNKNOWN).decode()}", "is malformed", id="a kind that is not known"),
        pytest.param(f"v=DKIM1; p={b64encode(WRAPPED).decode()}", "is no RSA key", id="a key of another kind"),
    ],
)
def test_records_that_hold_no_key_to_use(text: str, why: str) -> None:
    """Each says why it is refused, and whose it is."""
    found = keys.judge(text, NAME)
    assert isinstance(found, str)
    assert why in found
    assert NAME in found


def test_records_that_say_more() -> None:
    """The version may be left out, a list may hold what counts among others, and a key's exponent may be large."""
    for text in (
        record(version=""),
        record(exponent=(1 << 32) - 1),
        record(more="k=rsa; h=sha1:sha256; s=tlsrpt:email; "),
        record(more="s=*; t=x; "),
    ):
        assert not good(text).is_strict


def test_a_record_has_a_size() -> None:
    """One of 4,096 characters is read, and one more is not."""
    length = len(record(more="n=; "))
    assert good(record(more=f"n={'x' * (4_096 - length)}; "))
    assert keys.judge(record(more=f"n={'x' * (4_097 - length)}; "), NAME) == f"the key at {NAME} is malformed"


@pytest.mark.parametrize("private", [signer.key(), signer.edwards_key()], ids=["rsa", "ed25519"])
@pytest.mark.parametrize(
    ("flags", "named", "speaks"),
    [
        ("", "@mail.acme.example", True),
        ("", "", True),
        ("t=x; ", "@mail.acme.example", True),
        ("t=s; ", "@mail.acme.example", False),
        ("t=x:s; ", "a@mail.acme.example", False),
        ("t=s; ", "@acme.example", True),
        ("t=s; ", "Ann@ACME.example", True),
        ("t=s; ", "", True),
        ("t=s; ", "acme.example@evil.example", False),
    ],
)
def test_a_key_for_the_domain_itself(private: signer.Private, flags: str, named: str, speaks: bool) -> None:
    """``t=s`` has it speak for users of the very domain that signs; without it for those of subdomains too."""
    key = good(signer.record(private, flags))
    assert key.speaks_for({"d": "Acme.example", "i": named}) is speaks
    assert key.speaks_for({"d": "acme.example"})


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ((), "there is no key at s1._domainkey.acme.example"),
        (("verification=1", "v=spf1 -all"), "there is no key at s1._domainkey.acme.example"),
        ((record(), record()), "there are several keys at s1._domainkey.acme.example"),
        ((record(), "v=DKIM1; p ="), "there are several keys at s1._domainkey.acme.example"),
        ((record(), "verification=1"), ""),
        ((record().replace("p=", "p = "),), ""),
    ],
)
def test_where_a_key_is_looked_for(texts: tuple[str, ...], why: str) -> None:
    """Below the selector, in any case; the one record that has a key, among whatever else stands there."""
    zone = Zone()
    zone.texts[NAME] = texts
    found = asyncio.run(keys.find("S1", "Acme.Example", zone))
    assert found == why if why else isinstance(found, keys.Key)
    if isinstance(found, keys.Key):
        assert found.name == NAME
