"""Everything that a daemon asks of its store all the time, in one go, for tests of how a database goes about it."""

from __future__ import annotations

from datetime import timedelta

from mailbridge.clock import SteadyClock
from mailbridge.core.delivery import Accepted, Standing, State
from mailbridge.store import Filter, Store
from mailbridge.store.reading import Poll, Wanted
from tests.store.mails import arrival, draft

GRACE = timedelta(seconds=5)
ROUNDS = 3


async def use(store: Store, clock: SteadyClock) -> None:
    """Mails come in and go out, somebody waits, lists are looked at, time passes."""
    for number in range(ROUNDS):
        identifier = f"u{number}@example.com"
        await _mail(store, clock, identifier, number)
        await _reader(store, identifier)
    await _lists(store, clock)
    await store.sweep()


async def _mail(store: Store, clock: SteadyClock, identifier: str, number: int) -> None:
    for standing in (Standing.KNOWN, Standing.FIRST_SEEN):
        code = draft(
            f"{number:06d}", identifier=identifier, sender="no-reply@sender7.example", standing=standing, domain="sender7.example"
        )
        receipt = await store.put(
            arrival(code, at=clock.now(), fingerprint=f"look {number} {standing}", cursor=f"box/1/{number + 1}")
        )
        await store.put(arrival(code, at=clock.now(), fingerprint=f"look {number} {standing}"))
        await store.outbox.release(receipt.claims)
        for claim in (await store.outbox.claim(limit=8)).claims:
            await store.outbox.settle(claim, Accepted(), jitter=0.0, grace=GRACE)
        await store.mails.one(receipt.mail_id)
        await store.mails.raw(receipt.mail_id)
        await store.journal.after(0, mail_id=receipt.mail_id)
        await store.outbox.deliveries(mail_id=receipt.mail_id)


async def _reader(store: Store, identifier: str) -> None:
    await store.codes.newest(Wanted(identifier=identifier))
    await store.codes.pull(Poll(identifier=identifier, run="wr_1"))
    await store.codes.consume(Wanted(identifier=identifier), reader="token 1")


async def _lists(store: Store, clock: SteadyClock) -> None:
    newest = await store.journal.newest()
    await store.journal.after(newest - 50)
    await store.journal.happened(newest - 50, limit=50)
    await store.journal.line_before(clock.now() - timedelta(hours=1))
    for wanted in (
        Filter(),
        Filter(identifier="u7@example.com"),
        Filter(sender="no-reply@sender7.example"),
        Filter(states=(State.DEAD,)),
        Filter(states=(State.PENDING, State.IN_FLIGHT)),
        Filter(since=clock.now() - timedelta(minutes=1)),
    ):
        await store.mails.page(wanted, limit=20)
        await store.outbox.deliveries(wanted, limit=20)
    await store.mails.page(Filter(is_held=True), limit=20)
    await store.mails.search("your code", limit=20)
    await store.outbox.counts()
    await store.codes.live(identifiers=["*"], limit=20)
    await store.codes.given(limit=20)
