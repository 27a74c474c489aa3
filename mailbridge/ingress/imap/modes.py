"""What a watcher is doing, as a table: its mode, and the mode that each event leads to. Pure. docs/imap.md shows the table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Mode(StrEnum):
    """What a watcher is doing now."""

    CONNECTING = "connecting"
    """It connects, logs in, opens the folder and takes what came meanwhile."""
    IDLE = "idle"
    """The server announces new mail."""
    NOTIFY = "notify"
    """The server sends a mail together with its announcement."""
    POLL = "poll"
    """The server is polled every few seconds."""
    HOT = "hot"
    """The server is polled often, because somebody waits for a code."""
    DEFERRING = "deferring"
    """The store accepts no mail; the connection is kept."""
    WAITING = "waiting"
    """A pause after a fault. The next attempt needs no person."""
    PARKED = "parked"
    """A person is needed. Attempts are rare."""
    STOPPED = "stopped"
    """The daemon stops, or the account gets another watcher."""


class Event(StrEnum):
    """What leads from one mode to another."""

    CONNECT = "connect"
    IDLES = "IDLE begins"
    NOTIFIES = "IDLE with NOTIFY"
    POLLS = "no IDLE"
    AWAITED = "somebody waits"
    REFUSED = "store refuses"
    FAULT = "fault"
    PERSON = "person needed"
    STOP = "stop"


_WATCHED = (Mode.IDLE, Mode.NOTIFY, Mode.POLL, Mode.HOT)
WATCHED = frozenset(_WATCHED)
"""In these modes a new mail is seen."""

_SESSION = (Mode.CONNECTING, *_WATCHED, Mode.DEFERRING)
_ANYWHERE = (*_SESSION, Mode.WAITING, Mode.PARKED)

TRANSITIONS: Mapping[tuple[Mode, Event], Mode] = MappingProxyType(
    {
        **{(mode, Event.CONNECT): Mode.CONNECTING for mode in _ANYWHERE},
        **{(mode, Event.IDLES): Mode.IDLE for mode in _SESSION},
        **{(mode, Event.NOTIFIES): Mode.NOTIFY for mode in _SESSION},
        **{(mode, Event.POLLS): Mode.POLL for mode in _SESSION},
        **{(mode, Event.AWAITED): Mode.HOT for mode in (*_WATCHED, Mode.DEFERRING)},
        **{(mode, Event.REFUSED): Mode.DEFERRING for mode in _SESSION},
        **{(mode, Event.FAULT): Mode.WAITING for mode in _ANYWHERE},
        **{(mode, Event.PERSON): Mode.PARKED for mode in _ANYWHERE},
        **{(mode, Event.STOP): Mode.STOPPED for mode in _ANYWHERE},
    }
)
"""The state machine. What is not in it cannot happen."""

BACK: Mapping[Mode, Event] = MappingProxyType(
    {
        Mode.CONNECTING: Event.CONNECT,
        Mode.IDLE: Event.IDLES,
        Mode.NOTIFY: Event.NOTIFIES,
        Mode.POLL: Event.POLLS,
        Mode.HOT: Event.AWAITED,
    }
)
"""The event that leads back to the mode in which the store refused, after it accepts mail again."""


class Impossible(AssertionError):  # noqa: N818  (a mistake of the program, as an assertion is)
    """An event in a mode in which it cannot happen: a bug."""


def after(mode: Mode, event: Event) -> Mode:
    """The mode that an event leads to.

    Raises:
        Impossible: the table does not have it.
    """
    try:
        return TRANSITIONS[mode, event]
    except KeyError:
        raise Impossible(f"{event} in mode {mode}") from None


def picture() -> str:
    """The table as Markdown: a row for each mode, a column for each event, a cell for the next mode ("": it cannot happen)."""
    head = ["", *(str(event) for event in Event)]
    rows = [[f"**{mode}**", *(str(TRANSITIONS.get((mode, event), "")) for event in Event)] for mode in Mode]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
