"""A proven mail that was written to several mailboxes: for which of them it is pushed, and why it is held for the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.intake.gate import SEVERAL, UNCERTAIN
from mailbridge.intake.judgement import Held, Passed
from mailbridge.trust.recipients import ELSEWHERE
from tests.loop import looped
from tests.peers import signer
from tests.peers.judging import Bench, Kind, Post
from tests.peers.zone import Zone
from tests.trust.mails import mail

CODES = "codes@bridge.example"
BOUND = "otp@bridge.example"
TOKEN = "otp-7m3k9q2wxy8vhtnc@bridge.example"
ANN, BOB, CARL, MALLORY = "ann@corp.example", "bob@corp.example", "carl@mail.corp.example", "m@evil.example"
AUTHOR = "anna@acme.example"
STAMP = f"X-Forwarded-For: {ANN} {CODES}\r\nDelivered-To: {ANN}\r\n".encode()


def bench(known: tuple[str, ...] = ("*",), **trust: Any) -> Bench:
    """A bridge with a whole domain, bound addresses, and these known identifiers."""
    zone = Zone()
    zone.texts["s1._domainkey.acme.example"] = (signer.record(signer.key()),)
    addresses = (
        s.AddressSettings(rcpt=BOUND, identifier=ANN),
        s.AddressSettings(rcpt=TOKEN, identifier=ANN),
        s.AddressSettings(rcpt="anna@bridge.example", identifier=AUTHOR),
    )
    settings = s.Settings(
        domains=s.DomainSettings(accept=("bridge.example",)),
        address=addresses,
        identity=s.IdentitySettings(known=known),
        trust=s.TrustSettings(**trust),
    )
    return Bench(settings, zone)


async def outcome(one: Bench, rcpt: str, *written: str, sender: str = "no-reply@acme.example", kind: Kind = "code") -> object:
    """The identifiers under which a signed mail with a forwarder's stamp of Ann's is pushed, or why it is held for its recipients."""
    content = STAMP + signer.dkim(mail(sender=sender, to=", ".join(written)), "acme.example")
    post = Post(content=content, rcpts=(rcpt,))
    understood = replace(one.understand(post), link_objection="")
    (found,) = await one.judge(post, understood=understood, kind=kind)
    if isinstance(found, Passed):
        return found.identification.identifiers
    assert isinstance(found, Held)
    (why,) = [failure.why for failure in found.failures if failure.check == "recipient"]
    return why.removeprefix("signed by acme.example, ")


@pytest.mark.parametrize(
    ("known", "written", "expected"),
    [
        (("*",), (ANN,), (ANN,)),
        (("*",), (ANN, CODES), (ANN,)),
        (("*",), (ANN, "audit@acme.example"), (ANN,)),
        (("*",), (BOB, MALLORY), ELSEWHERE),
        (("*",), (ANN, MALLORY), SEVERAL),
        (("*",), (ANN, BOB), SEVERAL),
        (("*@corp.example",), (ANN, BOB), SEVERAL),
        ((ANN,), (ANN, BOB), (ANN,)),
        ((ANN,), (ANN, BOB, CARL), (ANN,)),
        ((ANN,), (ANN, MALLORY), SEVERAL),
        ((ANN,), (ANN, BOB, MALLORY), SEVERAL),
        ((ANN, BOB), (ANN, BOB), SEVERAL),
        ((ANN, CARL), (ANN, BOB, CARL), SEVERAL),
    ],
)
@looped
async def test_of_several_mailboxes_the_listed_one_is_meant(
    known: tuple[str, ...], written: tuple[str, ...], expected: object
) -> None:
    """Beside our own and the author's anybody; beside colleagues the one who alone is listed by himself; beside strangers nobody."""
    assert await outcome(bench(known), CODES, *written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ((ANN,), (ANN,)),
        ((BOUND,), (ANN,)),
        ((ANN, CODES), (ANN,)),
        ((ANN, BOB), (ANN,)),
        ((BOB,), ELSEWHERE),
        ((MALLORY,), ELSEWHERE),
        ((ANN, MALLORY), SEVERAL),
        ((BOUND, MALLORY), SEVERAL),
        ((ANN, BOB, MALLORY), SEVERAL),
        ((BOUND, ANN), (ANN,)),
    ],
)
@looped
async def test_a_bound_address_is_for_its_own_and_their_colleagues(written: tuple[str, ...], expected: object) -> None:
    """What was written to it or to its identifier is for that one, beside colleagues too; not beside a stranger."""
    assert await outcome(bench(), BOUND, *written) == expected


@looped
async def test_a_listed_account_is_as_good_as_the_identifier() -> None:
    """An address that is bound takes what was written to an account of the list, and to nobody else."""
    one = bench(accounts=("*@corp.example",))
    assert await outcome(one, BOUND, BOB) == (ANN,)
    assert await outcome(one, BOUND, MALLORY) == ELSEWHERE
    assert await outcome(one, BOUND, BOB, MALLORY) == SEVERAL


@looped
async def test_who_needs_no_telling_apart() -> None:
    """An address that nobody can guess, and the author himself: whoever else the mail was written to."""
    assert await outcome(bench(), TOKEN, ANN, MALLORY, kind="link") == (ANN,)
    assert await outcome(bench(), TOKEN, MALLORY, kind="link") == ELSEWHERE
    assert await outcome(bench(), "anna@bridge.example", AUTHOR, MALLORY, sender=f"Anna <{AUTHOR}>") == (AUTHOR,)
    assert await outcome(bench(accounts=(AUTHOR,)), BOUND, AUTHOR, MALLORY, sender=f"Anna <{AUTHOR}>") == (ANN,)
    assert await outcome(bench(), BOUND, ANN, MALLORY) == SEVERAL


@looped
async def test_a_body_that_could_be_read_otherwise_needs_its_form_signed() -> None:
    """A code whose mail could be read in two ways is held, with that as the reason, unless a proof covers how it is read."""
    one = bench()
    content = mail(below="Content-Transfer-Encoding: 8bit")
    form = (*signer.USUAL, "content-transfer-encoding")
    for headers, is_certain, is_good in (
        (signer.USUAL, True, True),
        (form, True, True),
        (form, False, True),
        (signer.USUAL, False, False),
    ):
        post = Post(content=signer.dkim(content, "acme.example", headers=headers), rcpts=(CODES,))
        understood = replace(one.understand(post), is_certain=is_certain)
        (found,) = await one.judge(post, understood=understood)
        assert isinstance(found, Passed if is_good else Held), (headers, is_certain)
        if isinstance(found, Held):
            assert [failure.check for failure in found.failures] == ["reading", "arc", "forwarder", "token"]
            assert found.failures[0].why == f"signed by acme.example, but {UNCERTAIN}"
