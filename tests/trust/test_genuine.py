"""Whether a signature or a chain is genuine, asked with the keys at hand: by every canonicalization, and total for any octets."""

from __future__ import annotations

import pytest

from mailbridge.trust import verify
from tests.peers import signer
from tests.trust.mails import mail

EDWARDS = signer.edwards_key()
KEYS: verify.Keys = {
    "s1._domainkey.acme.example": signer.key().public_key(),
    "ed._domainkey.acme.example": EDWARDS.public_key(),
    "arc._domainkey.google.com": signer.key().public_key(),
}
RESULTS = "mx.google.com; dmarc=pass header.from=acme.example"
SIGNED = signer.dkim(mail(), "acme.example")
SEALED = signer.arc(SIGNED, "google.com", results=RESULTS, instance=1)
TWICE = signer.arc(SEALED, "google.com", results=RESULTS.replace("google", "googlemail"), instance=2)
BLANKS = mail("Your  code \t is 482913. \n\n")


def is_genuine(content: bytes, index: int = 0) -> bool:
    """Of the signature at a place."""
    return verify.dkim(content, index, KEYS)


@pytest.mark.parametrize("of_header", ["relaxed", "simple"])
@pytest.mark.parametrize("of_body", ["relaxed", "simple"])
@pytest.mark.parametrize("selector", ["s1", "ed"])
def test_a_genuine_signature(of_header: str, of_body: str, selector: str) -> None:
    """By either algorithm and canonicalization it is; changed in header, body or signature it is not."""
    private = EDWARDS if selector == "ed" else signer.key()
    content = signer.dkim(BLANKS, "acme.example", selector=selector, private=private, canon=f"{of_header}/{of_body}")
    assert is_genuine(content)
    assert not is_genuine(content.replace(b"482913", b"482914"))
    assert not is_genuine(content.replace(b"sign-in", b"log-in"))
    assert not is_genuine(content.replace(b"; d=acme", b";  d=acme", 1)) or of_header == "relaxed"
    assert is_genuine(content.replace(b"  code", b" code")) is (of_body == "relaxed")
    assert is_genuine(content.replace(b"Subject: ", b"SUBJECT:  ")) is (of_header == "relaxed")
    assert not is_genuine(b"From: another@acme.example\r\n" + content)
    assert is_genuine(b"Received: from x by y\r\n" + content)


@pytest.mark.parametrize(
    ("named", "canon", "expected"),
    [
        ("relaxed", "relaxed/simple", True),
        ("simple", "simple/simple", True),
        (None, "simple/simple", True),
        ("relaxed", "relaxed/relaxed", False),
        ("nonsense/simple", "simple/simple", False),
        ("simple/nonsense", "simple/simple", False),
        ("nonsense", "simple/simple", False),
    ],
)
def test_how_a_signature_names_its_canonicalization(named: str | None, canon: str, expected: bool) -> None:
    """A body that is not named is simple, and so are both; another name is none (RFC 6376 3.5)."""
    content = signer.dkim(BLANKS, "acme.example", canon=canon, more={"c": named})
    assert is_genuine(content) is expected


def test_whose_key_it_is() -> None:
    """It is looked up in lower case; another algorithm than the key's, another's key and no key are no ground."""
    assert is_genuine(signer.dkim(mail(), "ACME.Example", selector="S1"))
    assert not is_genuine(signer.dkim(mail(), "evil.example"))
    assert not is_genuine(signer.dkim(mail(), "acme.example", private=signer.key("stranger")))
    assert not is_genuine(signer.dkim(mail(), "acme.example", private=EDWARDS))
    assert not is_genuine(signer.dkim(mail(), "acme.example", selector="ed"))
    assert not is_genuine(signer.dkim(mail(), "acme.example", more={"a": "rsa-sha1"}))
    assert not verify.dkim(SIGNED, 0, {})


def test_one_signature_of_several() -> None:
    """The topmost is the first, and each is judged alone."""
    content = mail()
    both = signer.dkim(signer.dkim(content, "acme.example", private=signer.key("stranger")), "acme.example")
    assert [is_genuine(both, index) for index in (0, 1, 2)] == [True, False, False]


@pytest.mark.parametrize("covered", [("from", "subject"), ("subject",)])
def test_what_is_covered_is_covered_once(covered: tuple[str, ...]) -> None:
    """A second From breaks a signature that covers From, and no other."""
    content = signer.dkim(mail(), "acme.example", headers=covered)
    assert is_genuine(content)
    assert is_genuine(b"From: x@evil.example\r\n" + content) is ("from" not in covered)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"no header",
        SIGNED.replace(b"d=acme", b"d=\xff"),
        SIGNED.replace(b"; bh=", b"; bh=A"),
        SIGNED.replace(b"; b=", b"; b=A"),
        SIGNED.replace(b"; bh=", b"; zz="),
        SIGNED.replace(b"; d=acme.example", b""),
        SIGNED.replace(b"v=1", b"v=2"),
    ],
)
def test_octets_that_are_no_signature(octets: bytes) -> None:
    """Whatever they do to the library: not genuine, and nothing is raised."""
    assert is_genuine(octets) is False
    assert verify.arc(octets.replace(b"DKIM-Signature:", b"ARC-Seal:"), KEYS) is None
    assert verify.arc(octets + SEALED, KEYS) is None or octets == b""


def test_a_genuine_chain() -> None:
    """The results of each set come newest first; of a chain that is changed anywhere there are none."""
    found = verify.arc(TWICE, KEYS)
    assert found is not None
    assert ["googlemail" in one for one in found] == [True, False]
    assert len(verify.arc(SEALED, KEYS) or ()) == 1
    for changed in (
        TWICE.replace(b"482913", b"111111"),
        TWICE.replace(b"dmarc=pass", b"dmarc=fail"),
        TWICE.replace(b"i=1;", b"i=3;"),
        mail(),
        b"",
    ):
        assert verify.arc(changed, KEYS) is None
    assert verify.arc(SEALED, {}) is None


def test_seals_and_signatures_of_broken_base64() -> None:
    """The library's own fault for it goes no further."""
    for name in (b"; b=", b"; bh="):
        assert verify.arc(SEALED.replace(name, name + b"A"), KEYS) is None


def test_a_signature_may_be_folded() -> None:
    """White space within the values of ``b=`` and ``bh=`` is none of them."""
    start = SIGNED.index(b"; b=") + 4
    folded = SIGNED[: start + 60] + b"\r\n  " + SIGNED[start + 60 :]
    assert is_genuine(folded)
    digest = SIGNED[SIGNED.index(b"; bh=") + 5 :].partition(b";")[0].decode()
    assert is_genuine(signer.dkim(mail(), "acme.example", more={"bh": f"{digest[:20]} {digest[20:]}"}))


def test_the_canonical_forms() -> None:
    """Blanks at the end of a name, within and around a value, and at the ends of lines and body (RFC 6376 3.4)."""
    assert verify.relaxed_header(b"SubJect \t", b" a \t b\r\n\tc \r\n") == (b"subject", b"a b c\r\n")
    assert verify.relaxed_body(b" a \t b  \r\n \r\n\r\n") == b" a b\r\n"
    assert verify.relaxed_body(b"\r\n\r\n") == verify.relaxed_body(b"") == b""
    assert verify.simple_body(b"a \r\n\r\n\r\n") == b"a \r\n"
    assert verify.simple_body(b"") == b"\r\n"
