"""Servers whose UIDs, pace or clock are odd: what is noticed, what is learned for good, and how soon the codes come."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Answer
from tests.ingress.imap.test_odd_mails import asks_for
from tests.ingress.imap.watched import House, account, code_mail, has, house, in_mode, until, watching
from tests.peers.scripted_imap import ScriptedImap, Session, StoredMail

MINUTE = timedelta(minutes=1)


def dated(code: str, written: datetime, received: datetime | None = None) -> bytes:
    """A mail with a code that says itself when it was written, and when the last relay had it."""
    form = "%a, %d %b %Y %H:%M:%S +0000"
    relay = f"Received: from mail.acme.example by mx.corp.example;\r\n {(received or written).strftime(form)}\r\n"
    return relay.encode() + code_mail(code, extra=f"Date: {written.strftime(form)}\r\n")


# UIDs


@pytest.mark.parametrize("more", [0, 1], ids=["UIDNEXT is lower", "UIDNEXT is as high again"])
@pytest.mark.parametrize("is_running", [True, False], ids=["while it is watched", "while the daemon is away"])
def test_a_mailbox_that_was_put_back_gives_its_next_codes(
    server: ScriptedImap, tmp_path: Path, more: int, is_running: bool
) -> None:
    """A backup has the same UIDVALIDITY and a lower UIDNEXT: the codes with UIDs that were given out before are pushed, none twice."""

    def put_back() -> None:
        del server.mails[1:]
        server.uid_next = 2
        for number in range(1 + 3 * more):
            server.deliver(code_mail(f"{number + 1}71819"), is_announced=False)

    async def run() -> None:
        codes = ["111213", "141516", "151617"] + [f"{number + 1}71819" for number in range(1 + 3 * more)]
        async with house(tmp_path) as home:
            async with watching(home, account(server.port)):
                await until(lambda: server.idling == 1, what="IDLE")
                for code in ("111213", "141516", "151617"):
                    server.deliver(code_mail(code), at=datetime.now(UTC) - timedelta(seconds=9))
                await has(home, "111213", "141516", "151617")
                if is_running:
                    put_back()
                    server.hang_up()
                    await has(home, *codes)
            if not is_running:
                put_back()
                async with watching(home, account(server.port)):
                    await has(home, *codes)
            async with watching(home, account(server.port)):
                await until(lambda: server.idling == 1, what="IDLE once more")
                server.deliver(code_mail("202122"))
                await has(home, *codes, "202122")

    asyncio.run(run())


def test_after_effects_of_a_mailbox_that_was_put_back_touch_no_other_mail(server: ScriptedImap, tmp_path: Path) -> None:
    """A mark that was owed to a UID is owed to nobody once that UID means another mail."""
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
                await until(lambda: watchers.health()[0].reconnects >= 1, what="the cut")
            is_cut = False
            server.uid_next = 1
            server.mails[:] = []
            server.deliver(b"From: a@b.example\r\nTo: ann@corp.example\r\nSubject: Lunch\r\n\r\nAt noon?\r\n")
            async with watching(home, settings):
                await until(lambda: server.idling == 1, what="IDLE")
                assert server.mails[0].flags == set()

    asyncio.run(run())


@pytest.mark.parametrize("after", ["seconds", "a restart"])
def test_a_mail_that_shows_after_its_successor_is_taken(server: ScriptedImap, tmp_path: Path, after: str) -> None:
    """A UID that was left out once is asked for again, also by the next daemon; meanwhile it counts as gone."""

    async def run() -> None:
        async with house(tmp_path) as home:
            async with watching(home, account(server.port)) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                server.deliver(code_mail("111213"))
                await has(home, "111213")
                late = server.uid_next
                server.uid_next += 1
                server.deliver(code_mail("171819"))
                await has(home, "111213", "171819")
                assert watchers.health()[0].gone == 1
                if after == "seconds":
                    server.mails.insert(1, StoredMail(uid=late, content=code_mail("141516"), at=datetime.now(UTC)))
                    await has(home, "111213", "171819", "141516")
                    await until(lambda: watchers.health()[0].gone == 0, what="nothing gone")
            if after == "a restart":
                server.mails.insert(1, StoredMail(uid=late, content=code_mail("141516"), at=datetime.now(UTC)))
                async with watching(home, account(server.port)):
                    await has(home, "111213", "171819", "141516")

    asyncio.run(run())


def test_a_hole_is_remembered_before_the_position_passes_it(server: ScriptedImap, tmp_path: Path) -> None:
    """When the mail above it is brought to the door, the store knows the hole already: a daemon that is killed now has lost nothing."""
    known: list[str] = []

    async def run() -> None:
        async with house(tmp_path) as home:

            class Door(House):
                async def accept(self, envelope: Envelope) -> Answer:
                    known.append(await home.store.mailboxes.notes((envelope.cursor or "").rsplit("/", 2)[0]))
                    return await home.accept(envelope)

            door = Door(store=home.store, intake=home.intake, clock=home.clock)
            async with watching(door, account(server.port)):
                await until(lambda: server.idling == 1, what="IDLE")
                server.uid_next += 4
                server.deliver(code_mail("111213"))
                await has(home, "111213")
        assert [(gap["low"], gap["high"]) for gap in json.loads(known[0])["missing"]] == [(1, 4)]

    asyncio.run(run())


# the server's clock


@pytest.mark.parametrize("is_one_machine", [False, True], ids=["INTERNALDATE alone", "Received by the same clock"])
def test_a_server_whose_clock_is_behind_delays_no_code(server: ScriptedImap, tmp_path: Path, is_one_machine: bool) -> None:
    """INTERNALDATE alone is 20 minutes old: the first code counts as new, after the second the clock is believed to be wrong, which is
    shown; a mail that comes while the daemon is away is dated by that too, and once the clock is set, all of it is over."""
    behind = 20 * MINUTE
    stamped = behind if is_one_machine else timedelta()

    async def run() -> None:
        async with house(tmp_path) as home:
            async with watching(home, account(server.port)) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                for number, code in enumerate(("111213", "141516", "171819")):
                    now = datetime.now(UTC)
                    server.deliver(dated(code, now, now - stamped), at=now - behind)
                    await until(lambda number=number: len(home.brought) == number + 1, what=code)
                    assert abs((home.clock.now() - home.brought[-1].received_at).total_seconds()) < 3
                    health = watchers.health()[0]
                    assert (health.drift is not None) == (number > 0), number
                assert health.drift is not None and abs(health.drift + behind.total_seconds()) < 5
                assert "20 min behind" in health.notes[0] and health.is_well
            now = datetime.now(UTC)
            server.deliver(dated("202122", now, now - stamped), at=now - behind)
            async with watching(home, account(server.port)) as watchers:
                await until(lambda: len(home.brought) == 4, what="the mail of the meantime")
                assert (home.clock.now() - home.brought[3].received_at).total_seconds() < 5
                await until(lambda: server.idling == 1, what="IDLE")
                for number, code in enumerate(("232425", "262728")):
                    now = datetime.now(UTC)
                    server.deliver(dated(code, now), at=now)
                    await until(lambda number=number: len(home.brought) == number + 5, what=code)
                assert watchers.health()[0].drift is None
            assert [str(one.state) for one in await home.store.outbox.deliveries()].count("expired") == 0

    asyncio.run(run())


def test_a_mail_that_was_moved_in_is_not_new(server: ScriptedImap, tmp_path: Path) -> None:
    """It appears now, and its own dates are old, whether the server keeps its date or dates it as new: its code is over, and no clock is
    suspected; also where the server's clock is known to be wrong. The live code after it is pushed."""

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            for number, code in enumerate(("111213", "141516", "171819")):
                old = datetime.now(UTC) - 40 * MINUTE
                server.deliver(dated(code, old), at=datetime.now(UTC) if number else old)
                await until(lambda number=number: len(home.brought) == number + 1, what=code)
            assert watchers.health()[0].drift is None
            for number, code in enumerate(("202122", "232425")):
                now = datetime.now(UTC)
                server.deliver(dated(code, now), at=now - 20 * MINUTE)
                await until(lambda number=number: len(home.brought) == number + 4, what=code)
            assert watchers.health()[0].drift is not None
            server.deliver(dated("262728", datetime.now(UTC) - 40 * MINUTE), at=datetime.now(UTC) - 20 * MINUTE)
            await until(lambda: len(home.brought) == 6, what="the last")
            ages = [round((home.clock.now() - one.received_at) / MINUTE) for one in home.brought]
            assert ages == [40, 40, 40, 0, 0, 40]
            await home.codes()
            states = {one.draft.content.reveal(): str(one.state) for one in await home.store.outbox.deliveries()}
            assert [states[code] for code in ("111213", "141516", "171819", "262728")] == ["expired"] * 4
            assert states["232425"] == "pending"

    asyncio.run(run())


# the server's pace


@pytest.mark.parametrize("slow", ["greeting", "EXAMINE", "UID FETCH", "LOGIN"])
def test_a_slow_server_is_waited_for(tmp_path: Path, slow: str) -> None:
    """Any one answer takes longer than is waited for at first: the next session waits twice as long, and says for what; after a restart
    it is waited for from the beginning."""

    def late(session: Session, tag: str, arguments: str) -> bool:
        if not session.server.mails and slow == "UID FETCH":
            return False
        time.sleep(1.2)
        return False

    async def run() -> None:
        with ScriptedImap(capabilities="IMAP4rev1 IDLE") as server:
            if slow == "greeting":
                server.greeting_after = 1.2
            else:
                server.hooks[slow] = late
            silence = timedelta(seconds=1.0 if slow != "LOGIN" else 0.35)
            async with house(tmp_path) as home:
                async with watching(home, account(server.port), silence=silence) as watchers:
                    if slow == "UID FETCH":
                        await until(lambda: server.idling == 1, what="IDLE")
                        server.deliver(code_mail("482913"))
                    await until(lambda: "waits up to" in watchers.health()[0].reason, what="the reason")
                    name = {"EXAMINE": "SELECT", "UID FETCH": "FETCH", "LOGIN": "login"}.get(slow, slow)
                    assert name in watchers.health()[0].reason.replace("EXAMINE", "SELECT")
                    await in_mode(watchers, "idle")
                    await until(lambda: any(name in note for note in watchers.health()[0].notes), what="the note")
                    if slow == "UID FETCH":
                        await has(home, "482913")
                async with watching(home, account(server.port), silence=silence) as watchers:
                    await in_mode(watchers, "idle")
                    assert watchers.health()[0].reconnects == 0

    asyncio.run(run())


def test_a_server_that_drops_what_shares_a_segment_gets_one_command_at_a_time(tmp_path: Path) -> None:
    """After two rounds that are not answered nothing is pipelined any more: the third code is there at once, also after a restart."""

    def dropping(session: Session, tag: str, arguments: str) -> bool:
        session.settle()
        session.drop_inbox()
        return False

    async def run() -> None:
        with ScriptedImap() as server:
            server.hooks["DONE"] = dropping
            settings = account(server.port)
            async with house(tmp_path) as home:
                codes: list[str] = []
                async with watching(home, settings, silence=timedelta(seconds=0.5)) as watchers:
                    for code in ("111213", "141516"):
                        await until(lambda: server.idling == 1, what="IDLE")
                        server.deliver(code_mail(code))
                        codes.append(code)
                        await has(home, *codes)
                    await until(lambda: server.idling == 1, what="IDLE")
                    server.deliver(code_mail("171819"))
                    await has(home, *codes, "171819")
                    assert watchers.health()[0].reconnects == 2
                    assert "one at a time" in " ".join(watchers.health()[0].notes)
                async with watching(home, settings, silence=timedelta(seconds=0.5)) as watchers:
                    await until(lambda: server.idling == 1, what="IDLE")
                    server.deliver(code_mail("202122"))
                    await has(home, *codes, "171819", "202122")
                    assert watchers.health()[0].reconnects == 0

    asyncio.run(run())


def test_pipelining_can_be_switched_off(tmp_path: Path) -> None:
    """The key says it before the first miss."""

    def dropping(session: Session, tag: str, arguments: str) -> bool:
        session.settle()
        session.drop_inbox()
        return False

    async def run() -> None:
        with ScriptedImap() as server:
            server.hooks["DONE"] = dropping
            async with house(tmp_path) as home, watching(home, account(server.port, pipelining=False)) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                server.deliver(code_mail("111213"))
                await has(home, "111213")
                assert (watchers.health()[0].reconnects, watchers.health()[0].notes) == (0, ())

    asyncio.run(run())


# servers that do not tell


def _refuses(session: Session, tag: str, _: str) -> bool:
    session.send(f"{tag} BAD unknown command\r\n".encode())
    return True


@pytest.mark.parametrize("has_status", [True, False])
def test_a_server_that_shows_new_mail_only_after_an_opening_is_found_out(
    server: ScriptedImap, tmp_path: Path, has_status: bool
) -> None:
    """Neither IDLE nor FETCH show the mail: STATUS tells of it, or a new opening; from then on the folder is opened again every 5 s."""
    server.is_blind = True
    if not has_status:
        server.hooks["STATUS"] = _refuses
    settings = account(server.port, renew=timedelta(seconds=0.3))

    async def run() -> None:
        async with house(tmp_path) as home:
            async with watching(home, settings) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                server.deliver(code_mail("111213"), at=datetime.now(UTC) - timedelta(seconds=30), is_announced=False)
                await has(home, "111213")
                await in_mode(watchers, "poll")
                assert "opened again" in watchers.health()[0].notes[0]
                server.deliver(code_mail("141516"), is_announced=False)
                await has(home, "111213", "141516")
            async with watching(home, settings) as watchers:
                await in_mode(watchers, "poll")
                server.deliver(code_mail("171819"), is_announced=False)
                await has(home, "111213", "141516", "171819")

    asyncio.run(run())


@pytest.mark.parametrize("is_running", [True, False], ids=["while it is watched", "while the daemon is away"])
def test_a_search_that_takes_uids_for_numbers_hides_no_mail(server: ScriptedImap, tmp_path: Path, *, is_running: bool) -> None:
    """mailutils: `UID 8` is the eighth mail. What came while nobody looked is taken, though mails before it were deleted."""

    def numbered(session: Session, tag: str, arguments: str) -> bool:
        low, _, high = arguments.removeprefix("UID ").partition(":")
        there = [mail.uid for number, mail in enumerate(session.box, 1) if int(low) <= number <= int(high or low)]
        session.send(f"* SEARCH {' '.join(map(str, there))}\r\n{tag} OK done\r\n".encode())
        return True

    def away() -> None:
        for number in range(6):
            server.deliver(code_mail(f"{number}71819"), is_announced=False)

    server.uid_next = 3
    server.hooks["UID SEARCH"] = numbered

    async def run() -> None:
        codes = ["111213", "141516", *(f"{number}71819" for number in range(6))]
        async with house(tmp_path) as home:
            async with watching(home, account(server.port)):
                await until(lambda: server.idling == 1, what="IDLE")
                for code in ("111213", "141516"):
                    server.deliver(code_mail(code))
                await has(home, "111213", "141516")
                if is_running:
                    away()
                    server.hang_up()
                    await has(home, *codes)
            if not is_running:
                away()
                async with watching(home, account(server.port)):
                    await has(home, *codes)

    asyncio.run(run())


# openings that renumber


def test_a_server_that_renumbers_at_each_examine_is_opened_with_select(server: ScriptedImap, tmp_path: Path) -> None:
    """The second new UIDVALIDITY after EXAMINE is enough: SELECT from then on, two readings of the last day at the most, no flag is
    changed, and the status says so; after a restart it is SELECT at once."""
    fetches = 0

    def renumbers(session: Session, tag: str, arguments: str) -> bool:
        server.validity += 1
        return False

    def counted(session: Session, tag: str, arguments: str) -> bool:
        nonlocal fetches
        fetches += asks_for(arguments, 1)
        return False

    server.hooks["EXAMINE"] = renumbers
    server.hooks["UID FETCH"] = counted
    server.capabilities = "IMAP4rev1 AUTH=PLAIN"
    server.deliver(code_mail("111213"))

    async def run() -> None:
        async with house(tmp_path) as home:
            async with watching(home, account(server.port), hot=lambda: True) as watchers:
                await has(home, "111213")
                await until(lambda: any(" SELECT " in line for line in server.log), what="SELECT")
                examined = sum(" EXAMINE " in line for line in server.log)
                await until(lambda: sum(" SELECT " in line for line in server.log) >= 4, what="more openings")
                assert sum(" EXAMINE " in line for line in server.log) == examined
                assert fetches <= 3
                assert "SELECT" in watchers.health()[0].notes[0] and watchers.health()[0].is_well
                server.deliver(code_mail("141516"))
                await has(home, "111213", "141516")
                assert all(mail.flags == set() for mail in server.mails)
            async with watching(home, account(server.port)):
                await until(lambda: sum(" SELECT " in line for line in server.log) >= 5, what="SELECT after the restart")
                assert sum(" EXAMINE " in line for line in server.log) == examined
            assert await home.codes() == ["111213", "141516"]

    asyncio.run(run())


@pytest.mark.parametrize("is_absent", [False, True], ids=["dated anew", "the last UID is refused"])
def test_a_mail_that_looks_different_at_each_opening_is_no_backup(server: ScriptedImap, tmp_path: Path, is_absent: bool) -> None:
    """The server dates its mails anew for each session, or says BAD of a UID that is no mail's: the last day is not read again."""

    def odd(session: Session, tag: str, arguments: str) -> bool:
        if is_absent and "BODY" not in arguments:
            session.send(f"{tag} BAD UID FETCH Failed to parse message set\r\n".encode())
            return True
        return False

    server.hooks["UID FETCH"] = odd

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            for code in ("111213", "141516"):
                server.deliver(code_mail(code))
            await has(home, "111213", "141516")
            for number in range(4):
                for mail in server.mails:
                    mail.at += timedelta(seconds=2)
                server.hang_up()
                await until(lambda number=number: watchers.health()[0].reconnects > number, what="the end")
                await until(lambda: server.idling == 1, what="IDLE again")
            server.deliver(code_mail("171819"))
            await has(home, "111213", "141516", "171819")
            assert len(home.brought) == 3, "the first mail was read again"

    asyncio.run(run())


def test_new_numbers_are_counted_over_restarts(server: ScriptedImap, tmp_path: Path) -> None:
    """A daemon that is started again and again at such a mailbox reads its last day twice, then opens it by SELECT."""

    def renumbers(session: Session, tag: str, arguments: str) -> bool:
        server.validity += 1
        return False

    server.hooks["EXAMINE"] = renumbers
    server.deliver(code_mail("111213"))

    async def run() -> None:
        async with house(tmp_path) as home:
            for _ in range(5):
                async with watching(home, account(server.port)):
                    await until(lambda: server.idling == 1, what="IDLE")
                await until(lambda: server.idling == 0, what="the end")
            assert await home.codes() == ["111213"]
            assert len(home.brought) == 3

    asyncio.run(run())
