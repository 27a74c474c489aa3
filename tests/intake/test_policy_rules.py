"""What the settings say of one mail before any proof is looked for: who is forbidden for whom, and which sites an address is there for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.identification import Identification
from mailbridge.core.recipients import Recipient
from mailbridge.intake.judgement import Failure, Held
from mailbridge.intake.meaning import Addressed, Understanding
from mailbridge.intake.policy import FORBIDDEN, Policy, policy_of
from mailbridge.trust.known import Question

ANN, BOB = "ann@corp.example", "bob@corp.example"
CODES = "codes@bridge.example"


def policy(*senders: s.SenderSettings, **sections: Any) -> Policy:
    """The policy of a bridge where a person has said this of senders."""
    return policy_of(
        s.Settings(domains=s.DomainSettings(accept=("bridge.example",)), sender=senders, **sections), is_practice=False
    )


def forbidden(*identifiers: str) -> s.SenderSettings:
    """evil.example brings these nothing."""
    return s.SenderSettings(sender="evil.example", identifiers=identifiers, allow=False)


@pytest.mark.parametrize(
    ("senders", "identifiers", "sender", "is_forbidden"),
    [
        ((forbidden("*"),), (ANN,), "a@evil.example", True),
        ((forbidden("*"),), (ANN, BOB), "a@mail.evil.example", True),
        ((forbidden("*"),), (ANN,), "a@acme.example", False),
        ((forbidden(ANN),), (ANN,), "a@evil.example", True),
        ((forbidden(ANN),), (ANN, BOB), "a@evil.example", False),
        ((forbidden(ANN),), (BOB,), "a@evil.example", False),
        ((forbidden(ANN, BOB),), (BOB, ANN), "a@evil.example", True),
        ((forbidden("*"),), (), "a@evil.example", False),
        ((), (ANN,), "a@evil.example", False),
    ],
)
def test_who_is_forbidden_for_everybody_that_a_mail_is_for_is_held(
    senders: tuple[s.SenderSettings, ...], identifiers: tuple[str, ...], sender: str, is_forbidden: bool
) -> None:
    """Before any proof, and also where none is asked for; where he is forbidden for one of two, a proof decides about the other."""
    understood = Understanding(extraction=Extraction(verdict=Verdict.CODE), sender=sender)
    entry = Addressed(recipient=Recipient(rcpt=CODES), identification=Identification(identifiers=identifiers))
    held = Held(failures=(Failure(check="sender", why=FORBIDDEN),))
    for default in ("dkim", "none"):
        one = replace(policy(*senders), default=frozenset((default,)))
        found = one.settled(entry, understood, "code")
        assert (found == held) is is_forbidden, default


@pytest.mark.parametrize(
    ("rcpt", "sites"),
    [
        ("sited@bridge.example", ("https://www.acme.example/login", "other.example")),
        ("SITED@Bridge.example", ("https://www.acme.example/login", "other.example")),
        ("sited+wr_1@bridge.example", ("https://www.acme.example/login", "other.example")),
        ("plain@bridge.example", ()),
        (CODES, ()),
    ],
)
def test_the_sites_of_an_address(rcpt: str, sites: tuple[str, ...]) -> None:
    """As they are configured, however the address is written and tagged."""
    one = policy(
        address=(
            s.AddressSettings(rcpt="Sited@bridge.example", site=("https://www.acme.example/login", "other.example")),
            s.AddressSettings(rcpt="plain@bridge.example"),
        )
    )
    assert one.sites_of(Recipient(rcpt=rcpt)) == sites


@pytest.mark.parametrize(
    ("sites", "learned", "sender", "is_known"),
    [
        (("acme.test=mailer.example",), "acme.test", "a@mailer.example", True),
        (("acme.test=mailer.example",), "other.example", "a@mailer.example", False),
        (("acme.test=mailer.example", "acme.test=second.example"), "acme.test", "a@mailer.example", True),
        (("acme.test=mailer.example", "acme.test=second.example"), "acme.test", "a@second.example", True),
        (("https://www.acme.test/?a=b=mailer.example",), "acme.test", "a@mailer.example", False),
        (("acme.test=https://mailer.example/?from=acme",), "acme.test", "a@mailer.example", True),
        ((), "acme.test", "a@mailer.example", False),
    ],
)
def test_who_mails_for_a_site(sites: tuple[str, ...], learned: str, sender: str, is_known: bool) -> None:
    """Each line of `[trust] sites` adds a domain to a site, up to its first equals sign."""
    one = policy(trust=s.TrustSettings(sites=sites))
    question = Question(sender=sender, identifier=ANN, learned=frozenset((learned,)))
    assert bool(one.acquaintance.by(question)) is is_known
