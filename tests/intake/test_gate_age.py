"""A genuine mail that is sent on after its code's life: held, with both times, by whichever of our clocks makes it younger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.config import settings as s
from mailbridge.intake.gate import Gate
from mailbridge.intake.judgement import Held, Judgement, Passed
from mailbridge.intake.policy import policy_of
from tests.loop import looped
from tests.peers import signer
from tests.peers.judging import Bench, Kind, Post
from tests.peers.zone import Zone
from tests.trust.mails import mail

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
BOUND = "otp@bridge.example"
TOKEN = "otp-7m3k9q2wxy8vhtnc@bridge.example"
PROVING = "proving@bridge.example"
SETTINGS = s.Settings(
    domains=s.DomainSettings(accept=("bridge.example",)),
    address=(
        s.AddressSettings(rcpt=BOUND, identifier="ann@corp.example"),
        s.AddressSettings(rcpt=TOKEN, identifier="ann@corp.example", site=("acme.example",)),
        s.AddressSettings(rcpt=PROVING, identifier="ann@corp.example", trust=("dkim",)),
    ),
    rules=s.RuleSettings(lifetime=timedelta(minutes=10)),
)
STATED = "Your code is 482913. It is valid for 30 minutes."
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


async def judged(
    age: timedelta,
    *,
    text: str = "Your code is 482913.",
    kind: Kind = "code",
    rcpt: str = BOUND,
    drift: timedelta = timedelta(),
    is_practice: bool = False,
) -> Judgement:
    """What becomes of a mail that Acme signed so long ago, and that comes now."""
    zone = Zone()
    zone.texts["s1._domainkey.acme.example"] = (signer.record(signer.key()),)
    bench = Bench(SETTINGS, zone)
    content = signer.dkim(
        mail(text), "acme.example", headers=("from", "to", "subject"), more={"t": str(int((NOW - age).timestamp()))}
    )
    post = Post(content=content, rcpts=(rcpt,), at=NOW)
    policy = policy_of(SETTINGS, is_practice=is_practice)
    gate = Gate(policy=lambda: policy, dns=zone, deadline=timedelta(seconds=30), drift=lambda: drift)
    (found,) = await gate.judge(post.envelope(), bench.understand(post), kind)
    return found


def reason(found: Judgement) -> str:
    """Why a mail is held as too old; "" where it passes."""
    if isinstance(found, Passed):
        return ""
    assert isinstance(found, Held)
    assert [failure.check for failure in found.failures] == ["age"]
    return found.failures[0].why


@pytest.mark.parametrize(
    ("age", "text", "is_held"),
    [
        (timedelta(), "Your code is 482913.", False),
        (15 * MINUTE, "Your code is 482913.", False),
        (15 * MINUTE + SECOND, "Your code is 482913.", True),
        (35 * MINUTE, STATED, False),
        (35 * MINUTE + SECOND, STATED, True),
    ],
)
@looped
async def test_a_code_is_over_five_minutes_after_its_life(age: timedelta, text: str, is_held: bool) -> None:
    """The life that the mail states, else that of the settings; what clocks and the way may take is allowed for."""
    assert bool(reason(await judged(age, text=text))) == is_held


@looped
async def test_the_reason_says_both_times() -> None:
    """Whole minutes, and what else may be wrong."""
    assert reason(await judged(95 * MINUTE + 30 * SECOND)).startswith(
        "its author signed it 95 minutes before it came, and its code lives for 10; where that is wrong, this machine's clock may be"
    )
    assert "its link lives for 10;" in reason(await judged(95 * MINUTE, kind="link"))


@pytest.mark.parametrize(("drift", "is_held"), [(timedelta(), True), (-20 * MINUTE, False), (20 * MINUTE, True)])
@looped
async def test_a_clock_that_was_set_makes_nothing_older(drift: timedelta, is_held: bool) -> None:
    """Of the time that goes on and the clock on the wall, the one by which the mail is younger counts."""
    assert bool(reason(await judged(30 * MINUTE, drift=drift))) == is_held


@looped
async def test_in_practice_nothing_is_too_old() -> None:
    """Whoever tries it out sends old mails, also to an address that asks for a proof."""
    for rcpt in (BOUND, PROVING):
        assert isinstance(await judged(5 * 60 * MINUTE, rcpt=rcpt, is_practice=True), Passed)
    assert reason(await judged(5 * 60 * MINUTE, rcpt=PROVING))


@looped
async def test_a_body_has_no_life() -> None:
    """Where whole texts are pushed, whoever reads them judges their age."""
    assert isinstance(await judged(5 * 60 * MINUTE, kind="body"), Passed)


@looped
async def test_at_an_address_that_nobody_guesses_the_known_sender_is_as_old() -> None:
    """The address is proof enough, and the signature of a site that is known for it still tells when it was written."""
    young, old = await judged(MINUTE, rcpt=TOKEN), await judged(95 * MINUTE, rcpt=TOKEN)
    assert isinstance(young, Passed)
    assert young.proof is not None
    assert reason(old)
