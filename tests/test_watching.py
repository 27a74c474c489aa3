"""What needs a person is noticed once and over once; a wait that ended empty is told with what is known of why; the heartbeat stops with trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from mailbridge.app.daemon import bridge
from mailbridge.app.heartbeat import Heartbeat
from mailbridge.app.watching import Alarms, AlarmWatch, Delays, MissingWatch, watch
from mailbridge.config.settings import HeartbeatSettings
from mailbridge.core.secret import Secret
from mailbridge.store.lists import JournalLine
from mailbridge.store.sqlite import SqliteStore
from mailbridge.waiting import Waiting
from mailbridge.web.health import Health, Level
from tests.dispatch.test_telling import opened
from tests.loop import looped, until
from tests.peers.scripted import answer, scripted
from tests.store.mails import arrival, draft
from tests.test_app import send
from tests.test_receivers import WHOM, settings_of

AT_ONCE = Delays(red=timedelta(), quiet=timedelta(seconds=1), shortest=timedelta())


async def lines(store: SqliteStore) -> list[JournalLine]:
    """The journal."""
    return list(await store.journal.after(0))


class Later:
    """A clock that can be put on."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.by = timedelta()

    def __call__(self) -> datetime:
        return self._store.clock.now() + self.by


class Wrong:
    """What is wrong now."""

    def __init__(self) -> None:
        self.raised: Mapping[str, str] = {}
        self.well: frozenset[str] = frozenset()
        self.known = frozenset({"target hook", "mailbox gmail"})

    def __call__(self) -> Alarms:
        return Alarms(raised=self.raised, well=self.well, known=self.known)


@looped
async def test_an_alarm_is_a_line_when_it_begins_and_one_when_it_is_over(tmp_path: Path) -> None:
    """However often is looked in between; a mailbox has events of its own."""
    store, wrong = opened(tmp_path), Wrong()
    watched = AlarmWatch(store, wrong, AT_ONCE)
    wrong.raised = {"target hook": "the key is refused", "mailbox gmail": "no answer", "trust": "many are held"}
    for _ in range(3):
        await watched.look()
    wrong.raised = {}
    await watched.look()
    assert set(await store.events.alarms()) == {"target hook", "mailbox gmail"}, "not known to be well yet"
    wrong.well = wrong.known
    for _ in range(3):
        await watched.look()
    assert [(one.event, one.detail) for one in await lines(store)] == [
        ("alarm.raised", "target hook: the key is refused"),
        ("mailbox.down", "mailbox gmail: no answer"),
        ("alarm.raised", "trust: many are held"),
        ("alarm.cleared", "trust"),
        ("alarm.cleared", "target hook"),
        ("mailbox.up", "mailbox gmail"),
    ]
    await store.close()


@looped
async def test_a_restart_neither_repeats_an_alarm_nor_takes_it_for_over(tmp_path: Path) -> None:
    """What was raised stays raised until it is seen to be well, or there is no such thing any more."""
    store, wrong = opened(tmp_path), Wrong()
    wrong.raised = {"target hook": "the key is refused", "target old": "the key is refused"}
    await AlarmWatch(store, wrong, AT_ONCE).look()
    await store.close()
    store = opened(tmp_path)
    wrong.raised = {}
    again = AlarmWatch(store, wrong, AT_ONCE)
    await again.look()
    wrong.raised = {"target hook": "the key is refused"}
    await again.look()
    assert [(one.event, one.detail) for one in await lines(store)][2:] == [("alarm.cleared", "target old")]
    await store.close()


@looped
async def test_a_mailbox_that_is_connected_anew_alarms_nobody(tmp_path: Path) -> None:
    """Only one that stays red does; whatever else is wrong is told at once."""
    store, wrong = opened(tmp_path), Wrong()
    watched = AlarmWatch(store, wrong, Delays(red=timedelta(hours=1)))
    wrong.raised = {"mailbox gmail": "no answer", "target hook": "the key is refused"}
    await watched.look()
    await watched.look()
    assert [one.event for one in await lines(store)] == ["alarm.raised"]
    await store.close()


async def why(identifier: str, since: datetime) -> str:
    """A cause."""
    return f"nothing came for {identifier}"


def missing(store: SqliteStore, waiting: Waiting, now: Later, delays: Delays = AT_ONCE) -> MissingWatch:
    """A watch over who waits."""
    return MissingWatch(store=store, waiting=waiting, why=why, now=now, delays=delays)


@looped
async def test_a_wait_that_ended_empty_is_told_once_with_why(tmp_path: Path) -> None:
    """When nobody has waited for a while; who asks again and again is told of once."""
    store = opened(tmp_path)
    waiting, now = Waiting(now=store.clock.now), Later(store)
    watched = missing(store, waiting, now)
    for _ in range(3):
        wait = waiting.begin("Ann@example.com", who="suite", until=store.clock.now() + timedelta(minutes=1))
        await watched.look()
        waiting.end(wait)
        await watched.look()
    assert await lines(store) == []
    now.by = timedelta(seconds=1)
    await watched.look()
    await watched.look()
    (line,) = await lines(store)
    assert (line.event, line.identifiers) == ("code.missing", ("Ann@example.com",))
    assert line.detail.startswith("suite waited since 20")
    assert line.detail.endswith(": nothing came for Ann@example.com")
    await store.close()


@looped
async def test_a_wait_that_got_its_code_is_not_told(tmp_path: Path) -> None:
    """Nor is one that was given up at once."""
    store = opened(tmp_path)
    waiting, now = Waiting(now=store.clock.now), Later(store)
    watched = missing(store, waiting, now)
    wait = waiting.begin("ann@example.com", who="suite", until=store.clock.now() + timedelta(minutes=1))
    await watched.look()
    await store.put(arrival(draft(identifier="ann@example.com"), at=store.clock.now()))
    waiting.end(wait)
    patient = missing(store, waiting, now, Delays(red=timedelta(), quiet=timedelta(seconds=1), shortest=timedelta(minutes=5)))
    wait = waiting.begin("bob@example.com", who="suite", until=store.clock.now() + timedelta(minutes=1))
    await patient.look()
    waiting.end(wait)
    now.by = timedelta(seconds=1)
    await watched.look()
    await patient.look()
    assert [one.event for one in await lines(store)] == ["stored"]
    await store.close()


@looped
async def test_a_store_that_is_away_ends_no_watch(tmp_path: Path) -> None:
    """It is asked again."""
    store, looks = opened(tmp_path), []

    class Counted(AlarmWatch):
        """Counts its looks."""

        async def look(self) -> None:
            looks.append(1)
            await super().look()

    await store.close()
    looking = asyncio.create_task(watch(Counted(store, Wrong(), AT_ONCE), every=0.005))
    await until(lambda: len(looks) > 3)
    assert not looking.done()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)


@looped
async def test_the_heartbeat_beats_while_all_is_well_and_stops_with_trouble() -> None:
    """A refused beat is told once and is no trouble of its own; another address counts at once."""
    checks: dict[str, str] = {"practice": "somebody tries it out"}
    asked: list[int] = []
    failing: dict[str, str] = {}

    async def health() -> Health:
        asked.append(1)
        return Health(level=Level.DEGRADED, checks=dict(checks), mailboxes=(), strangers="")

    async with scripted(answer(404), answer(200)) as server, scripted(answer(200)) as other:
        now = HeartbeatSettings(url=Secret(f"{server.base_url}/ping/a-secret"), every=timedelta(milliseconds=20))
        heart = Heartbeat(lambda: now, health, failing)
        beating = asyncio.create_task(heart.run())
        await until(lambda: failing)
        assert list(failing) == ["heartbeat"]
        assert "a-secret" not in failing["heartbeat"]
        await until(lambda: len(server.heard) >= 3 and not failing)
        assert server.heard[0].method == "GET"
        assert server.heard[0].body == b""
        checks["mailbox gmail"] = "no answer"
        before = len(asked)
        await until(lambda: len(asked) > before + 1)
        silent, before = len(server.heard), len(asked)
        await until(lambda: len(asked) > before + 3)
        assert len(server.heard) == silent
        checks.pop("mailbox gmail")
        now = HeartbeatSettings(url=Secret(f"{other.base_url}/push"), every=timedelta(milliseconds=20))
        await until(lambda: other.heard)
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


@looped
async def test_a_daemon_tells_by_a_notice_of_the_file_and_beats(tmp_path: Path) -> None:
    """A refused key of a webhook becomes one notice, without the path of either; the heartbeat is silent meanwhile."""
    async with scripted(answer(403)) as hook, scripted(answer(200)) as desk, scripted(answer(200)) as beat:
        text = (
            f'[[target]]\nname = "hook"\nkind = "http"\nurl = "{hook.base_url}/hook-path"\nraw = "{{code}}"\n'
            f'[[notify]]\nname = "desk"\nkind = "http"\nurl = "{desk.base_url}/desk-path"\n'
            f'[heartbeat]\nurl = "{beat.base_url}/beat"\nevery = "5s"\n'
        )
        _, settings = settings_of(tmp_path, text)
        async with bridge(settings, state_dir=tmp_path) as running:
            await until(lambda: beat.heard)
            await send(running, "482913", identifier=WHOM)
            await until(lambda: desk.heard)
            told = desk.heard[0].json()
            assert told["type"] == "alarm.raised"
            assert told["title"] == "target hook needs you"
            assert "403" in str(told["message"])
            assert "path" not in str(told)
            assert b"482913" not in desk.heard[0].body


class Beside:
    """A store that others share; ``is_first``: of all that have it this process came first."""

    is_shared = True

    def __init__(self, store: SqliteStore, *, is_first: bool) -> None:
        self.events = store.events
        self.is_first = is_first


@looped
async def test_alarms_of_mailboxes_are_raised_where_they_are_watched(tmp_path: Path) -> None:
    """Whichever of several processes that is; what has no watcher here is left alone, and all else is the affair of the first one."""
    store = opened(tmp_path)
    here, there, first = Wrong(), Wrong(), Wrong()
    watches = [
        AlarmWatch(Beside(store, is_first=is_first), wrong, AT_ONCE)  # type: ignore[arg-type]
        for is_first, wrong in ((False, here), (False, there), (True, first))
    ]
    here.raised = {"mailbox gmail": "no answer", "target hook": "the key is refused", "canary gmail": "late"}
    for _ in range(2):
        for one in watches:
            await one.look()
    assert set(await store.events.alarms()) == {"mailbox gmail"}, "the first one does not know that canary: it is over"
    here.raised, there.well = {}, frozenset({"mailbox gmail", "target hook"})
    first.raised = {"target hook": "the key is refused"}
    for _ in range(2):
        for one in watches:
            await one.look()
    assert set(await store.events.alarms()) == {"target hook"}, "it moved to another one, which sees it well"
    assert [one.event for one in await lines(store)].count("mailbox.down") == 1
    await store.close()
