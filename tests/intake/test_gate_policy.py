"""What the settings mean for the gate, asked of the policy itself: whose mailbox is ours, who is listed, what would be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.intake.judgement import CHECKS, KEYS
from mailbridge.intake.policy import Policy, policy_of
from mailbridge.metrics import HELD_CHECKS
from tests.peers.judging import Bench, Post
from tests.trust.mails import mail

ANN = "ann@corp.example"


def policy(
    *, accept: tuple[str, ...] = ("bridge.example",), identity: s.IdentitySettings | None = None, **settings: Any
) -> Policy:
    """The policy of a bridge with these settings."""
    return policy_of(
        s.Settings(domains=s.DomainSettings(accept=accept), identity=identity or s.IdentitySettings(), **settings),
        is_practice=False,
    )


@pytest.mark.parametrize(
    ("mailbox", "is_ours"),
    [
        ("anybody@bridge.example", True),
        ("anybody@plumbing.example", True),
        ("otp@elsewhere.example", True),
        ("box@mailbox.example", True),
        (ANN, False),
        ("another@elsewhere.example", False),
        ("another@mailbox.example", False),
        ("anybody@not-bridge.example", False),
        ("anybody@mail.bridge.example", False),
        ("bridge.example@corp.example", False),
    ],
)
def test_which_mailboxes_are_our_own(mailbox: str, is_ours: bool) -> None:
    """Those of the domains that are taken or called our own, however these are written, the listed addresses and the mailboxes."""
    one = policy(
        accept=("Bridge.EXAMPLE.",),
        identity=s.IdentitySettings(own_domains=("PLUMBING.example.",)),
        address=(s.AddressSettings(rcpt="OTP@elsewhere.example", identifier=ANN),),
        imap=(s.ImapSettings(host="imap.mailbox.example", username="Box@mailbox.example"),),
    )
    assert one.is_own(mailbox) is is_ours


@pytest.mark.parametrize(
    ("mailbox", "is_listed"),
    [
        (ANN, True),
        ("Ann+x@CORP.example", True),
        ("bob@gmail.com", True),
        ("b.o.b@googlemail.com", True),
        ("carl@corp.example", False),
        ("*@corp.example", False),
        ("*@team.example", False),
    ],
)
def test_who_is_listed_by_himself(mailbox: str, is_listed: bool) -> None:
    """A known identifier or an account, in any spelling of the mailbox; a pattern lists nobody by himself, not even as it stands."""
    one = policy(
        identity=s.IdentitySettings(known=(ANN, "*@corp.example")),
        trust=s.TrustSettings(accounts=("Bob@gmail.com", "*@team.example")),
    )
    assert one.is_exact(mailbox) is is_listed


@pytest.mark.parametrize(
    ("rcpt", "sender", "sentence"),
    [
        ("open@bridge.example", "a@acme.example", "would not ask: no proof is asked for"),
        (
            "codes@bridge.example",
            "a@acme.example",
            "would ask for a proof: arc or dkim or forwarder ([[address]] trust, [trust] default)",
        ),
        ("seal@bridge.example", "a@acme.example", "would ask for a proof: arc ([[address]] trust, [trust] default)"),
        (
            "open@bridge.example",
            "a@evil.example",
            "would hold it: sender: its sender is not among those whose mails may be pushed ([[address]] accept_from, [trust] senders)",
        ),
    ],
)
def test_what_the_gate_would_ask(rcpt: str, sender: str, sentence: str) -> None:
    """In one sentence, without looking for a proof: nothing, which proofs, or why it is held and what changes that."""
    addresses = (
        s.AddressSettings(rcpt="open@bridge.example", identifier=ANN, trust="none"),
        s.AddressSettings(rcpt="seal@bridge.example", identifier=ANN, trust=("arc",)),
    )
    settings = s.Settings(
        domains=s.DomainSettings(accept=("bridge.example",)),
        address=addresses,
        trust=s.TrustSettings(senders=("*@acme.example",)),
    )
    understood = Bench(settings).understand(Post(content=mail(sender=sender), rcpts=(rcpt,)))
    for one in (understood, replace(understood, sender=sender.upper())):
        assert policy_of(settings, is_practice=False).asked(one.addressed[0], one, "code") == sentence


def test_the_checks_that_are_counted_are_the_gates() -> None:
    """The metrics know every check that the gate has, and each has a key that changes it."""
    assert HELD_CHECKS == CHECKS == tuple(KEYS)
