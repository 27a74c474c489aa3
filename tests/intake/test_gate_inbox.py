"""The gate before a throw-away inbox: its address says for whom, so what counts is who wrote the mail, and what the inbox is there for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.core.delivery import Standing
from mailbridge.core.identification import Identification
from mailbridge.core.inbox import Inbox
from mailbridge.core.recipients import Recipient
from mailbridge.intake.gate import Gate
from mailbridge.intake.judgement import Held, Judgement, Passed
from mailbridge.intake.meaning import Addressed
from mailbridge.intake.policy import policy_of
from tests.loop import looped
from tests.peers import signer
from tests.peers.contacts import Book
from tests.peers.judging import Bench, Kind, Post
from tests.peers.zone import Zone
from tests.trust.mails import mail

ADDRESS = "inbox-7m3k9q2wxy8vhtnc@bridge.example"
GMAIL = "ann@gmail.com"
NOW = datetime.now(UTC)
NOTICE = "its List-Id is of a list of its sender's"


def bench(*, book: Book | None = None, is_practice: bool = False, **sections: Any) -> Bench:
    """A bridge with inboxes."""
    zone = Zone()
    for domain in ("acme.example", "mail.acme.example", "evil.example"):
        zone.texts[f"s1._domainkey.{domain}"] = (signer.record(signer.key()),)
    settings = s.Settings(domains=s.DomainSettings(accept=("bridge.example",)), **sections)
    one = Bench(settings, zone)
    policy = policy_of(settings, is_practice=is_practice)
    one.gate = Gate(policy=lambda: policy, dns=zone, contacts=book)
    return one


async def judged(
    one: Bench,
    content: bytes,
    *,
    senders: tuple[str, ...] = (),
    kind: Kind = "code",
    **of_mail: Any,
) -> Judgement:
    """The gate's word on a mail to an inbox that was made for these senders."""
    inbox = Inbox(id=1, address=ADDRESS, senders=senders, created_at=NOW, expires_at=NOW + timedelta(hours=1))
    entry = Addressed(
        recipient=Recipient(rcpt=ADDRESS, identifier=ADDRESS),
        identification=Identification(identifiers=(ADDRESS,), source="inbox"),
        inbox=inbox,
    )
    post = Post(content=content, rcpts=(ADDRESS,))
    understood = replace(one.understand(post), addressed=(entry,), **{"link_objection": "", **of_mail})
    (found,) = await one.judge(post, understood=understood, kind=kind)
    return found


def told(found: Judgement) -> tuple[str, ...]:
    """By what it has passed, or the checks that it failed."""
    return (
        (found.by,)
        if isinstance(found, Passed)
        else tuple(one.check for one in found.failures)
        if isinstance(found, Held)
        else ()
    )


def signed(domain: str = "acme.example", *, to: str = "somebody@else.example") -> bytes:
    """A code, signed by whom it is of."""
    return signer.dkim(mail(sender=f"no-reply@{domain}", to=to), domain)


ANYBODY: tuple[str, ...] = ()
ACME = ("acme.example",)


@pytest.mark.parametrize(
    ("senders", "domain", "kind", "of_mail", "expected"),
    [
        (ANYBODY, "evil.example", "code", {}, ("dkim",)),
        (ANYBODY, "acme.example", "link", {}, ("dkim",)),
        (ANYBODY, "acme.example", "body", {}, ("inbox",)),
        (ACME, "acme.example", "body", {}, ("inbox",)),
        (ACME, "acme.example", "code", {}, ("dkim",)),
        (ACME, "mail.acme.example", "code", {}, ("dkim",)),
        (ACME, "evil.example", "code", {}, ("inbox",)),
        (("other.example", "acme.example"), "acme.example", "code", {}, ("dkim",)),
        (ANYBODY, "acme.example", "link", {"link_objection": "it leads elsewhere"}, ("link-host",)),
        (ANYBODY, "acme.example", "code", {"link_objection": "it leads elsewhere"}, ("dkim",)),
        (ANYBODY, "acme.example", "code", {"notice": NOTICE}, ("platform",)),
        (("no-reply@acme.example",), "acme.example", "code", {"notice": NOTICE}, ("dkim",)),
    ],
)
@looped
async def test_what_an_inbox_takes(
    senders: tuple[str, ...], domain: str, kind: Kind, of_mail: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """Codes and links to the author's own host, of whoever has signed, or of those it was made for; no text, and no platform's notice."""
    assert told(await judged(bench(), signed(domain), senders=senders, kind=kind, **of_mail)) == expected


@looped
async def test_an_inbox_asks_who_wrote_the_mail() -> None:
    """Nothing but a proof of the author is one: not the address, and not the envelope of a listed account."""
    one = bench(trust=s.TrustSettings(accounts=(GMAIL,)))
    assert told(await judged(one, mail())) == ("dkim", "arc")
    assert told(await judged(one, signed(to="m@evil.example"))) == ("dkim",)


@looped
async def test_a_mail_that_reads_in_two_ways_brings_nothing_into_an_inbox() -> None:
    """Unless what says how it is read is signed."""
    assert told(await judged(bench(), signed(), is_certain=False)) == ("reading", "arc")
    form = (*signer.USUAL, "content-transfer-encoding")
    content = signer.dkim(mail(below="Content-Transfer-Encoding: 8bit"), "acme.example", headers=form)
    assert told(await judged(bench(), content, is_certain=False)) == ("dkim",)


@looped
async def test_an_inbox_knows_its_senders() -> None:
    """Who has passed is known to it, with his proven domain."""
    found = await judged(bench(), signed())
    assert isinstance(found, Passed)
    assert found.introduction.standings == {ADDRESS: Standing.KNOWN}
    assert found.introduction.domain == "acme.example"
    assert found.identification.identifiers == (ADDRESS,)


@looped
async def test_without_trust_an_inbox_still_takes_only_what_it_was_made_for() -> None:
    """Where the operator asks for no proof, an unsigned code comes in; another sender's, or a text, does not."""
    one = bench(trust=s.TrustSettings(default="none"))
    found = await judged(one, mail(), senders=ACME)
    assert told(found) == ("none",)
    assert isinstance(found, Passed)
    assert found.introduction.standings == {ADDRESS: Standing.KNOWN}
    assert found.introduction.domain == ""
    assert told(await judged(one, mail(sender="a@evil.example"), senders=ACME)) == ("inbox",)
    assert told(await judged(one, mail(), kind="body")) == ("inbox",)
    assert told(await judged(one, mail(), kind="link", link_objection="it leads elsewhere")) == ("link-host",)
    assert one.zone.asked.total() == 0


@looped
async def test_in_practice_an_inbox_asks_for_nothing_but_its_purpose() -> None:
    """Where nothing leaves the machine, what was made for one sender is still his, and everything else comes in."""
    forbidden = (s.SenderSettings(sender="evil.example", allow=False),)
    one = bench(is_practice=True, trust=s.TrustSettings(senders=("*@other.example",)), sender=forbidden)
    assert told(await judged(one, mail(sender="a@evil.example"))) == ("practice",)
    assert told(await judged(one, mail(), kind="link", link_objection="it leads elsewhere")) == ("practice",)
    assert told(await judged(one, mail(sender="a@evil.example"), senders=ACME)) == ("inbox",)
    assert told(await judged(one, mail(), kind="body")) == ("inbox",)
    assert one.zone.asked.total() == 0


@pytest.mark.parametrize(
    ("identifiers", "domain", "expected"),
    [
        (("*",), "evil.example", ("sender",)),
        (("inbox-*",), "evil.example", ("sender",)),
        (("ann@corp.example",), "evil.example", ("dkim",)),
        (("*",), "acme.example", ("dkim",)),
    ],
)
@looped
async def test_a_forbidden_sender_brings_nothing_into_an_inbox(
    identifiers: tuple[str, ...], domain: str, expected: tuple[str, ...]
) -> None:
    """However well it is signed, where the inbox is among those that it is forbidden for."""
    one = bench(sender=(s.SenderSettings(sender="evil.example", identifiers=identifiers, allow=False),))
    assert told(await judged(one, signed(domain))) == expected


@looped
async def test_the_senders_that_the_operator_lists_count_for_inboxes_too() -> None:
    """`[trust] senders` holds what others send."""
    one = bench(trust=s.TrustSettings(senders=("*@acme.example",)))
    assert told(await judged(one, signed())) == ("dkim",)
    assert told(await judged(one, signed("evil.example"))) == ("sender",)
