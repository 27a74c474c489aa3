"""Which signatures and chains of seals are well made: each lacks one thing, and its arithmetic is right where that can be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mailbridge.trust import verify
from tests.peers import signer
from tests.trust.mails import mail

RESULTS = "mx.google.com; dmarc=pass header.from=acme.example"
PUBLIC = signer.key().public_key()
KEYS: verify.Keys = {"s1._domainkey.acme.example": PUBLIC, "arc._domainkey.google.com": PUBLIC}
COVERED = ("from", "to", "subject")


def signed() -> bytes:
    """A mail of Acme's."""
    return signer.dkim(mail(), "acme.example")


def sealed(content: bytes | None = None, instance: int = 1, **more: Any) -> bytes:
    """A mail with one more set of Google's."""
    return signer.arc(content or mail(), "google.com", results=RESULTS, instance=instance, **more)


def twice(**more: Any) -> bytes:
    """A chain of two, the first made as told."""
    return sealed(sealed(**more), 2)


def lacking(content: bytes, header: str, tag: str) -> bytes:
    """The mail, a tag of one of its headers left out."""
    pattern = rb"(?m)^(" + header.encode() + rb":[^\r\n]*?)(?<=[: ;])" + tag.encode() + rb"=[^;\r\n]*;? ?"
    changed, count = re.subn(pattern, rb"\1", content, count=1)
    assert count
    return changed


def test_a_whole_chain_says_what_each_hop_found() -> None:
    """Newest first, each as it was written."""
    assert verify.arc(sealed(), KEYS) == [f"i=1; {RESULTS}"]
    assert verify.arc(twice(), KEYS) == [f"i=2; {RESULTS}", f"i=1; {RESULTS}"]


@pytest.mark.parametrize("tag", ["a", "b", "bh", "d", "h", "s"])
def test_a_signature_has_all_of_its_tags(tag: str) -> None:
    """RFC 6376 3.5."""
    assert not verify.dkim(lacking(signed(), "DKIM-Signature", tag), 0, KEYS)
    assert verify.arc(lacking(sealed(), "ARC-Message-Signature", tag), KEYS) is None


@pytest.mark.parametrize("tag", ["a", "b", "cv", "d", "i", "s"])
def test_a_seal_has_all_of_its_tags(tag: str) -> None:
    """RFC 8617 4.1.3."""
    assert verify.arc(lacking(sealed(), "ARC-Seal", tag), KEYS) is None


def test_there_is_a_mail_and_a_signature_of_that_number() -> None:
    """No signature where the number is none, or the octets have no header that can be read to its end."""
    content = signed()
    assert verify.dkim(content, 0, KEYS)
    assert not verify.dkim(content, 1, KEYS)
    for line in (b"words\r\n", b": words\r\n"):
        assert not verify.dkim(content.replace(b"MIME-Version", line + b"MIME-Version"), 0, KEYS)
        assert verify.arc(sealed().replace(b"MIME-Version", line + b"MIME-Version"), KEYS) is None
    bare = signer.dkim(b"From: a@acme.example\r\nTo: b@corp.example\r\n\r\n", "acme.example")
    assert verify.dkim(bare, 0, KEYS)
    assert not verify.dkim(bare.removesuffix(b"\r\n\r\n"), 0, KEYS)
    assert verify.arc(mail(), KEYS) is None


def test_a_tag_list_that_is_none_is_no_signature() -> None:
    """A tag twice, and base64 with anything else in it."""
    content = signed()
    assert not verify.dkim(content.replace(b"DKIM-Signature: v=1; ", b"DKIM-Signature: v=1; v=1; "), 0, KEYS)
    assert not verify.dkim(content.replace(b"; b=", b"; b=!", 1), 0, KEYS)


def test_a_domain_holds_nothing_that_no_domain_has() -> None:
    """Whatever key there may be for it."""
    content = signer.dkim(mail(), "acme:x.example")
    assert not verify.dkim(content, 0, {"s1._domainkey.acme:x.example": PUBLIC})


def test_the_newest_message_signature_alone_has_to_fit() -> None:
    """A hop may change what an older one has signed (RFC 8617 5.2): it says so by a signature of its own."""
    changed = sealed().replace(b"Subject: Your sign-in code", b"Subject: [list] Your sign-in code")
    assert verify.arc(changed, KEYS) is None
    assert verify.arc(sealed(changed, 2), KEYS) == [f"i=2; {RESULTS}", f"i=1; {RESULTS}"]


@pytest.mark.parametrize(
    ("content", "is_good"),
    [
        (sealed(canon=None), True),
        (sealed(lead="n=1; "), True),
        (sealed(lead="v=2; "), False),
        (sealed(expires=10**13), False),
        (twice(expires=10**13), False),
        (sealed(at=10**13), False),
        (sealed(sealing="arc; h=from"), False),
        (sealed(cv="pass"), False),
        (sealed(cv="fail"), False),
        (sealed(sealed(), 2, cv="none"), False),
        (sealed(sealed(), 2, headers=COVERED), True),
        (sealed(sealed(), 2, headers=(*COVERED, "arc-seal")), False),
        (sealed(sealed(), 2, headers=(*COVERED, "ARC-Seal")), False),
    ],
)
def test_what_a_set_may_say(content: bytes, is_good: bool) -> None:
    """The arithmetic of each is right; a tag says what RFC 8617 4.1 has no room for."""
    assert (verify.arc(content, KEYS) is not None) is is_good


def without(content: bytes, header: bytes) -> bytes:
    """The mail without the topmost header of a name."""
    return re.sub(rb"(?m)^" + header + rb":[^\r\n]*\r\n", b"", content, count=1)


@pytest.mark.parametrize("header", [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"])
def test_each_set_is_whole_and_there_once(header: bytes) -> None:
    """One header of a set missing, twice, or without its number."""
    content = twice()
    assert verify.arc(without(content, header), KEYS) is None
    line = re.search(rb"(?m)^" + header + rb":[^\r\n]*\r\n", content)
    assert line is not None
    assert verify.arc(line.group() + content, KEYS) is None
    for number in (b"", b"i=; ", b"i=a; ", b"i=101; ", "i=\u0661; ".encode()):
        bad = re.sub(rb"(?m)^(" + header + rb": ?)i=1; ", rb"\g<1>" + number, sealed(), count=1)
        assert verify.arc(bad, KEYS) is None


def test_sets_are_numbered_from_one_without_a_gap() -> None:
    """The second alone is no chain."""
    content = twice()
    for header in (b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"):
        content = re.sub(rb"(?m)^" + header + rb": ?i=1;[^\r\n]*\r\n", b"", content)
    assert verify.arc(content, KEYS) is None
