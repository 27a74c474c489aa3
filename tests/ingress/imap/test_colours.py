"""The colour of a mailbox through the faults of docs/faults.md: red where a new mail would not be pushed, green again soon after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mailbridge.ingress.imap.watchers import Watchers
from tests.ingress.imap.watched import House, account, code_mail, house, until, watching
from tests.loop import looped
from tests.peers.scripted_imap import ScriptedImap, Session

WRONG = 60.0
"""Seconds for which a colour may be wrong after a fault begins or ends."""
FLICKER = 5.0
"""Seconds for which a mailbox may be red at most where nothing is the matter."""

MOST_RED = 500
"""Looks in a row that may find it red then: as many as fit into that time on a machine that has time."""

Act = Callable[[ScriptedImap], object]


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A fault: how it begins and ends, whether a mail that comes meanwhile cannot be had, and whether a person has to ask for a new try."""

    name: str
    begin: Act
    end: Act = lambda _: None
    is_red: bool = False
    is_parked: bool = False


def _answers(*commands: str, text: str = "", is_over: bool = False) -> Act:
    """From the next session on these commands are answered so, or not at all."""

    def hook(session: Session, tag: str, _: str) -> bool:
        if is_over:
            session.close()
        elif text:
            session.send(f"{tag} {text}\r\n".encode())
        return True

    def begin(server: ScriptedImap) -> None:
        server.hooks.update(dict.fromkeys(commands, hook))
        server.hang_up()

    return begin


def _clear(server: ScriptedImap) -> None:
    server.hooks.clear()


def _refused_mail(server: ScriptedImap) -> None:
    uid = server.uid_next

    def hook(session: Session, tag: str, arguments: str) -> bool:
        span = arguments.partition(" ")[0]
        low, _, high = span.partition(":")
        if "BODY" not in arguments or not int(low.split(",")[0]) <= uid <= int((high or low).split(",")[-1]):
            return False
        session.send(f"{tag} NO [SERVERBUG] this mail is broken\r\n".encode())
        return True

    server.hooks["UID FETCH"] = hook
    server.deliver(code_mail("999999"))


def _removed_mail(server: ScriptedImap) -> None:
    server.hooks.clear()
    server.mails.clear()
    server.hang_up()


def _renumbered(server: ScriptedImap) -> None:
    server.validity += 1
    server.hang_up()


TROUBLES = (
    Trouble(name="hang-up", begin=lambda server: server.hang_up()),
    Trouble(name="reset", begin=lambda server: server.hang_up(with_reset=True)),
    Trouble(
        name="deaf", begin=lambda server: setattr(server, "is_deaf", True), end=lambda server: setattr(server, "is_deaf", False)
    ),
    Trouble(name="renumbered", begin=_renumbered),
    Trouble(name="no IDLE", begin=_answers("IDLE", text="NO not here"), end=_clear),
    Trouble(
        name="login refused",
        begin=_answers("LOGIN", "AUTHENTICATE", text="NO [AUTHENTICATIONFAILED] no"),
        end=_clear,
        is_red=True,
        is_parked=True,
    ),
    Trouble(name="folder refused", begin=_answers("EXAMINE", text="NO [SERVERBUG] no"), end=_clear, is_red=True),
    Trouble(name="folder gone", begin=_answers("EXAMINE", text="NO [NONEXISTENT] no"), end=_clear, is_red=True, is_parked=True),
    Trouble(name="throttled", begin=_answers("EXAMINE", text="NO Server Unavailable. 15"), end=_clear, is_red=True),
    Trouble(name="hangs up on all", begin=_answers("EXAMINE", is_over=True), end=_clear, is_red=True),
    Trouble(name="says nothing", begin=_answers("EXAMINE", "UID FETCH"), end=_clear, is_red=True),
    Trouble(name="one mail cannot be had", begin=_refused_mail, end=_removed_mail, is_red=True),
)


@looped
async def test_colours_tell_the_truth_through_every_fault(tmp_path: Path) -> None:
    """Red within a minute where mail is held up, green where it is not and again within a minute; a probe mail shows which. No flicker."""
    servers = [ScriptedImap() for _ in TROUBLES]
    for server in servers:
        server.__enter__()
    accounts = [
        account(server.port, name=f"box{number}", renew=timedelta(seconds=5), username=f"u{number}@corp.example")
        for number, server in enumerate(servers)
    ]
    try:
        async with house(tmp_path) as home, watching(home, *accounts, silence=timedelta(seconds=1)) as watchers:
            await until(lambda: all(one.is_well for one in watchers.health()))
            async with asyncio.TaskGroup() as walks:
                for number, trouble in enumerate(TROUBLES):
                    walks.create_task(_walk(home, watchers, servers[number], number, trouble))
    finally:
        for server in servers:
            server.__exit__(None, None, None)


async def _walk(home: House, watchers: Watchers, server: ScriptedImap, number: int, trouble: Trouble) -> None:
    """One fault from its beginning to its end, with a probe mail in each state."""

    def is_well() -> bool:
        return watchers.health()[number].is_well

    def told() -> str:
        return f"{trouble.name}: {watchers.health()[number]}"

    await _probe(home, server, f"{number + 100}001", trouble.name)
    trouble.begin(server)
    if trouble.is_red:
        await until(lambda: not is_well(), within=WRONG, what=f"red, {trouble.name}")
    else:
        await _probe(home, server, f"{number + 100}002", trouble.name)
        await until(is_well, within=FLICKER, what=f"green, {trouble.name}")
    trouble.end(server)
    if trouble.is_parked:
        watchers.try_again()
    await until(is_well, within=WRONG, what=f"green again, {trouble.name}")
    await _probe(home, server, f"{number + 100}003", trouble.name)
    looks_red = 0
    quiet = time.monotonic() + 2 * FLICKER

    def is_over() -> bool:
        nonlocal looks_red
        looks_red = 0 if is_well() else looks_red + 1
        assert looks_red <= MOST_RED, told()
        return time.monotonic() > quiet

    await until(is_over, within=WRONG, what=f"quiet, {trouble.name}")


async def _probe(home: House, server: ScriptedImap, code: str, what: str) -> None:
    """A mail that has to be pushed, by its bound."""
    server.deliver(code_mail(code))

    async def is_there() -> bool:
        return code in await home.codes()

    await until(is_there, within=WRONG, what=f"the probe mail, {what}")
