"""The faults of docs/faults.md as a scripted server has them: how each begins and ends, and whether mail is held up meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.ingress.imap import test_odd_answers, test_odd_mails
from tests.ingress.imap.watched import code_mail
from tests.peers.scripted_imap import Hook, ScriptedImap, Session

Act = Callable[[ScriptedImap], object]

COMMANDS = (
    "CAPABILITY",
    "LOGIN",
    "AUTHENTICATE",
    "ID",
    "EXAMINE",
    "STATUS",
    "NOOP",
    "IDLE",
    "DONE",
    "UID FETCH",
    "UID SEARCH",
    "FETCH",
)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A fault: its rows of docs/faults.md, how it begins and ends, whether a mail that comes meanwhile is held up, and whether a person has
    to ask for a new try. ``behind``: how far the server's clock is behind meanwhile."""

    name: str
    rows: tuple[int, ...]
    begin: Act
    end: Act = lambda server: server.hooks.clear()
    is_red: bool = False
    is_parked: bool = False
    behind: timedelta = timedelta()


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


def _hooks(hook: Hook, *commands: str) -> Act:
    def begin(server: ScriptedImap) -> None:
        server.hooks.update(dict.fromkeys(commands, hook))

    return begin


def _anew(begin: Act) -> Act:
    """From the next session on."""

    def act(server: ScriptedImap) -> None:
        begin(server)
        server.hang_up()

    return act


def _pushes(octets: bytes) -> Act:
    return lambda server: server.push(octets)


def _sessions_hang(server: ScriptedImap) -> None:
    """Those of now say nothing any more."""
    old = list(server.sessions)
    _hooks(lambda session, tag, arguments: session in old, *COMMANDS)(server)


def _nobody_answers(server: ScriptedImap) -> None:
    _hooks(lambda session, tag, arguments: True, *COMMANDS)(server)


def _greets(greeting: bytes) -> Act:
    def begin(server: ScriptedImap) -> None:
        server.greeting = greeting
        server.hang_up()

    return begin


def _burst(server: ScriptedImap) -> None:
    for number in range(40):
        server.deliver(code_mail(f"{number + 700_000}"))


def _goodbye(server: ScriptedImap) -> None:
    server.push(b"* BYE Server shutting down.\r\n")
    server.hang_up()


def _large(server: ScriptedImap) -> None:
    server.deliver(code_mail("999999") + b"x" * 3_000_000)


def _together(session: Session, tag: str, _: str) -> bool:
    """The announcement and the answer to IDLE in one segment, the wrong way round."""
    session.seen, session.idle_tag = len(session.box), tag
    session.send(f"* {session.seen} EXISTS\r\n+ idling\r\n".encode())
    return True


def _slowly(session: Session, tag: str, _: str) -> bool:
    time.sleep(0.4)
    return False


def _taken_away(server: ScriptedImap) -> None:
    count = len(server.mails) + 1
    server.uid_next += 1
    server.push(f"* {count} EXISTS\r\n* {count} EXPUNGE\r\n".encode())


def _lags(server: ScriptedImap) -> None:
    server.push(f"* {len(server.mails) + 1} EXISTS\r\n".encode())


def _left_out(server: ScriptedImap) -> None:
    server.uid_next += 1


def _put_back(server: ScriptedImap) -> None:
    del server.mails[:]
    server.uid_next = 1
    server.hang_up()


def _moved_in(server: ScriptedImap) -> None:
    old = (datetime.now(UTC) - timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S +0000")
    server.deliver(code_mail("999999", extra=f"Received: from a by b; {old}\r\nDate: {old}\r\n"))


def _renumbered(server: ScriptedImap) -> None:
    server.validity += 1
    server.hang_up()


def _renumbers(session: Session, tag: str, arguments: str) -> bool:
    session.server.validity += 1
    return False


def _drops(session: Session, tag: str, arguments: str) -> bool:
    session.settle()
    session.drop_inbox()
    return False


def _undated(session: Session, tag: str, arguments: str) -> bool:
    session.tell_mails(arguments.replace("INTERNALDATE ", ""))
    session.ok(tag)
    return True


def _dated_anew(server: ScriptedImap) -> None:
    for mail in server.mails:
        mail.at += timedelta(seconds=2)
    server.hang_up()


def _spoiled(instead: test_odd_mails.Instead) -> Act:
    """The next mail cannot be had."""

    def begin(server: ScriptedImap) -> None:
        test_odd_mails.spoil(server, instead, uid=server.uid_next)
        server.deliver(code_mail("999999"))

    return begin


def _removed(server: ScriptedImap) -> None:
    server.hooks.clear()
    server.mails.clear()
    server.hang_up()


def _nothing(server: ScriptedImap) -> None:
    """Calm."""


TROUBLES = (
    Trouble(name="nothing", rows=(1,), begin=_nothing),
    Trouble(name="a burst", rows=(3,), begin=_burst),
    Trouble(name="BYE", rows=(4,), begin=_goodbye),
    Trouble(name="hang-up", rows=(5, 19), begin=lambda server: server.hang_up()),
    Trouble(name="reset", rows=(5, 19), begin=lambda server: server.hang_up(with_reset=True)),
    Trouble(
        name="restarts",
        rows=(6, 7),
        begin=_greets(b"* BYE [UNAVAILABLE] restarting\r\n"),
        end=_greets(b"* OK ready\r\n"),
        is_red=True,
    ),
    Trouble(name="stands still", rows=(8, 10), begin=_nobody_answers, is_red=True),
    Trouble(name="the session hangs", rows=(9, 45), begin=_sessions_hang),
    Trouble(name="renumbered", rows=(12, 13), begin=_renumbered),
    Trouble(
        name="login refused",
        rows=(14,),
        begin=_answers("LOGIN", "AUTHENTICATE", text="NO [AUTHENTICATIONFAILED] no"),
        is_red=True,
        is_parked=True,
    ),
    Trouble(name="too many", rows=(15,), begin=_answers("LOGIN", "AUTHENTICATE", text="NO [LIMIT] too many"), is_red=True),
    Trouble(
        name="deaf",
        rows=(16, 29),
        begin=lambda server: setattr(server, "is_deaf", True),
        end=lambda server: setattr(server, "is_deaf", False),
    ),
    Trouble(name="a large mail", rows=(17,), begin=_large),
    Trouble(name="announced before IDLE", rows=(20,), begin=_anew(_hooks(_together, "IDLE"))),
    Trouble(name="words like broken syntax", rows=(22,), begin=_pushes(b'* OK (unbalanced "words {9\r\n* NO [X ( y\r\n')),
    Trouble(name="flags in IDLE", rows=(23,), begin=_pushes(b"* 1 FETCH (FLAGS (\\Seen))\r\n")),
    Trouble(name="no answer to IDLE", rows=(24,), begin=_answers("IDLE")),
    Trouble(name="slow at everything", rows=(30, 53), begin=_anew(_hooks(_slowly, *COMMANDS))),
    Trouble(name="throttled", rows=(35, 59), begin=_answers("EXAMINE", text="NO Server Unavailable. 15"), is_red=True),
    Trouble(name="hangs up on all", rows=(36,), begin=_answers("EXAMINE", is_over=True), is_red=True),
    Trouble(name="says nothing", rows=(8, 53), begin=_answers("EXAMINE", "UID FETCH"), is_red=True),
    Trouble(name="a mail is taken away", rows=(37,), begin=_taken_away),
    Trouble(name="a mail lags", rows=(38,), begin=_lags),
    Trouble(name="thousands of lines", rows=(40,), begin=_pushes(b"* OK still here\r\n" * 3_000)),
    Trouble(name="ALERT", rows=(41,), begin=_pushes(b"* OK [ALERT] the mailbox is nearly full\r\n")),
    Trouble(name="no IDLE", rows=(42,), begin=_answers("IDLE", text="NO not here")),
    Trouble(
        name="one mail cannot be had",
        rows=(46,),
        begin=_spoiled(test_odd_mails.INSTEAD["SERVERBUG"]),
        end=_removed,
        is_red=True,
    ),
    Trouble(name="one mail hangs", rows=(47,), begin=_spoiled(lambda session, tag: None), end=_removed, is_red=True),
    Trouble(name="put back", rows=(50,), begin=_put_back),
    Trouble(name="a hole", rows=(52,), begin=_left_out),
    Trouble(name="the clock is behind", rows=(54,), begin=_nothing, behind=timedelta(minutes=20)),
    Trouble(name="moved in", rows=(55,), begin=_moved_in),
    Trouble(name="drops what shares a segment", rows=(56,), begin=_hooks(_drops, "DONE")),
    Trouble(
        name="blind",
        rows=(57,),
        begin=_anew(lambda server: setattr(server, "is_blind", True)),
        end=_anew(lambda server: setattr(server, "is_blind", False)),
    ),
    Trouble(name="renumbers at each EXAMINE", rows=(58,), begin=_anew(_hooks(_renumbers, "EXAMINE"))),
    Trouble(name="folder refused", rows=(59,), begin=_answers("EXAMINE", text="NO [SERVERBUG] no"), is_red=True),
    Trouble(name="folder gone", rows=(59,), begin=_answers("EXAMINE", text="NO [NONEXISTENT] no"), is_red=True, is_parked=True),
    Trouble(name="PLAIN refused", rows=(60,), begin=_answers("AUTHENTICATE", text="NO no such mechanism")),
    Trouble(name="undated", rows=(61,), begin=_anew(_hooks(_undated, "UID FETCH"))),
    Trouble(name="dated anew", rows=(62,), begin=_dated_anew),
    *(
        Trouble(name=name, rows=(row,), begin=_anew(test_odd_answers.ODD[name]))
        for row, name in (
            (67, "UIDNEXT is always 1"),
            (68, "no EXAMINE"),
            (68, "no UID SEARCH"),
            (68, "UIDs are signed"),
            (69, "BODY.PEEK[]<0>"),
            (70, "IDLE ends at once"),
        )
    ),
    Trouble(name="one mail drips", rows=(71,), begin=_spoiled(test_odd_mails.drips), end=_removed, is_red=True),
)

DAEMON = "of the daemon, not of the server: it is red by its own test"
READING = "a matter of reading what came: the session is as well as before"
LATENCY = "a matter of milliseconds"
SETTING = "a fault of the login or the settings: parked, as the logins refused here are"
ELSEWHERE = {
    2: LATENCY,
    11: "needs a dead network: tests/e2e/test_network.py",
    18: DAEMON,
    21: READING,
    25: READING,
    26: READING,
    27: LATENCY,
    28: LATENCY,
    31: SETTING,
    32: SETTING,
    33: SETTING,
    34: SETTING,
    39: READING,
    43: "needs a clock that is set: tests/e2e/test_clock.py looks at the colour",
    44: DAEMON,
    48: DAEMON,
    49: READING,
    51: READING,
    63: READING,
    64: LATENCY,
    65: LATENCY,
    66: LATENCY,
}
"""Rows that have no walk of their own, and why."""
