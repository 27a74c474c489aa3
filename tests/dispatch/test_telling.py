"""Listeners are told what happened, in its order, at least once and under one id, and nobody waits for one that fails."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted, Deferred, Doubtful, Outcome, Refused
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.happening import NEEDS_YOU, TYPES, Event, Wish, lifetime, masked, message_of, one_line, schedule, title_of
from mailbridge.core.secret import Secret
from mailbridge.dispatch.occasions import Occasions, missing_detail
from mailbridge.dispatch.telling import Listener, Pace, Teller
from mailbridge.sinks import NoRecords
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from tests.loop import looped, until
from tests.store.mails import arrival, draft

SOON = Pace(pause=lambda kind, attempts: timedelta(milliseconds=5) if schedule(kind, attempts) is not None else None)


@dataclass(slots=True)
class Ear:
    """Answers with what its script says, and then accepts. Implements `mailbridge.sinks.Told`."""

    script: deque[Outcome | Callable[[], Awaitable[Outcome]]] = field(default_factory=deque)
    heard: list[tuple[Event, int]] = field(default_factory=list)
    closed: int = 0

    async def tell(self, event: Event, *, more: int = 0) -> Outcome:
        """Note it."""
        self.heard.append((event, more))
        act = self.script.popleft() if self.script else Accepted()
        return await act() if callable(act) else act

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1

    @property
    def kinds(self) -> list[str]:
        """The types of what was told."""
        return [event.type for event, _ in self.heard]


def listener(ear: Ear, *types: str, name: str = "one", identifiers: Sequence[str] = ("*",), is_person: bool = False) -> Listener:
    """A listener that wants these."""
    wish = Wish(types=types or ("*",), identifiers=identifiers)
    return Listener(name=name, sink=ear, wish=wish, is_person=is_person, close=ear.aclose)


def opened(folder: Path) -> SqliteStore:
    """The store of a folder."""
    settings = StoreSettings(url=f"sqlite:///{folder / 'mailbridge.db'}", busy_timeout=timedelta(milliseconds=20))
    return open_sqlite(settings, RetentionSettings(), clock=SteadyClock(), grace=timedelta(seconds=1))


@asynccontextmanager
async def telling(store: SqliteStore, *listeners: Listener, pace: Pace = SOON) -> AsyncIterator[Teller]:
    """A teller that runs for the length of the block, with its listeners in place."""
    occasions = Occasions(store=store, records=NoRecords(), is_answered=lambda account: account == "ann@gmail.example")
    teller = Teller(store=store, occasions=occasions, now=store.clock.now, pace=pace)
    teller.serve(listeners)
    running = asyncio.create_task(teller.run())
    try:
        while any([await _is_new(store, one.name) for one in listeners]):
            await asyncio.sleep(0.005)
        yield teller
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _is_new(store: SqliteStore, name: str) -> bool:
    rows = await store.readers.rows("SELECT 1 FROM told WHERE name = ?", (name,))
    return not list(rows)


@looped
async def test_everything_that_happens_is_told_in_its_order(tmp_path: Path) -> None:
    """Mails without a code, held ones, what becomes of codes, mailboxes and alarms; not what was before, nor codes, which have their own way."""
    store, ear = opened(tmp_path), Ear()
    await store.put(arrival(at=store.clock.now(), is_held=True))
    async with telling(store, listener(ear)):
        await store.put(arrival(at=store.clock.now()))
        await store.put(arrival(draft(), at=store.clock.now()))
        await store.put(arrival(draft("111111"), at=store.clock.now(), is_held=True))
        await store.put(arrival(draft("222222"), at=store.clock.now()))
        await store.put(arrival(draft("333333"), at=store.clock.now()))
        assert await store.events.raise_alarm("mailbox gmail", "no answer", event="mailbox.down")
        assert await store.events.clear_alarm("mailbox gmail", event="mailbox.up")
        await store.events.note(
            "code.missing", identifier="ann@example.com", detail=missing_detail("run 7", "then", "nothing: came")
        )
        await until(lambda: ear.kinds[-1:] == ["code.missing"])
        assert ear.kinds == [
            "mail.no_code",
            "mail.held",
            "code.superseded",
            "mailbox.down",
            "mailbox.up",
            "code.missing",
        ]
        missing = ear.heard[-1][0]
        told = {"identifier": "ann@example.com", "who": "run 7", "waiting_since": "then", "reason": "nothing: came"}
        assert (dict(missing.data), missing.identifiers) == (told, ("ann@example.com",))
        assert "482913" not in repr(ear.heard)
    await store.close()


@looped
async def test_a_failing_listener_is_tried_again_and_holds_up_no_other(tmp_path: Path) -> None:
    """Under one id, with what comes behind it waiting; it is shown as failing until it is told."""
    store, bad, good = opened(tmp_path), Ear(), Ear()
    gate = asyncio.Event()

    async def hang() -> Outcome:
        await gate.wait()
        return Accepted()

    bad.script.extend([Deferred(reason="503"), Doubtful(reason="no answer"), hang])
    async with telling(store, listener(bad, name="bad"), listener(good, name="good")) as teller:
        for number in range(3):
            await store.events.note("alarm.raised", detail=f"a{number}: x")
        await until(lambda: len(good.heard) == 3 and len(bad.heard) == 3)
        assert teller.failing == {"bad": "no answer"}
        assert len({event.id for event, _ in bad.heard}) == 1
        gate.set()
        await until(lambda: len(bad.heard) == 5)
        assert [event.data["alarm"] for event, _ in bad.heard] == ["a0", "a0", "a0", "a1", "a2"]
        await until(lambda: not teller.failing)
    await store.close()


@looped
async def test_what_a_process_died_of_telling_is_told_once_more(tmp_path: Path) -> None:
    """What was answered is told no second time, what was not is, under the id that it had."""
    store, ear = opened(tmp_path), Ear()
    never = asyncio.Event()

    async def hang() -> Outcome:
        await never.wait()
        return Accepted()

    ear.script.extend([Accepted(), hang])
    async with telling(store, listener(ear)):
        await store.events.note("alarm.raised", detail="a: x")
        await store.events.note("alarm.raised", detail="b: x")
        await until(lambda: len(ear.heard) == 2)
    assert ear.closed == 1
    await store.close()
    store = opened(tmp_path)
    async with telling(store, listener(ear)):
        await until(lambda: len(ear.heard) == 3)
    await store.close()
    assert [event.data["alarm"] for event, _ in ear.heard] == ["a", "b", "b"]
    assert ear.heard[1][0].id == ear.heard[2][0].id


@looped
async def test_a_refusal_is_left_behind_and_410_ends_it(tmp_path: Path) -> None:
    """The next event is told all the same; after 410 none is."""
    store, ear = opened(tmp_path), Ear()
    off: list[str] = []
    ear.script.extend([Refused(reason="422"), Refused(reason="410", is_gone=True)])
    one = Listener(name="one", sink=ear, wish=Wish(), is_off=lambda: bool(off), on_gone=off.append)
    async with telling(store, one) as teller:
        for number in range(4):
            await store.events.note("alarm.raised", detail=f"a{number}: x")
        await until(lambda: off)
        await until(lambda: teller.failing)
        other = Ear()
        teller.serve([one, listener(other, name="other")])
        while await _is_new(store, "other"):
            await asyncio.sleep(0.005)
        await store.events.note("alarm.raised", detail="last: x")
        await until(lambda: other.heard)
        assert [event.data["alarm"] for event, _ in ear.heard] == ["a0", "a1"]
    await store.close()


@looped
async def test_a_person_is_told_once_and_then_how_many_more(tmp_path: Path) -> None:
    """One notice a kind and subject, another subject at once, the end of it at once, and a count when the time is over."""
    store, ear = opened(tmp_path), Ear()
    pace = Pace(window=timedelta(seconds=1), pause=SOON.pause)
    async with telling(store, listener(ear, "alarm.*", is_person=True), pace=pace):
        for number in range(5):
            await store.events.note("alarm.raised", detail=f"target a: reason {number}")
        await store.events.note("alarm.raised", detail="target b: x")
        await store.events.note("alarm.cleared", detail="target a")
        await until(lambda: len(ear.heard) == 4)
    found = [(event.type, event.data["alarm"], event.data.get("reason"), more) for event, more in ear.heard]
    assert found == [
        ("alarm.raised", "target a", "reason 0", 0),
        ("alarm.raised", "target b", "x", 0),
        ("alarm.cleared", "target a", None, 0),
        ("alarm.raised", "target a", "reason 4", 3),
    ]
    assert message_of(ear.heard[-1][0], more=3) == "reason 4; and 3 more"
    await store.close()


@looped
async def test_only_what_is_wanted_is_told(tmp_path: Path) -> None:
    """By types and by identifiers; what is about nobody goes to everybody, and a mail for nobody known only to who wants all."""
    store, narrow, ann = opened(tmp_path), Ear(), Ear()
    async with telling(
        store, listener(narrow, "mail.*", name="narrow"), listener(ann, name="ann", identifiers=["ANN@example.com"])
    ):
        await store.put(arrival(draft(identifier="bob@example.com"), at=store.clock.now(), is_held=True))
        await store.put(arrival(draft(identifier="ann@example.com"), at=store.clock.now(), is_held=True))
        await store.put(arrival(at=store.clock.now()))
        await store.events.note("alarm.raised", detail="a: x")
        await until(lambda: len(narrow.heard) == 3 and len(ann.heard) == 2)
    assert narrow.kinds == ["mail.held", "mail.held", "mail.no_code"]
    assert ann.kinds == ["mail.held", "alarm.raised"]
    await store.close()


@looped
async def test_a_question_that_is_answered_by_itself_bothers_nobody(tmp_path: Path) -> None:
    """Of a listed account: a webhook is told, with that it is answered; a person is told of any other."""
    store, hook, desk = opened(tmp_path), Ear(), Ear()
    async with telling(store, listener(hook, name="hook"), listener(desk, "gmail.*", name="desk", is_person=True)):
        for account in ("ann@gmail.example", "bob@gmail.example"):
            asks = Extraction(verdict=Verdict.CONFIRMATION, value=Secret("https://x"), confidence=1.0, reason="open its link")
            mail = arrival(at=store.clock.now())
            await store.put(replace(mail, extraction=asks, trust=f"signed by google.com; {account} asks"))
        await until(lambda: len(hook.heard) == 2 and desk.heard)
    told = [(event.type, event.data["account"], event.data.get("is_answered")) for event, _ in hook.heard]
    assert told == [("gmail.confirmation", "ann@gmail.example", True), ("gmail.confirmation", "bob@gmail.example", None)]
    assert [title_of(event) for event, _ in desk.heard] == ["b…@gmail.example asks to forward mail here"]
    assert "https://x" not in repr(hook.heard)
    await store.close()


@looped
async def test_listeners_come_and_go_while_it_runs(tmp_path: Path) -> None:
    """A new one begins with what happens next; one that is gone is closed, and its place forgotten."""
    store, old, new = opened(tmp_path), Ear(), Ear()
    async with telling(store, listener(old, name="old")) as teller:
        await store.events.note("alarm.raised", detail="a: x")
        await until(lambda: old.heard)
        teller.serve([listener(new, name="new")])
        await until(lambda: old.closed)
        while await _is_new(store, "new"):
            await asyncio.sleep(0.005)
        await store.events.note("alarm.raised", detail="b: x")
        await until(lambda: new.heard)
        assert len(old.heard) == 1
        assert await _is_new(store, "old")
    await store.close()


@looped
async def test_old_news_is_told_to_nobody(tmp_path: Path) -> None:
    """A wait that ended empty ten minutes ago, a held mail of yesterday."""
    assert lifetime("code.missing") == timedelta(minutes=10)
    assert lifetime("mail.held") == timedelta(hours=8)
    assert [schedule("code.missing", one) for one in (1, 2)] == [timedelta(seconds=5), None]
    assert schedule("mail.held", 9) == timedelta(hours=5)
    store, ear = opened(tmp_path), Ear()
    late = Teller(
        store=store,
        occasions=Occasions(store=store, records=NoRecords()),
        now=lambda: store.clock.now() + timedelta(minutes=11),
        pace=SOON,
    )
    late.serve([listener(ear)])
    running = asyncio.create_task(late.run())
    while await _is_new(store, "one"):
        await asyncio.sleep(0.005)
    await store.events.note("code.missing", identifier="ann@example.com", detail=missing_detail("x", "then", "y"))
    await store.events.note("alarm.raised", detail="a: x")
    await until(lambda: ear.heard)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert ear.kinds == ["alarm.raised"]
    await store.close()


@pytest.mark.parametrize("kind", [*TYPES, "test"])
def test_every_event_has_words_for_a_person_without_a_secret(kind: str) -> None:
    """Two lines of one line each, with masked identifiers, whatever stands in the values."""
    hostile = "x\r\n@everyone <!channel> \u202e" + "y" * 500
    data = {
        "identifier": "ann@example.com",
        "target": "hook",
        "mailbox": "gmail",
        "alarm": "target hook",
        "account": "bob@example.com",
    }
    event = Event(
        id="evt_1",
        type=kind,
        at=SteadyClock().now(),
        data=data | {"reason": f"for ann@example.com {hostile}", "kind": "code"},
        identifiers=("ann@example.com",),
    )
    for text in (title_of(event), message_of(event, more=12)):
        assert text
        assert text.isprintable()
        assert len(text) <= 400
        assert "ann@example.com" not in text


def test_what_needs_a_person_is_a_part_of_what_there_is() -> None:
    """By default neither codes nor single held mails are told."""
    wish = Wish(types=NEEDS_YOU)
    told = {kind for kind in TYPES if wish.takes(Event(id="e", type=kind, at=SteadyClock().now(), data={}))}
    assert told == set(TYPES) - {"code.received", "code.superseded", "mail.held", "mail.no_code", "delivery.done"}
    assert masked("ann@example.com") == "a…@example.com"
    assert masked("client-4711") == "cl…"
    assert one_line("a\n b\t c") == "a b c"
