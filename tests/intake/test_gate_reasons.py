"""What the gate says of a mail that it holds: which check failed, on what, and what changes it."""

from __future__ import annotations

import asyncio

import pytest

from mailbridge.config import settings as s
from mailbridge.intake.judgement import Held
from mailbridge.trust import authors
from tests.attacks.forgeries import by_acme, code
from tests.peers import signer
from tests.peers.judging import Bench, Post
from tests.peers.zone import Zone

ANN = "ann@corp.example"
CODES = "codes@bridge.example"
SHORT = ("from", "subject", "date")


def held(content: bytes, rcpt: str = CODES) -> str:
    """The reasons for which a mail is held."""
    zone = Zone()
    for domain in ("acme.example", "evil.example"):
        zone.texts[f"s1._domainkey.{domain}"] = (signer.record(signer.key()),)
    settings = s.Settings(
        domains=s.DomainSettings(accept=("bridge.example",)),
        address=(s.AddressSettings(rcpt="otp@bridge.example", identifier=ANN),),
    )
    (judgement,) = asyncio.run(Bench(settings, zone).judge(Post(content=content, rcpts=(rcpt,))))
    assert isinstance(judgement, Held), judgement
    return " | ".join(map(str, judgement.failures))


@pytest.mark.parametrize("rcpt", [CODES, "otp@bridge.example"])
def test_an_unsigned_to_is_told_from_somebody_elses(rcpt: str) -> None:
    """A signature that leaves To out is no word about whom a mail is for; one that covers a To of somebody else's is."""
    told = held(by_acme(code(to=ANN), headers=SHORT), rcpt)
    assert "does not cover To" in told
    assert "somebody else than" not in told
    assert "mailbridge address add" in told
    assert "somebody else than" in held(by_acme(code(to="eve@fwd.example")), "otp@bridge.example")
    assert "its To names nobody" in held(by_acme(code(to="undisclosed:;")), "otp@bridge.example")


@pytest.mark.parametrize(
    ("sender", "why"),
    [
        ("a@acme.example, b@acme.example", "names several addresses"),
        ("a@evil.example <a@acme.example>", "name is another address"),
        ("Acme: a@acme.example;", "a group"),
        ('"a"@acme.example', "in quotes"),
        ("a@\uff41cme.example", "look like others"),
        ('Acme "x <a@acme.example>', "does not end"),
        ("Acme <a@acme.example> x", "cannot be read"),
        ("Acme", "cannot be read"),
        ("a@acme.example\r\n, m@evil.example", "a line below a header"),
    ],
)
def test_what_is_odd_about_from_is_said(sender: str, why: str) -> None:
    """A mail without one author has no proof, and the reason says what its From is instead."""
    content = code(to=ANN).replace(b"From: Acme <no-reply@acme.example>", f"From: {sender}".encode())
    assert sender.encode() in content
    assert why in held(content, "otp@bridge.example")


def test_every_oddity_has_words_of_its_own_and_the_plainest_is_said() -> None:
    """The reasons of a From that cannot be used, by the defects that the parser names."""
    assert len(set(authors.ODD.values())) == len(authors.ODD) == 15
    for name, text in authors.ODD.items():
        assert authors.oddity(["to-malformed", name]) == text
    assert authors.oddity(["from-malformed", "from-several"]) == "From names several addresses"
    assert authors.oddity(["bom"]) == ""


def test_a_signature_of_another_organization_is_named() -> None:
    """Where somebody else has signed, the reason says whose signature is missing."""
    told = held(signer.dkim(code(to=ANN), "evil.example", private=signer.key()))
    assert "none of its signatures is of acme.example or its organization" in told
    assert "[trust] signers" in told
