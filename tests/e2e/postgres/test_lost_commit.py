"""A commit whose answer is lost, by a real PostgreSQL behind a proxy that breaks the connection: it is asked for, and done once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted, Refused, State
from mailbridge.store import StoreUnavailable
from mailbridge.store.reading import Wanted
from tests.loop import looped
from tests.peers.pgproxy import CommitBreaker, Where, breaking_commits
from tests.peers.postgres import Postgres
from tests.store.contract import GRACE
from tests.store.mails import arrival, draft

pytestmark = pytest.mark.e2e

ANN = "ann@example.com"


@pytest.fixture(params=["question", "answer"], ids=["before the server saw it", "after it was done"])
def where(request: pytest.FixtureRequest) -> Where:
    """What is lost: the commit itself, or its answer."""
    where: Where = request.param
    return where


@asynccontextmanager
async def opened(server: Postgres, name: str, folder: Path) -> AsyncIterator[tuple[Any, CommitBreaker]]:
    """A store behind the proxy. It has no heartbeat, whose commits would be broken in place of the test's."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    async with breaking_commits(server.port) as breaker:
        store = await open_postgres(
            StoreSettings(url=f"postgresql://postgres@127.0.0.1:{breaker.port}/{name}", busy_timeout=timedelta(seconds=5)),
            RetentionSettings(),
            key_path=folder / "shared.key",
            clock=SteadyClock(),
            grace=GRACE,
        )
        assert store.replicas is not None
        await store.replicas.stop()
        try:
            yield store, breaker
        finally:
            await store.close()


async def events(store: Any) -> list[str]:
    """What the journal tells, oldest first."""
    return [line.event for line in await store.journal.after()]


def test_a_mail_is_stored_once_and_claimed_at_once(server: Postgres, name: str, tmp_path: Path, where: Where) -> None:
    """The sender gets its yes, the code goes out without waiting for a heartbeat, and nothing is there twice."""

    @looped
    async def use() -> None:
        async with opened(server, name, tmp_path) as (store, breaker):
            breaker.next = [where]
            receipt = await store.put(arrival(draft(), at=SteadyClock().now()))
            assert breaker.broken == 1
            assert (len(receipt.claims), receipt.is_duplicate) == (1, False)
            assert await events(store) == ["stored"]
            assert [one.state for one in await store.outbox.deliveries()] == [State.IN_FLIGHT]
            assert store.trouble is None

    use()


def test_the_end_of_an_attempt_is_known_and_the_next_one_goes(server: Postgres, name: str, tmp_path: Path, where: Where) -> None:
    """A settlement gives its row and the next claim of the queue, as with an answer."""

    @looped
    async def use() -> None:
        async with opened(server, name, tmp_path) as (store, breaker):
            first = await store.put(arrival(draft(), at=SteadyClock().now()))
            await store.put(arrival(draft("111111", sender="b@larch.example"), at=SteadyClock().now(), fingerprint="another"))
            breaker.next = [where]
            settlement = await store.outbox.settle(first.claims[0], Accepted(), jitter=1.0, grace=GRACE)
            assert breaker.broken == 1
            assert settlement.delivery.state is State.DELIVERED
            assert [claim.delivery.draft.content.reveal() for claim in settlement.claims] == ["111111"]
            assert (await events(store)).count("delivered") == 1

    use()


def test_what_is_due_is_claimed_and_what_is_dead_is_retried(server: Postgres, name: str, tmp_path: Path, where: Where) -> None:
    """A claim is in the hands of whoever asked for it, and an operator's retry is said to have been done."""

    @looped
    async def use() -> None:
        async with opened(server, name, tmp_path) as (store, breaker):
            receipt = await store.put(arrival(draft(), at=SteadyClock().now()))
            await store.outbox.settle(receipt.claims[0], Refused(reason="no"), jitter=1.0, grace=GRACE)
            breaker.next = [where]
            assert await store.outbox.retry(receipt.claims[0].delivery.id)
            breaker.next = [where]
            due = await store.outbox.claim(limit=10)
            assert breaker.broken == 2
            assert [claim.delivery.id for claim in due.claims] == [receipt.claims[0].delivery.id]

    use()


def test_a_code_is_given_to_whoever_consumed_it(server: Postgres, name: str, tmp_path: Path, where: Where) -> None:
    """It is not lost between the database, which has it consumed, and its reader."""

    @looped
    async def use() -> None:
        async with opened(server, name, tmp_path) as (store, breaker):
            await store.put(arrival(draft(), at=SteadyClock().now()))
            breaker.next = [where]
            code = await store.codes.consume(Wanted(identifier=ANN), reader="ci")
            assert (breaker.broken, code.value.reveal()) == (1, "482913")
            assert [one.times for one in await store.codes.given()] == [1]
            assert await store.codes.consume(Wanted(identifier=ANN), reader="ci") is None

    use()


def test_what_is_new_is_added_and_told_once(server: Postgres, name: str, tmp_path: Path, where: Where) -> None:
    """An entry that must be new is not refused for its own first try, and a line of the journal is written once."""

    @looped
    async def use() -> None:
        async with opened(server, name, tmp_path) as (store, breaker):
            breaker.next = [where]
            assert await store.entries.put("imap", "box", {"host": "h"}, by="ann", is_new=True)
            breaker.next = [where]
            await store.events.note("code.missing", identifier=ANN)
            assert breaker.broken == 2
            assert await events(store) == ["code.missing"]

    use()


@pytest.mark.parametrize("again", ["question", "answer"])
def test_the_asking_may_be_broken_as_well(server: Postgres, name: str, tmp_path: Path, where: Where, again: Where) -> None:
    """It is asked again, as often as it takes."""

    @looped
    async def use() -> None:
        async with opened(server, name, tmp_path) as (store, breaker):
            breaker.next = [where, again, again]
            receipt = await store.put(arrival(draft(), at=SteadyClock().now()))
            assert (breaker.broken, len(receipt.claims)) == (3, 1)
            assert await events(store) == ["stored"]

    use()


def test_one_that_was_done_before_does_not_vouch_for_this_one(server: Postgres, name: str, tmp_path: Path) -> None:
    """Each transaction has a number of its own: many with an answer, and then some of which none is done at first."""

    @looped
    async def use() -> None:
        async with opened(server, name, tmp_path) as (store, breaker):
            for number in range(12):
                breaker.next = ["question"] if number % 3 == 2 else []
                await store.events.note("code.missing", identifier=ANN, detail=str(number))
            lines = await store.journal.after()
            assert [line.detail for line in lines] == [str(number) for number in range(12)]
            assert breaker.broken == 4

    use()


def test_where_nobody_can_be_asked_it_is_not_said_to_be_done(server: Postgres, name: str, tmp_path: Path) -> None:
    """The server stays away: the mail is deferred, and when it comes again it is stored once, whatever became of the first."""

    @looped
    async def use() -> None:
        async with opened(server, name, tmp_path) as (store, breaker):
            mail = arrival(draft(), at=SteadyClock().now(), fingerprint="the same")
            breaker.next = ["answer"] * 1_000
            with pytest.raises(StoreUnavailable):
                await store.put(mail)
            breaker.next = []
            assert (await store.put(mail)).is_duplicate
            assert len(await store.mails.page()) == 1

    use()


def test_a_transaction_of_which_nothing_more_is_heard_is_ended_by_the_server(server: Postgres, name: str, tmp_path: Path) -> None:
    """Each transaction tells the server for how long it may be silent, which no longer holds behind it."""

    @looped
    async def use() -> None:
        async with opened(server, name, tmp_path) as (store, _):
            show = "SHOW idle_in_transaction_session_timeout"
            assert await store.database.write(lambda transaction: transaction.rows(show)) == [("10s",)]
            assert await store.database.rows(show) == [("0",)]

    use()
