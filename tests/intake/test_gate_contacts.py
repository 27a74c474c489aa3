"""What the gate makes of a sender that has passed: whose author it looks for, when he is known, and which copies make nobody known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.core.delivery import Standing
from mailbridge.core.identification import Identification
from mailbridge.intake.gate import Gate
from mailbridge.intake.judgement import Held, Judgement, Passed
from mailbridge.intake.policy import policy_of
from mailbridge.trust import Proven, Unproven
from tests.attacks.forgeries import confirm
from tests.intake.test_gate_rules import Slow, through_google
from tests.loop import looped
from tests.peers import signer
from tests.peers.contacts import Book
from tests.peers.judging import Bench, Post
from tests.peers.zone import Zone
from tests.trust.mails import mail

CODES = "codes@bridge.example"
BOUND = "otp@bridge.example"
TOKEN = "otp-7m3k9q2wxy8vhtnc@bridge.example"
ANN, BOB, MALLORY = "ann@corp.example", "bob@corp.example", "m@evil.example"
GMAIL = "ann@gmail.com"
KNOWN, FIRST_SEEN = Standing.KNOWN, Standing.FIRST_SEEN
COPY = "acme.example wrote it to somebody else"


def bench(book: Book | None = None, *, identifier: str = ANN, zone: Zone | None = None, **trust: Any) -> Bench:
    """A bridge that knows acme.example, with an address that nobody can guess and one that anybody can, both bound."""
    found = zone or Zone()
    for domain in ("acme.example", "google.com", "mail.google.com"):
        found.texts[f"s1._domainkey.{domain}"] = (signer.record(signer.key()),)
    found.texts["gmail.com"] = ("v=spf1 ip4:192.0.2.10 ~all",)
    settings = s.Settings(
        domains=s.DomainSettings(accept=("bridge.example",)),
        address=(
            s.AddressSettings(rcpt=TOKEN, identifier=identifier),
            s.AddressSettings(rcpt=BOUND, identifier=identifier),
        ),
        trust=s.TrustSettings(**{"senders": ("*", "*@acme.example"), **trust}),
    )
    one = Bench(settings, found)
    policy = one.gate.policy
    one.gate = Gate(policy=lambda: policy, dns=found, contacts=book, deadline=timedelta(milliseconds=400))
    return one


async def judged(one: Bench, content: bytes, rcpt: str = TOKEN, **post: Any) -> Judgement:
    """The gate's word on a code."""
    (found,) = await one.judge(Post(content=content, rcpts=(rcpt,), **post))
    return found


def signed(to: str = ANN, **more: str) -> bytes:
    """A code that Acme has written and signed."""
    return signer.dkim(mail(to=to, **more), "acme.example")


def standing(found: Judgement, identifier: str = ANN) -> Standing:
    """What its sender is to an identifier."""
    assert isinstance(found, Passed), found
    return found.introduction.standings[identifier]


@pytest.mark.parametrize(
    ("written", "accounts", "is_copy"),
    [
        ((ANN,), (), False),
        ((MALLORY,), (), True),
        ((MALLORY, "eve@else.example"), (), True),
        ((ANN, MALLORY), (), False),
        ((BOB,), (), False),
        ((BOB, MALLORY), (), False),
        ((TOKEN,), (), False),
        ((MALLORY, CODES), (), False),
        (("audit@acme.example",), (), False),
        (("undisclosed:;",), (), False),
        ((MALLORY,), (MALLORY,), False),
        ((MALLORY,), ("*@evil.example",), False),
        ((MALLORY, "eve@else.example"), (MALLORY,), False),
    ],
)
@looped
async def test_a_copy_of_somebody_elses_mail_makes_nobody_known(
    written: tuple[str, ...], accounts: tuple[str, ...], is_copy: bool
) -> None:
    """Acme's mail to strangers alone may have been sent on by them; one to Ann, a colleague, us, the author or a listed account is hers."""
    found = await judged(bench(accounts=accounts), signed(", ".join(written)))
    assert standing(found) is (FIRST_SEEN if is_copy else KNOWN)
    assert isinstance(found, Passed)
    assert (COPY in found.introduction.note) is is_copy


@looped
async def test_an_identifier_that_is_no_mailbox_is_nobody_elses() -> None:
    """Whom a mail was written to says nothing about a login name: Acme is known for it."""
    assert standing(await judged(bench(identifier="login-7"), signed(MALLORY)), "login-7") is KNOWN
    assert standing(await judged(bench(identifier=ANN), signed(MALLORY))) is FIRST_SEEN


@looped
async def test_at_a_provider_of_mailboxes_nobody_is_a_colleague() -> None:
    """There a mail is Ann's that was written to her, and no other's, whoever else has a mailbox there."""
    assert standing(await judged(bench(identifier=GMAIL), signed(GMAIL)), GMAIL) is KNOWN
    assert standing(await judged(bench(identifier=GMAIL), signed("bob@gmail.com")), GMAIL) is FIRST_SEEN


@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [
        ((ANN, "zoe@else.example"), KNOWN),
        (("zoe@else.example", ANN), KNOWN),
        (("zoe@else.example", "eve@else.example"), FIRST_SEEN),
        (("zoe@else.example", "login-7"), KNOWN),
    ],
)
@looped
async def test_a_colleague_of_any_identifier_is_no_stranger(identifiers: tuple[str, ...], expected: Standing) -> None:
    """Of a mail for several identifiers, one whose colleague it was written to is enough, or one that is no mailbox."""
    one = bench()
    post = Post(content=signed(BOB), rcpts=(TOKEN,))
    understood = one.understand(post)
    entry = replace(understood.addressed[0], identification=Identification(identifiers=identifiers, source="address"))
    (found,) = await one.judge(post, understood=replace(understood, addressed=(entry,)))
    assert {standing(found, identifier) for identifier in identifiers} == {expected}


@looped
async def test_a_proven_domain_is_remembered_for_its_identifier() -> None:
    """Where the author is proven, that is noted, known or not; where he is not, nothing is."""
    for senders in (("*", "*@acme.example"), ("*",)):
        book = Book()
        await judged(bench(book, senders=senders), signed(), BOUND)
        assert book.noted == [(ANN, "acme.example")]
    book = Book()
    assert standing(await judged(bench(book), mail())) is FIRST_SEEN
    assert book.noted == []


@looped
async def test_dns_that_is_silent_about_the_author_leaves_a_stranger() -> None:
    """A code that has passed by its address goes, as of nobody who is known; it does not wait for DNS."""
    one = bench()
    one.zone.silent.add("s1._domainkey.acme.example")
    assert standing(await judged(one, signed())) is FIRST_SEEN


@looped
async def test_dns_that_is_late_about_the_author_leaves_a_stranger() -> None:
    """Looking for the author ends before the whole deadline does, so that the code is not put off for it."""
    assert standing(await judged(bench(zone=Slow()), signed())) is FIRST_SEEN


@looped
async def test_an_author_whose_mail_reads_in_two_ways_is_not_proven_by_an_unsigned_form() -> None:
    """What passes by its address is of a known sender only where the signature covers how the body is to be read."""
    one = bench()
    form = (*signer.USUAL, "content-transfer-encoding")
    content = mail(below="Content-Transfer-Encoding: 8bit")
    for headers, is_certain, expected in (
        (signer.USUAL, True, KNOWN),
        (signer.USUAL, False, FIRST_SEEN),
        (form, False, KNOWN),
    ):
        post = Post(content=signer.dkim(content, "acme.example", headers=headers), rcpts=(TOKEN,))
        (found,) = await one.judge(post, understood=replace(one.understand(post), is_certain=is_certain))
        assert standing(found) is expected, (headers, is_certain)


@looped
async def test_a_forwarders_word_is_no_proof_of_the_author() -> None:
    """What passes by a listed account's envelope is of a known sender only where his own signature is found besides."""
    one = bench(accounts=(GMAIL,))
    stamps = f"X-Forwarded-For: {GMAIL} {CODES}\r\nDelivered-To: {GMAIL}"
    envelope = {"mail_from": "ann+caf_=codes=bridge.example@gmail.com", "rcpt": CODES}
    found = await judged(one, mail(to=GMAIL, above=stamps), **envelope)
    assert isinstance(found, Passed)
    assert (found.by, found.proof) == ("forwarder", None)
    assert standing(found, GMAIL) is FIRST_SEEN
    # Its seal or signature decides who wrote it; that it was for this account, the forwarder has said.
    short = signer.dkim(mail(to=GMAIL), "acme.example", headers=("from", "subject", "date"))
    found = await judged(one, stamps.encode() + b"\r\n" + short, **envelope)
    assert isinstance(found, Passed)
    assert found.by == "forwarder"
    assert standing(found, GMAIL) is KNOWN
    # Also where its author wrote to a list: a copy that somebody sends on has no such envelope.
    one = bench(identifier=GMAIL, accounts=(GMAIL,))
    found = await judged(one, signed("list@else.example"), BOUND, mail_from="ann+caf_=otp=bridge.example@gmail.com")
    assert isinstance(found, Passed)
    assert found.by == "forwarder"
    assert standing(found, GMAIL) is KNOWN


@looped
async def test_whom_a_seal_was_for_is_not_looked_for_again() -> None:
    """What Google has delivered to Ann is hers and of a known sender, though its author wrote to a list."""
    one = bench()
    one.zone.texts["arc._domainkey.google.com"] = (signer.record(signer.key()),)
    content = through_google(signed("list@else.example"), account=ANN, darn="bridge.example")
    found = await judged(one, content, BOUND)
    assert isinstance(found, Passed)
    assert found.by == "arc"
    assert standing(found) is KNOWN


@looped
async def test_an_author_whom_nobody_knows_is_not_looked_for() -> None:
    """What has passed by its address costs no question to DNS where no answer would change anything."""
    one = bench(senders=("*",))
    found = await judged(one, signed())
    assert standing(found) is FIRST_SEEN
    assert isinstance(found, Passed)
    assert "nothing proves" in found.introduction.note
    assert one.zone.asked.total() == 0
    # The same behind a forwarder's envelope.
    for senders, expected in ((("*",), FIRST_SEEN), (("*", "*@acme.example"), KNOWN)):
        one = bench(senders=senders, default="forwarder", accounts=(GMAIL,))
        found = await judged(one, signed(GMAIL), CODES, mail_from="ann+caf_=codes=bridge.example@gmail.com")
        assert standing(found, GMAIL) is expected
        assert bool(one.zone.asked["s1._domainkey.acme.example"]) is (expected is KNOWN)


@looped
async def test_a_mail_that_is_for_nobody_is_not_held_for_its_sender() -> None:
    """It has passed its checks, and why it is pushed to nobody is told elsewhere."""
    one = bench()
    post = Post(content=signed(), rcpts=(TOKEN,))
    understood = one.understand(post)
    entry = replace(understood.addressed[0], identification=Identification())
    (found,) = await one.judge(post, understood=replace(understood, addressed=(entry,)))
    assert isinstance(found, Passed)
    assert found.introduction.standings == {}


@looped
async def test_why_an_address_is_no_proof_is_said() -> None:
    """One that can be guessed is none of anything, one that cannot is none of a link."""
    one = bench()
    for rcpt, why in ((TOKEN, "an address is no proof for a link or a text"), (BOUND, "the address can be guessed")):
        post = Post(content=mail(), rcpts=(rcpt,))
        (found,) = await one.judge(post, understood=replace(one.understand(post), link_objection=""), kind="link")
        assert isinstance(found, Held)
        assert found.failures[-1].why == why


@looped
async def test_a_stamp_that_nobody_has_signed_yields_to_the_authors_to() -> None:
    """A forwarder's stamp of somebody else's is passed over for the recipient that the signature covers."""
    stamp = b"X-MS-Exchange-ForwardingLoop: bob@corp.example;1\r\n"
    found = await judged(bench(), stamp + signed("dan@corp.example"), CODES)
    assert isinstance(found, Passed)
    assert found.identification.identifiers == ("dan@corp.example",)


@looped
async def test_a_platforms_notice_is_held_whoever_has_signed_it() -> None:
    """Nothing of it is pushed, and the check that failed is named; another mail of the platform goes."""
    one = bench()
    content = signer.dkim(mail(below="List-Id: team <repo.team.acme.example>"), "acme.example")
    for rcpt in (BOUND, TOKEN):
        found = await judged(one, content, rcpt)
        assert isinstance(found, Held)
        assert [failure.check for failure in found.failures] == ["platform"]
        assert standing(await judged(one, signed(), rcpt)) is KNOWN


@looped
async def test_in_practice_everybody_is_known() -> None:
    """Where nothing leaves the machine, a stranger's code is pushed as a known one, and nothing is noted or looked up."""
    book, one = Book(), bench()
    policy = policy_of(s.Settings(domains=s.DomainSettings(accept=("bridge.example",))), is_practice=True)
    one.gate = Gate(policy=lambda: policy, dns=one.zone, contacts=book)
    found = await judged(one, signed(), CODES)
    assert standing(found) is KNOWN
    assert isinstance(found, Passed)
    assert found.introduction.note == ""
    assert (book.noted, one.zone.asked.total()) == ([], 0)


@pytest.mark.parametrize(
    ("rcpt", "written", "is_pushed"),
    [
        (TOKEN, "undisclosed:;", True),
        (BOUND, "undisclosed:;", False),
        (TOKEN, MALLORY, False),
        (TOKEN, f"{ANN}, {MALLORY}", True),
        (BOUND, f"{ANN}, {MALLORY}", False),
    ],
)
@looped
async def test_a_link_to_nobody_is_for_whom_an_unguessable_address_was_made(rcpt: str, written: str, is_pushed: bool) -> None:
    """Where the author names nobody, who knows the address is whom it is for; an address that can be guessed says nothing."""
    one = bench()
    post = Post(content=signed(written), rcpts=(rcpt,))
    (found,) = await one.judge(post, understood=replace(one.understand(post), link_objection=""), kind="link")
    assert isinstance(found, Passed if is_pushed else Held)


@looped
async def test_googles_question_is_signed_by_google_itself() -> None:
    """A host below google.com, where its customers' mail is signed perhaps, does not speak for Google."""
    one = bench()
    own, below = (signer.dkim(confirm(), domain) for domain in ("google.com", "mail.google.com"))
    assert isinstance(await one.confirmation(Post(content=own, rcpts=(CODES,))), Proven)
    assert isinstance(await one.confirmation(Post(content=below, rcpts=(CODES,))), Unproven)
