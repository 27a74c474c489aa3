"""The proofs of one mail, asked one by one: which are worth a look, and what is said beside a proof that fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.intake.policy import policy_of
from mailbridge.intake.proofs import INEXACT, Proofs
from mailbridge.trust import Finding, Proven, Unproven
from tests.loop import looped
from tests.peers import signer
from tests.peers.judging import Bench, Post
from tests.peers.zone import Zone
from tests.trust.mails import mail

CODES = "codes@bridge.example"
SETTINGS = s.Settings(domains=s.DomainSettings(accept=("bridge.example",)))
NOBODY = "the mail has not exactly one From address"
SEVERAL = "From names several addresses"


def zone() -> Zone:
    """With the key of Acme."""
    found = Zone()
    found.texts["s1._domainkey.acme.example"] = (signer.record(signer.key()),)
    return found


async def looked_for(content: bytes, check: Any = "dkim", *, is_exact: bool = True, **of_mail: Any) -> Finding:
    """What is found of one proof of a mail."""
    post = Post(content=content, rcpts=(CODES,))
    understood = replace(Bench(SETTINGS).understand(post), **of_mail)
    envelope = replace(post.envelope(), is_exact=is_exact)
    return await Proofs(envelope, understood, policy_of(SETTINGS, is_practice=False), zone()).find(check, CODES)


@pytest.mark.parametrize(
    ("check", "of_mail", "why"),
    [
        ("dkim", {"sender": "", "defects": ("from-several",)}, f"{NOBODY}: {SEVERAL}"),
        ("arc", {"sender": "", "defects": ("from-several",)}, f"{NOBODY}: {SEVERAL}"),
        ("forwarder", {"sender": "", "defects": ("from-several",)}, "its envelope is not that of a Gmail forward"),
        ("dkim", {"sender": "", "defects": ()}, NOBODY),
        ("dkim", {"defects": ("from-several",)}, "it is not signed"),
    ],
)
@looped
async def test_what_is_odd_about_from_is_said_where_the_author_could_not_be_read(
    check: str, of_mail: dict[str, Any], why: str
) -> None:
    """Beside the proofs of the author alone; an author who could be read is not blamed for what else stands there."""
    found = await looked_for(mail(), check, **of_mail)
    assert isinstance(found, Unproven)
    assert found.why == why


@looped
async def test_a_broken_signature_says_who_may_have_broken_it() -> None:
    """Where whoever brought the mail made text of it; not where the mail came as it was, nor where nothing was signed."""
    broken = signer.dkim(mail(), "acme.example").replace(b"482913", b"482914")
    for content, is_exact, is_said in ((broken, False, True), (broken, True, False), (mail(), False, False)):
        found = await looked_for(content, is_exact=is_exact)
        assert isinstance(found, Unproven)
        assert found.why.endswith(INEXACT) is is_said


@pytest.mark.parametrize(
    ("peer", "mail_from", "is_named"),
    [
        ("192.0.2.20", "bounces@acme.example", True),
        ("192.0.2.21", "bounces@acme.example", False),
        ("192.0.2.20", "bounces@evil.example", False),
    ],
)
@looped
async def test_an_author_who_hands_it_in_himself_says_for_whom_it_is(peer: str, mail_from: str, is_named: bool) -> None:
    """Where his signature covers no To, what he sends us from his own server is for whom its To names; nobody else says so."""
    one = zone()
    one.texts["acme.example"] = ("v=spf1 ip4:192.0.2.20 -all",)
    content = signer.dkim(mail(), "acme.example", headers=("from", "subject", "date"))
    post = Post(content=content, rcpts=(CODES,), peer=peer, mail_from=mail_from)
    proofs = Proofs(post.envelope(), Bench(SETTINGS).understand(post), policy_of(SETTINGS, is_practice=False), one)
    found = await proofs.find("dkim", CODES)
    assert isinstance(found, Proven)
    assert found.covers("ann@corp.example") is is_named


@pytest.mark.parametrize("sender", ["acme@sendgrid.net", "Acme@em.SendGrid.net"])
@looped
async def test_a_service_that_signs_for_anybody_proves_no_author(sender: str) -> None:
    """Whatever its own key has signed; of a forwarder's envelope that says nothing."""
    one = zone()
    for domain in ("sendgrid.net", "em.sendgrid.net"):
        one.texts[f"s1._domainkey.{domain}"] = (signer.record(signer.key()),)
    content = signer.dkim(mail(sender=sender), sender.rpartition("@")[2].lower())
    post = Post(content=content, rcpts=(CODES,))
    understood = replace(Bench(SETTINGS).understand(post), sender=sender)
    proofs = Proofs(post.envelope(), understood, policy_of(SETTINGS, is_practice=False), one)
    checks: tuple[tuple[Any, bool], ...] = (("dkim", True), ("arc", True), ("authres", True), ("forwarder", False))
    for check, is_said in checks:
        found = await proofs.find(check, CODES)
        assert isinstance(found, Unproven)
        assert ("signs what any of its customers writes" in found.why) is is_said, check
