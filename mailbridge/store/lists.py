"""What was stored, as it is listed: mails, deliveries and the journal, by pages and filters. No code is in any of it.

Everything raises StoreUnavailable and nothing else, as the rest of the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from datetime import datetime
from typing import Protocol, TypeVar, overload

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import State
from mailbridge.core.identification import Clue
from mailbridge.core.mail import Envelope
from mailbridge.waiting import Bell

Row_co = TypeVar("Row_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows are wanted; what is left out narrows nothing.

    ``identifier`` and ``sender`` without regard to case; ``sender`` is an address, or a domain for every address of exactly that.
    ``states``: of a mail, any of its deliveries stands in one of them. ``since`` (included) and ``until`` (not included) are
    moments of receipt. ``is_held``: mails of which nothing was pushed for want of proof, or only others; no meaning for deliveries.
    ``mails``: deliveries of mails of these numbers; no meaning for mails.
    """

    identifier: str = ""
    sender: str = ""
    states: tuple[State, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    is_held: bool | None = None
    mails: tuple[int, ...] = ()


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class Page(Sequence[Row_co]):
    """Some rows in their order, and the ``next`` page's ``before`` (None: nothing follows). A page may be shorter than its limit
    although more follows."""

    rows: tuple[Row_co, ...] = ()
    next: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Row_co: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Row_co]: ...

    def __getitem__(self, index: int | slice) -> Row_co | Sequence[Row_co]:
        return self.rows[index]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRow:
    """A stored mail as it is listed; no code in it but those that ``subject`` may show. ``shown``: the one of letters alone that stands there,
    "" for none. ``origin``: the mail that an operator handed in again as this one, or 0."""

    id: int
    received_at: datetime
    ingress: str
    mail_from: str
    rcpt_to: tuple[str, ...]
    sender: str
    subject: str
    verdict: str
    identifiers: tuple[str, ...]
    identifier_from: str | None
    rule: str | None
    reason: str
    defects: tuple[str, ...]
    size: int
    rejected: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    confirm_link: str | None = field(default=None, repr=False)
    clues: tuple[Clue, ...] = ()
    message_id: str = ""
    peer: str = ""
    trust: str = ""
    held: tuple[str, ...] = ()
    origin: int = 0
    shown: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLine:
    """One thing that happened, in the order in which it was committed. Ids grow and are never used again.

    ``event`` is ``stored``, ``first_seen`` (``detail`` is the stranger's proven domain), ``duplicate``, ``retry``, ``given`` or
    ``consumed`` (``detail`` says to whom), an event of `mailbridge.core.happening` that no mail has (``code.missing``, ``alarm.raised`` …),
    ``released`` or ``replayed`` (``detail`` names the mail that it became), ``confirmed`` (what it asks for was allowed), ``removed``, or
    the state that a delivery came into; ``detail`` holds no secret. ``identifiers`` are those that it is about (none: nobody was recognised).
    """

    id: int
    at: datetime
    event: str
    mail_id: int
    delivery_id: int | None = None
    detail: str = ""
    identifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """A line of the journal with what it counts as: of a mail that was stored its verdict, whether it is held, and the rule that found
    something in it ("" for none); of a delivery that ended when its mail was received (None where that is no longer known)."""

    id: int
    mail_id: int
    at: datetime
    event: str
    verdict: str = ""
    is_held: bool = False
    rule: str = ""
    received_at: datetime | None = None


class Mails(Protocol):
    """Mails as they were understood and stored, newest first."""

    async def page(self, wanted: Filter = EVERYTHING, *, before: int | None = None, limit: int = 100) -> Page[MailRow]:
        """Those with a number below ``before``."""
        ...

    async def search(
        self, words: str, wanted: Filter = EVERYTHING, *, before: int | None = None, limit: int = 50
    ) -> Page[MailRow]:
        """Those whose subject holds ``words``, without regard to case.

        Subjects are encrypted and each is opened to be looked at, so one call ends after ``limit`` hits (50 at the most) or 100 ms:
        `Page.next` says where to go on, also where nothing was found so far.
        """
        ...

    async def one(self, mail_id: int) -> MailRow | None:
        """One mail; None where it is not, or no longer, there."""
        ...

    async def raw(self, mail_id: int) -> Envelope | None:
        """The mail as received, while retention keeps it."""
        ...


class Journal(Protocol):
    """What happened, for those who follow it. Ids grow and are never used again."""

    async def newest(self) -> int:
        """The id of the last line; 0 where there is none."""
        ...

    async def after(self, number: int = 0, *, mail_id: int | None = None, limit: int = 100) -> tuple[JournalLine, ...]:
        """Oldest first, those with an id above ``number``; of one mail where that is named."""
        ...

    async def line_before(self, at: datetime) -> int:
        """The id of the last line before a moment; 0 where there is none."""
        ...

    async def happened(self, number: int = 0, *, limit: int = 1000) -> tuple[Happened, ...]:
        """What is counted, oldest first: mails that were stored and deliveries that ended, with an id above ``number``. A page may hold
        lines of other kinds, which count as nothing."""
        ...

    def bell(self) -> AbstractContextManager[Bell]:
        """A bell for the length of the block that rings behind every commit: clear it, look, and only then wait.

        It belongs to the event loop in which it was made, and rings for what another process wrote as soon as this one notices.
        """
        ...
