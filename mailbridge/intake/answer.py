"""What the door answers to whoever brings a mail. Each way in words it in its own protocol, and none says yes before `Stored`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Envelope
from mailbridge.store import Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """It is on disk, fsynced: SMTP says 250, a mailbox moves on to the next UID, HTTP says 2xx."""

    receipt: Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Nothing was kept, and the sender is to come again: SMTP says 451, a mailbox asks for the same UID, HTTP says 503.

    ``why``: ``proof`` (DNS did not answer), ``parser`` (nobody can read it now), ``locked``, ``gone`` or ``closed`` (the store).
    ``detail`` is for the log, without any part of the mail.
    """

    why: Literal["proof", "parser", "locked", "gone", "closed"]
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """Nothing was kept because there is no room, on disk or in memory: SMTP says 452, HTTP 503."""


Answer = Stored | Deferred | Full

Accept = Callable[[Envelope], Awaitable[Answer]]
"""The door, as every way in sees it."""
