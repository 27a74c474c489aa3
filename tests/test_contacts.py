"""What is known of identifiers in memory: sites of runs, asked for behind their polls; whom a link is for; who waits by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from mailbridge.app.contacts import REMEMBERED, AppContacts
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted
from mailbridge.sinks.skyvern_pages import Login
from mailbridge.store.sqlite import open_sqlite
from mailbridge.waiting import Waiting
from mailbridge.web.pull import Ids
from tests.loop import looped, until
from tests.store.mails import arrival, draft

ANN = "ann@example.com"
LOGIN = Ids(workflow_run_id="wr_1", task_id="tsk_1")
MINUTE = timedelta(minutes=1)


@asynccontextmanager
async def contacts(folder: Path, page: str = "https://www.acme.example/login") -> AsyncIterator[tuple[AppContacts, list[Ids]]]:
    """Contacts over an empty store that runs; and the logins that Skyvern was asked about."""
    asked: list[Ids] = []

    async def ask(_: str, ids: Ids) -> str:
        asked.append(ids)
        await asyncio.sleep(0)
        return page

    clock = SteadyClock()
    store = open_sqlite(
        StoreSettings(url=f"sqlite:///{folder}/m.db"), RetentionSettings(), clock=clock, grace=timedelta(seconds=1)
    )
    one = AppContacts(store=store, waiting=Waiting(now=clock.now), now=clock.now, ask=ask)
    running = asyncio.create_task(one.run())
    try:
        yield one, asked
    finally:
        running.cancel()
        await store.close()


@looped
async def test_a_run_is_asked_about_once_and_behind_its_poll(tmp_path: Path) -> None:
    """The first poll gets no site, and later ones the run's own; another login is another question, a nameless one none."""
    async with contacts(tmp_path) as (one, asked):
        assert one.polled(ANN, LOGIN) == ()
        await until(lambda: one.polling(ANN) == {"acme.example"})
        assert one.polled("Ann@Example.com", LOGIN) == ("acme.example",)
        assert one.polled(ANN, Ids()) == ()
        one.polled(ANN, Ids(workflow_run_id="wr_1", task_id="tsk_2"))
        await until(lambda: len(asked) == 2)
        assert one.polling("ben@example.com") == frozenset()


@looped
async def test_a_run_without_a_page_makes_nobody_known(tmp_path: Path) -> None:
    """What Skyvern does not say, or what is no address, is no site and no error; it is not asked again."""
    async with contacts(tmp_path, page="{{ site }}") as (one, asked):
        one.polled(ANN, LOGIN)
        await until(lambda: asked)
        one.polled(ANN, LOGIN)
        await asyncio.sleep(0.01)
        assert (one.polling(ANN), len(asked)) == (frozenset(), 1)


@looped
async def test_a_runs_site_is_forgotten(tmp_path: Path) -> None:
    """When it has not polled for long, or there are more than are remembered."""
    async with contacts(tmp_path) as (one, _):
        one.polled(ANN, LOGIN)
        await until(lambda: one.polling(ANN))
        now = one.now()
        one.now = lambda: now + REMEMBERED + MINUTE
        assert one.polling(ANN) == frozenset()


@looped
async def test_sites_of_several_credentials_are_a_union(tmp_path: Path) -> None:
    """By the identifier in any case; what has no page adds nothing; what is learned anew takes the place of the old, if it is whole."""
    async with contacts(tmp_path) as (one, _):
        await one.learn(
            [Login(identifier=ANN.title(), page="acme.example"), Login(identifier=ANN, page="https://a.fir.example/")]
        )
        assert one.learned(ANN) == {"acme.example", "fir.example"}
        await one.learn([Login(identifier=ANN, page="larch.example")], is_whole=False)
        assert one.learned(ANN) == {"acme.example", "fir.example", "larch.example"}
        await one.learn([Login(identifier=ANN, page="")])
        assert one.learned(ANN) == frozenset()


@looped
async def test_a_link_is_for_the_one_run_that_asks_for_one(tmp_path: Path) -> None:
    """None where two wait, where a code is wanted, where nobody has a name, or where a code was pushed to it."""
    async with contacts(tmp_path) as (one, _):
        assert await one.run_for_link(ANN) is None
        later = one.now() + MINUTE
        one.waiting.expect(ANN, later, who="wr_1 tsk_1", is_for_link=True, run="wr_1", task="tsk_1")
        assert await one.run_for_link(ANN) == ("wr_1", None)
        one.waiting.expect("ben@example.com", later, who="tsk_2", is_for_link=True, task="tsk_2")
        assert await one.run_for_link("ben@example.com") == (None, "tsk_2")
        one.waiting.expect("ben@example.com", later, who="tsk_3", is_for_link=True, task="tsk_3")
        assert await one.run_for_link("ben@example.com") is None
        receipt = await one.store.put(arrival(draft(identifier=ANN, run="wr_1"), at=one.now()))
        await one.store.outbox.settle(receipt.claims[0], Accepted(), jitter=0, grace=MINUTE)
        assert await one.run_for_link(ANN) is None
        one.waiting.expect("eve@example.com", later, who="tsk_4", is_for_link=False, task="tsk_4")
        assert await one.run_for_link("eve@example.com") is None


@looped
async def test_who_waits_by_name_makes_a_proof_worth_its_cost(tmp_path: Path) -> None:
    """A wait for a domain is one for its senders; a wait for anybody names nobody."""
    async with contacts(tmp_path) as (one, _):
        one.waiting.expect(ANN, one.now() + MINUTE, who="test", way="api")
        assert not one.is_awaited(ANN, "a@acme.example")
        one.waiting.expect(ANN, one.now() + MINUTE, who="test", way="api", sender="acme.example")
        assert one.is_awaited(ANN, "a@mail.acme.example")
        assert not one.is_awaited(ANN, "a@evil.example")
