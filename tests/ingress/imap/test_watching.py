"""A mailbox on a scripted server: what is lost, doubled or late when the server misbehaves, each fault with its bound."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailbridge.clock import wall
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.service import watchers_of
from mailbridge.intake.answer import Answer
from mailbridge.store import StoreUnavailable
from tests.ingress.imap.watched import ANN, House, account, code_mail, has, house, in_mode, once, until, watching
from tests.loop import PATIENCE
from tests.peers.scripted_imap import ScriptedImap, Session

Fault = Callable[[ScriptedImap], None]
MICROSECOND = timedelta(microseconds=1)


def test_a_mail_is_taken_when_it_is_announced(server: ScriptedImap, tmp_path: Path) -> None:
    """IDLE, an announcement, the code in the store, and the cursor with it."""

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("482913"))
            await has(home, "482913")
            cursor = home.brought[0].cursor
            assert cursor is not None and cursor.endswith("/1000/1")
            assert await home.store.mailboxes.cursor(cursor.rsplit("/", 2)[0]) == cursor
            assert home.brought[0].rcpt_to == (ANN,)
            assert watchers.health()[0].is_well
            assert all(line.split()[1] != "SELECT" for line in server.log if " " in line)

    asyncio.run(run())


def _hang_up(server: ScriptedImap) -> None:
    server.hang_up()


def _reset(server: ScriptedImap) -> None:
    server.hang_up(with_reset=True)


def _bye(server: ScriptedImap) -> None:
    server.push(b"* BYE Server (going down\r\n")


def _rebuilt(server: ScriptedImap) -> None:
    server.validity += 1
    server.hang_up()


def _lagging(server: ScriptedImap) -> None:
    once(server, "UID FETCH", lambda session, tag, _: session.ok(tag))


def _overtaking(server: ScriptedImap) -> None:
    once(server, "UID FETCH", lambda session, tag, _: session.send(f"* {len(server.mails)} EXISTS\r\n{tag} OK done\r\n".encode()))


def _fetch_refused(server: ScriptedImap) -> None:
    once(server, "UID FETCH", lambda session, tag, _: session.send(f"{tag} NO [SERVERBUG] oops (\r\n".encode()))


def _cut_in_fetch(server: ScriptedImap) -> None:
    def cut(session: Session, tag: str, arguments: str) -> None:
        session.send(b'* 1 FETCH (UID 2 INTERNALDATE "25-Nov-2026 02:00:00 +0000" BODY[]<0> {500}\r\nFrom: half a ma')
        session.close()

    once(server, "UID FETCH", cut)


def _vanishing(server: ScriptedImap) -> None:
    """Another client expunges a mail between its announcement and the FETCH."""
    server.push(f"* {len(server.mails) + 1} EXISTS\r\n* {len(server.mails) + 1} EXPUNGE\r\n".encode())


FAULTS: dict[str, Fault] = {
    "FIN in IDLE": _hang_up,
    "RST in IDLE": _reset,
    "BYE in IDLE": _bye,
    "UIDVALIDITY changed": _rebuilt,
    "announced and not yet there": _lagging,
    "announced inside the FETCH answer": _overtaking,
    "cut off inside a mail": _cut_in_fetch,
    "expunged before it is fetched": _vanishing,
}


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_lost_or_doubled(server: ScriptedImap, tmp_path: Path, name: str) -> None:
    """A fault between two mails: both arrive, each once, the second before the next renewal, and the mailbox is well again."""
    fault = FAULTS[name]

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("111213"))
            await has(home, "111213")
            await until(lambda: server.idling == 1, what="IDLE again")
            fault(server)
            server.deliver(code_mail("141516"))
            await has(home, "111213", "141516")
            await until(lambda: server.idling >= 1 and watchers.health()[0].mode == "idle", what="IDLE at last")
            assert sorted(await home.codes()) == ["111213", "141516"]
            assert watchers.health()[0].is_well

    asyncio.run(run())


def test_a_refused_fetch_is_asked_again(server: ScriptedImap, tmp_path: Path) -> None:
    """NO to a FETCH does not end the session: the mails are asked for once more, each by itself."""

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            _fetch_refused(server)
            server.deliver(code_mail("111213"))
            await has(home, "111213")
            assert watchers.health()[0].reconnects == 0

    asyncio.run(run())


def test_what_came_before_the_start_is_taken_up_to_ten_minutes_back(server: ScriptedImap, tmp_path: Path) -> None:
    """A code that beat the daemon is not lost, one from an hour ago is not looked at, and ages are the server's."""
    now = datetime.now(UTC)
    server.deliver(code_mail("111213"), at=now - timedelta(hours=1))
    server.deliver(code_mail("141516"), at=now - timedelta(minutes=8))
    server.deliver(code_mail("171819"), at=now - timedelta(seconds=30))

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await has(home, "141516", "171819")
            assert [round((now - one.received_at).total_seconds() / 60) for one in home.brought] == [8, 0]
            key = (home.brought[0].cursor or "").rsplit("/", 2)[0]

            async def is_past() -> bool:
                return await home.store.mailboxes.cursor(key) == f"{key}/1000/3"

            await until(is_past, what="the cursor behind all of them")

    asyncio.run(run())


def test_a_restart_goes_on_where_it_stopped(server: ScriptedImap, tmp_path: Path) -> None:
    """Mails that came while the daemon was away are taken, however old, and none twice; also after the mailbox was rebuilt."""
    now = datetime.now(UTC)

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("111213"))
            await has(home, "111213")
        server.deliver(code_mail("141516"), at=now - timedelta(hours=2))
        server.deliver(code_mail("171819"), at=now)
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await has(home, "111213", "141516", "171819")
            assert [str(one.state) for one in await home.store.outbox.deliveries()][1] == "expired"
        server.validity += 5
        for mail in server.mails:
            mail.uid += 100
        server.uid_next += 100
        server.deliver(code_mail("202122"), at=now)
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await has(home, "111213", "141516", "171819", "202122")
            key = (home.brought[-1].cursor or "").rsplit("/", 2)[0]

            async def is_new() -> bool:
                return await home.store.mailboxes.cursor(key) == f"{key}/1005/104"

            await until(is_new, what="the cursor of the rebuilt mailbox")

    asyncio.run(run())


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("before", "after"),
    [(timedelta(), DAY), (timedelta(), -DAY), (DAY, timedelta()), (-DAY, timedelta())],
    ids=["a day ahead", "a day back", "repaired from a day ahead", "repaired from a day back"],
)
def test_a_clock_that_is_set_makes_no_mail_old(server: ScriptedImap, tmp_path: Path, before: timedelta, after: timedelta) -> None:
    """The wall clock jumps while a code lives: the next mail is of now, an old one is old, renewals and waits go on."""
    error = before

    async def run() -> None:
        nonlocal error
        settings = account(server.port, renew=timedelta(seconds=0.3))
        async with house(tmp_path, wall=lambda: wall() + error // MICROSECOND) as home:
            async with watching(home, settings) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                server.deliver(code_mail("111213"), at=datetime.now(UTC) + error)
                await has(home, "111213")
                error = after
                server.deliver(code_mail("141516"), at=datetime.now(UTC))
                server.deliver(code_mail("171819"), at=datetime.now(UTC) - timedelta(hours=2))
                await has(home, "111213", "141516", "171819")
                ages = [round((home.clock.now() - one.received_at).total_seconds()) for one in home.brought]
                assert max(ages[:2]) < 5 and ages[2] >= 7_199
                rounds = sum(" UID FETCH" in line for line in server.log)
                await until(lambda: sum(" UID FETCH" in line for line in server.log) >= rounds + 3, what="renewals")
                assert watchers.health()[0].reconnects == 0
            server.deliver(code_mail("202122"), at=datetime.now(UTC))
            async with watching(home, settings):
                await has(home, "111213", "141516", "171819", "202122")
                assert len(home.brought) == 4
                assert abs((home.clock.now() - home.brought[3].received_at).total_seconds()) < 5

    asyncio.run(run())


def test_what_is_fresh_goes_before_a_backlog(server: ScriptedImap, tmp_path: Path) -> None:
    """Behind 120 mails of yesterday the code of now is the first that is brought, and everything is taken once."""
    now = datetime.now(UTC)
    server.deliver(code_mail("111213"), at=now)

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await has(home, "111213")
        for number in range(120):
            server.deliver(code_mail(str(300_000 + number)), at=now - timedelta(days=1))
        server.deliver(code_mail("141516"), at=now)
        async with house(tmp_path) as home, watching(home, account(server.port)):

            async def is_all() -> bool:
                return len(await home.codes()) == 122

            await until(is_all, what="the backlog")
            assert b"141516" in home.brought[0].content
            newest = (await home.store.outbox.deliveries(limit=500))[0]
            assert str(newest.state) == "expired"

    asyncio.run(run())


@pytest.mark.parametrize(
    "capabilities", ["IMAP4rev1 AUTH=PLAIN ID", "IMAP4rev1 IDLE AUTH=PLAIN"], ids=["no IDLE", "IDLE refused"]
)
def test_a_server_without_idle_is_polled(tmp_path: Path, capabilities: str) -> None:
    """A mail arrives with the next look, while somebody waits within two seconds, else within five; the folder is opened anew
    for each, since there are servers that tell nothing until then, and who asks who we are is told."""

    def bad(session: Session, tag: str, _: str) -> bool:
        session.send(f"{tag} BAD unknown command\r\n".encode())
        return True

    async def run() -> None:
        with ScriptedImap(capabilities=capabilities) as server:
            server.hooks["IDLE"] = bad
            is_hot = "IDLE" in capabilities
            async with house(tmp_path) as home, watching(home, account(server.port), hot=lambda: is_hot) as watchers:
                await in_mode(watchers, "hot" if is_hot else "poll")
                server.deliver(code_mail("482913"), is_announced=False)
                await has(home, "482913")
                assert watchers.health()[0].is_well
                assert any(' ID ("name" "mailbridge")' in line for line in server.log) == ("ID" in capabilities.split())
                assert sum(" IDLE" in line for line in server.log) == (1 if is_hot else 0)

    asyncio.run(run())


def test_a_server_that_forgets_to_push_is_found_out(server: ScriptedImap, tmp_path: Path) -> None:
    """One renewal that finds old mail without a word in IDLE, and from then on it is polled: after a restart from the beginning."""
    server.is_deaf = True
    settings = account(server.port, renew=timedelta(seconds=0.3))

    async def run() -> None:
        async with house(tmp_path) as home:
            async with watching(home, settings) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                server.deliver(code_mail("111213"), at=datetime.now(UTC) - timedelta(seconds=30), is_announced=False)
                await in_mode(watchers, "poll")
                assert watchers.health()[0].deaf == 1
                assert "does not tell" in watchers.health()[0].notes[0] and watchers.health()[0].is_well
                server.hang_up()
                await until(lambda: watchers.health()[0].reconnects == 1, what="the break")
                await in_mode(watchers, "poll")
            idles = sum(line.endswith(" IDLE") for line in server.log)
            async with watching(home, settings) as watchers:
                await in_mode(watchers, "poll")
                server.deliver(code_mail("141516"), is_announced=False)
                await has(home, "111213", "141516")
            assert sum(line.endswith(" IDLE") for line in server.log) == idles

    asyncio.run(run())


def test_a_refused_password_is_one_message_and_no_storm(server: ScriptedImap, tmp_path: Path) -> None:
    """Parked with the fix in its reason, at most two logins in the first seconds, others untouched; the right one ends it."""
    server.password = "other"

    async def run() -> None:
        with ScriptedImap() as well:
            accounts = (account(server.port), account(well.port, name="well"))
            async with house(tmp_path) as home, watching(home, *accounts) as watchers:
                await in_mode(watchers, "parked")
                health = watchers.health()[0]
                assert not health.is_well
                assert "check username and password" in health.reason
                await until(lambda: well.idling == 1, what="the other account")
                well.deliver(code_mail("482913"))
                await has(home, "482913")
                assert len(server.logins) <= 2
                server.password = "pw"
                await in_mode(watchers, "idle")

    asyncio.run(run())


def test_a_server_that_hangs_up_after_each_login_is_not_stormed(server: ScriptedImap, tmp_path: Path) -> None:
    """A few quick attempts, then pauses of at least 5 s: a completed login proves nothing."""

    def drop(session: Session, tag: str, arguments: str) -> bool:
        session.close()
        return True

    server.hooks["IDLE"] = drop

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: watchers.health()[0].reconnects == 6, what="the quick attempts")
            assert len(server.logins) == 6
            watchers.wake()
            await asyncio.to_thread(time.sleep, 0.5)
            assert len(server.logins) == 6
            assert "closed the connection" in watchers.health()[0].reason

    asyncio.run(run())


def test_the_servers_own_wish_for_a_pause_is_obeyed(server: ScriptedImap, tmp_path: Path) -> None:
    """Microsoft's throttling text: no login before the time that it names, and the reason shows it."""

    def throttled(session: Session, tag: str, _: str) -> bool:
        del server.hooks["EXAMINE"]
        session.send(f"{tag} BAD Request is throttled. Suggested Backoff Time: 1500 milliseconds\r\n".encode())
        return True

    server.hooks["EXAMINE"] = throttled

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await in_mode(watchers, "waiting")
            assert "Suggested Backoff Time" in watchers.health()[0].reason
            watchers.wake()
            await in_mode(watchers, "idle")
            assert server.logins[1] - server.logins[0] >= 1.5

    asyncio.run(run())


def test_what_a_server_wants_read_is_shown(server: ScriptedImap, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An ALERT in the middle of IDLE is the reason that a person sees, logged once, while the mailbox stays watched."""
    settings = account(server.port, renew=timedelta(seconds=0.2))

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, settings) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            server.push(b"* OK [ALERT] Too many simultaneous connections\r\n")
            await until(lambda: "Too many simultaneous" in watchers.health()[0].reason, what="the alert")
            server.deliver(code_mail("482913"))
            await has(home, "482913")
            health = watchers.health()[0]
            assert (health.is_well, health.reconnects) == (True, 0) and "Too many" in health.reason

    with caplog.at_level("WARNING", logger="mailbridge"):
        asyncio.run(run())
    assert caplog.text.count("Too many simultaneous") == 1


def test_a_missing_folder_is_named(server: ScriptedImap, tmp_path: Path) -> None:
    """The reason names the folder and how to see what there is; the other folder of the account is watched."""

    def missing(session: Session, tag: str, arguments: str) -> bool:
        if "Codes" not in arguments:
            return False
        session.send(f"{tag} NO [NONEXISTENT] no such mailbox\r\n".encode())
        return True

    server.hooks["EXAMINE"] = missing

    async def run() -> None:
        settings = account(server.port, folders=("Codes", "INBOX"))
        async with house(tmp_path) as home, watching(home, settings) as watchers:
            await in_mode(watchers, "parked")
            assert "'Codes'" in watchers.health()[0].reason
            assert "imap test" in watchers.health()[0].reason
            await until(lambda: watchers.health()[1].mode == "idle", what="the other folder")

    asyncio.run(run())


def test_a_store_that_is_away_loses_nothing(server: ScriptedImap, tmp_path: Path) -> None:
    """While the store refuses, the cursor stands and the mailbox says so; then the same mail comes again, once."""

    async def run() -> None:
        async with house(tmp_path) as home:
            is_away = True

            class Door(House):
                async def accept(self, envelope: Envelope) -> Answer:
                    if is_away:
                        raise StoreUnavailable("full", "no room")
                    return await home.accept(envelope)

            door = Door(store=home.store, intake=home.intake, clock=home.clock)
            async with watching(door, account(server.port)) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                server.deliver(code_mail("482913"))
                await in_mode(watchers, "deferring")
                assert not watchers.health()[0].is_well
                assert await home.codes() == []
                is_away = False
                await has(home, "482913")
                await in_mode(watchers, "idle")
                assert watchers.health()[0].reason == ""

    asyncio.run(run())


def test_a_mail_that_breaks_the_door_does_not_block_the_mailbox(server: ScriptedImap, tmp_path: Path) -> None:
    """After three tries it is left out and counted, and the next mail is taken."""

    async def run() -> None:
        async with house(tmp_path) as home:

            class Door(House):
                async def accept(self, envelope: Envelope) -> Answer:
                    if b"111213" in envelope.content:
                        raise ZeroDivisionError
                    return await home.accept(envelope)

            door = Door(store=home.store, intake=home.intake, clock=home.clock)
            async with watching(door, account(server.port)) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                server.deliver(code_mail("111213"))
                server.deliver(code_mail("141516"))
                await has(home, "141516")
                assert watchers.health()[0].skipped == 1

    asyncio.run(run())


def test_a_mail_that_breaks_the_door_ahead_of_a_backlog_skips_itself_alone(server: ScriptedImap, tmp_path: Path) -> None:
    """A fresh mail that cannot be taken is left out, and the sixty old ones before it are taken all the same."""
    now = datetime.now(UTC)
    server.deliver(code_mail("111213"), at=now)

    async def run() -> None:
        async with house(tmp_path) as home:
            async with watching(home, account(server.port)):
                await has(home, "111213")
            for number in range(60):
                server.deliver(code_mail(str(300_000 + number)), at=now - timedelta(days=1))
            server.deliver(code_mail("666666"), at=now)

            class Door(House):
                async def accept(self, envelope: Envelope) -> Answer:
                    if b"666666" in envelope.content:
                        raise ZeroDivisionError
                    return await home.accept(envelope)

            door = Door(store=home.store, intake=home.intake, clock=home.clock)
            async with watching(door, account(server.port)) as watchers:

                async def is_all() -> bool:
                    return len(await home.codes()) == 61

                await until(is_all, what="the backlog")
                await in_mode(watchers, "idle")
                assert watchers.health()[0].skipped == 1

    asyncio.run(run())


def test_one_mail_in_two_folders_is_one_delivery(server: ScriptedImap, tmp_path: Path) -> None:
    """Labels show a mail in several folders; its content tells that it is one."""

    async def run() -> None:
        settings = account(server.port, folders=("INBOX", "All Mail"))
        async with house(tmp_path) as home, watching(home, settings):
            await until(lambda: server.idling == 2, what="IDLE twice")
            server.deliver(code_mail("482913"))
            await until(lambda: len(home.brought) == 2, what="both copies")
            await has(home, "482913")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("after", "effect"),
    [
        ("seen", lambda server: server.mails[0].flags == {"\\Seen"} and not server.mails[1].flags),
        ("keyword:Pushed", lambda server: server.mails[0].flags == {"Pushed"} and not server.mails[1].flags),
        ("move:Processed", lambda server: server.moved == {"Processed": [1]}),
        (
            "delete",
            lambda server: [mail.uid for mail in server.mails if not mail.flags] == [2] == [mail.uid for mail in server.mails],
        ),
    ],
)
def test_an_after_effect_comes_after_the_commit(
    server: ScriptedImap, tmp_path: Path, after: str, effect: Callable[[ScriptedImap], bool]
) -> None:
    """Only a mail that is pushed is touched, only when it is on disk, and IDLE goes on after it."""

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port, after=after)):
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("482913"))
            server.deliver(b"From: a@b.example\r\nTo: ann@corp.example\r\nSubject: Lunch\r\n\r\nAt noon?\r\n")
            await until(lambda: effect(server), what=after)
            assert await home.codes() == ["482913"]
            await until(lambda: server.idling == 1, what="IDLE again")

    asyncio.run(run())


@pytest.mark.parametrize("meanwhile", ["the connection breaks", "the daemon ends", "the mailbox is made anew"])
def test_an_after_effect_that_was_cut_off_is_made_up_for(server: ScriptedImap, tmp_path: Path, meanwhile: str) -> None:
    """The code is stored and the mark is not set: the next session sets it, and none where another mail has that UID now."""
    is_cut = True

    def cut(session: Session, tag: str, arguments: str) -> bool:
        if is_cut:
            session.close()
        return is_cut

    server.hooks["UID STORE"] = cut

    async def run() -> None:
        nonlocal is_cut
        settings = account(server.port, after="seen")
        async with house(tmp_path) as home:
            async with watching(home, settings) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                server.deliver(code_mail("482913"))
                await has(home, "482913")
                key = (home.brought[0].cursor or "").rsplit("/", 2)[0]
                await until(lambda: watchers.health()[0].reconnects >= 1, what="the cut")
                assert await home.store.mailboxes.pending_actions(key) == (f"{key}/1000/1",)
                if meanwhile == "the connection breaks":
                    is_cut = False
                    await until(lambda: server.mails[0].flags == {"\\Seen"}, what="the mark")
            is_cut = False
            if meanwhile == "the mailbox is made anew":
                server.validity += 1
                server.mails[0].content = b"Subject: another\r\n\r\nnothing\r\n"
            async with watching(home, settings):
                await until(lambda: server.idling == 1, what="IDLE at last")
                assert server.mails[0].flags == (set() if "anew" in meanwhile else {"\\Seen"})
                assert await home.store.mailboxes.pending_actions(key) == ()
            assert await home.codes() == ["482913"]

    asyncio.run(run())


def test_while_somebody_waits_the_server_is_asked_often(server: ScriptedImap, tmp_path: Path) -> None:
    """A server that pushes slowly is polled in a hot window, and left in IDLE when nobody waits any more."""
    server.is_deaf = True
    is_hot = False

    async def run() -> None:
        nonlocal is_hot
        async with house(tmp_path) as home, watching(home, account(server.port), hot=lambda: is_hot) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            is_hot = True
            watchers.wake()
            await in_mode(watchers, "hot")
            server.deliver(code_mail("482913"))
            await has(home, "482913")
            is_hot = False
            await until(lambda: server.idling == 1, what="IDLE again")
            asked = len(server.log)
            await asyncio.to_thread(time.sleep, 0.4)
            assert len(server.log) == asked

    asyncio.run(run())


@pytest.mark.parametrize("is_whole", [True, False], ids=["all of them", "one of two"])
def test_a_mail_may_come_with_its_announcement(tmp_path: Path, is_whole: bool) -> None:
    """NOTIFY: what is pushed whole is not fetched again; where less comes than was announced, all of it is fetched."""

    async def run() -> None:
        with ScriptedImap(capabilities="IMAP4rev1 IDLE NOTIFY AUTH=PLAIN") as server:
            async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
                await in_mode(watchers, "notify")
                fetches = sum("UID FETCH" in line for line in server.log)
                codes = ["111213"] if is_whole else ["111213", "141516"]
                for code in codes:
                    server.deliver(code_mail(code), is_announced=False)
                server.push(f"* {len(codes)} EXISTS\r\n".encode())
                last = server.mails[-1]
                body = f"* {len(codes)} FETCH (UID {last.uid} BODY[]<0> {{{len(last.content)}}}\r\n".encode()
                server.push(body + last.content + b")\r\n")
                await has(home, *codes)
                assert sum("UID FETCH" in line for line in server.log) - fetches == (0 if is_whole else 1)
                server.deliver(code_mail("171819"))
                await has(home, *codes, "171819")

    asyncio.run(run())


def test_a_server_may_refuse_to_push(server: ScriptedImap, tmp_path: Path) -> None:
    """NO to NOTIFY leaves plain IDLE, on the same connection."""

    def refused(session: Session, tag: str, _: str) -> bool:
        session.send(f"{tag} NO [BADEVENT] no such event\r\n".encode())
        return True

    server.capabilities += " NOTIFY"
    server.hooks["NOTIFY"] = refused

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await in_mode(watchers, "idle")
            server.deliver(code_mail("482913"))
            await has(home, "482913")
            assert len(server.logins) == 1

    asyncio.run(run())


def test_a_server_that_stumbles_gets_one_command_at_a_time(server: ScriptedImap, tmp_path: Path) -> None:
    """Nothing is sent behind a DONE or a FETCH before its answer, and mail arrives all the same."""
    pending: list[bytes] = []

    def looking(session: Session, tag: str, arguments: str) -> bool:
        time.sleep(0.05)
        session.connection.settimeout(0.01)
        with contextlib.suppress(TimeoutError):
            pending.append(session.connection.recv(1000))
        return False

    server.hooks["DONE"] = server.hooks["UID FETCH"] = looking

    async def run() -> None:
        settings = account(server.port, preset="outlook")
        async with house(tmp_path) as home, watching(home, settings):
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("482913"))
            await has(home, "482913")
            await until(lambda: server.idling == 1, what="IDLE again")
            assert pending == []

    asyncio.run(run())


def test_more_mailboxes_than_threads_are_no_end(server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread is to be had, that folder is parked with the fix, the others are watched, and all are stopped."""
    start = threading.Thread.start

    def unless_there_are_too_many(thread: threading.Thread) -> None:
        if thread.name == "imap box/Junk":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", unless_there_are_too_many)

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port, folders=("INBOX", "Junk"))) as watchers:
            await in_mode(watchers, "idle")
            parked = watchers.health()[1]
            assert (parked.mode, parked.is_well) == ("parked", False)
            assert "TasksMax=" in parked.reason

    asyncio.run(run())


def test_a_stop_is_quick(server: ScriptedImap, tmp_path: Path) -> None:
    """In IDLE, in a pause after a fault, and before a server that answers nothing."""

    async def run() -> None:
        with ScriptedImap() as mute:
            mute.greeting = b""
            accounts = (account(server.port), account(mute.port, name="mute"), account(1, name="nobody"))
            async with house(tmp_path) as home:
                watchers = watchers_of(
                    accounts, home.accept, home.store.mailboxes, now=home.clock.now, silence=timedelta(minutes=10)
                )
                watchers.start()
                await until(lambda: server.idling == 1, what="IDLE")
                async with asyncio.timeout(PATIENCE):
                    await watchers.close(timedelta(seconds=1))

    asyncio.run(run())


def test_the_same_mail_by_two_doors_is_one_delivery(server: ScriptedImap, tmp_path: Path) -> None:
    """By SMTP with the trace headers of a forward, and by IMAP as it lies in the mailbox: one code."""

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await until(lambda: server.idling == 1, what="IDLE")
            forwarded = (
                b"Received: from mx.example by bridge.example; Wed, 25 Nov 2026 02:00:00 +0000\r\n"
                b"X-Forwarded-For: ann@corp.example codes@mailbridge.localhost\r\nX-Forwarded-To: codes@mailbridge.localhost\r\n"
                + code_mail("482913")
            )
            await home.intake.accept(
                Envelope(
                    mail_from="ann+caf_=codes=mailbridge.localhost@corp.example",
                    rcpt_to=("codes@mailbridge.localhost",),
                    content=forwarded,
                    received_at=home.clock.now(),
                    ingress="smtp",
                )
            )
            server.deliver(b"Delivered-To: ann@corp.example\r\n" + code_mail("482913"))
            await until(lambda: len(home.brought) == 1, what="the copy")
            await has(home, "482913")

    asyncio.run(run())


def test_a_secret_is_in_no_health_and_no_log(server: ScriptedImap, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a password that is refused nor a code that is taken."""

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("482913"))
            await has(home, "482913")
            assert "482913" not in repr(watchers.health()) and "482913" not in repr(home.brought)

    with caplog.at_level("DEBUG", logger="mailbridge"):
        asyncio.run(run())
        server.mails.clear()
        refused = account(server.port, password=Secret("hunter-2-hunter"), name="other")

        async def again() -> None:
            async with house(tmp_path) as home, watching(home, refused) as watchers:
                await in_mode(watchers, "parked")
                assert "hunter" not in repr(watchers.health())

        asyncio.run(again())
    assert "hunter" not in caplog.text and "482913" not in caplog.text
