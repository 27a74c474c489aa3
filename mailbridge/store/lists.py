"""Stored mails, deliveries and the journal in lists, by pages and filters. None of it contains a code.

Everything raises only StoreUnavailable, as does the rest of the contract.
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
    """Which rows are wanted. A field that is not set filters nothing.

    ``identifier`` and ``sender`` ignore case. ``sender`` is an address, or a domain, which means every address of exactly that
    domain. ``states``: for mails, at least one delivery is in one of them. ``since`` (included) and ``until`` (not included) are
    times of receipt. ``is_held``: only mails of which nothing was pushed for want of proof, or only others; it has no meaning for
    deliveries. ``mails``: deliveries of the mails with these numbers; it has no meaning for mails.
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
    """Some rows in order. ``next`` is the ``before`` of the next page (None: nothing follows). A page may be shorter than its
    limit although more follows."""

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
    """A stored mail in a list. It contains no code except one that ``subject`` may show. ``shown`` is a code of letters alone
    in the subject, "" for none. ``origin`` is the mail that an operator handed in again as this one, or 0."""

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
    """One thing that happened, in the order of the commits. Ids grow and are never used again.

    ``event`` is one of: ``stored``; ``first_seen`` (``detail`` is the stranger's proven domain); ``duplicate``; ``retry``;
    ``given`` or ``consumed`` (``detail`` says to whom); an event of `mailbridge.core.happening` that belongs to no mail
    (``code.missing``, ``alarm.raised`` …); ``released`` or ``replayed`` (``detail`` names the mail that it became); ``confirmed``
    (the request in the mail was allowed); ``removed``; or the new state of a delivery. ``detail`` contains no secret.
    ``identifiers`` are those that the line is about (none: nobody was recognised).
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
    """A line of the journal with the data that statistics need. For a stored mail: its verdict, whether it is held, and the
    rule that found something in it ("" for none). For a delivery that ended: when its mail was received (None if that is no
    longer known)."""

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
        """Mails with a number below ``before``."""
        ...

    async def search(
        self, words: str, wanted: Filter = EVERYTHING, *, before: int | None = None, limit: int = 50
    ) -> Page[MailRow]:
        """Mails whose subject contains ``words``, without regard to case.

        Subjects are encrypted, and each must be decrypted for the search. So one call ends after ``limit`` hits (50 at most) or
        100 ms. `Page.next` says where to continue, even if nothing was found so far.
        """
        ...

    async def one(self, mail_id: int) -> MailRow | None:
        """One mail. None if it does not exist (any more)."""
        ...

    async def raw(self, mail_id: int) -> Envelope | None:
        """The mail as received, while retention keeps it."""
        ...


class Journal(Protocol):
    """The record of what happened, for those who follow it. Ids grow and are never used again."""

    async def newest(self) -> int:
        """The id of the last line; 0 if there is none."""
        ...

    async def after(self, number: int = 0, *, mail_id: int | None = None, limit: int = 100) -> tuple[JournalLine, ...]:
        """Lines with an id above ``number``, oldest first; only those of ``mail_id`` if it is given."""
        ...

    async def line_before(self, at: datetime) -> int:
        """The id of the last line before a moment; 0 if there is none."""
        ...

    async def happened(self, number: int = 0, *, limit: int = 1000) -> tuple[Happened, ...]:
        """What statistics count, oldest first: mails that were stored and deliveries that ended, with an id above ``number``.
        A page may also contain lines of other kinds, which count as nothing."""
        ...

    def bell(self) -> AbstractContextManager[Bell]:
        """A bell for the length of the block that rings after every commit. Clear it, look, and only then wait.

        It belongs to the event loop in which it was made. For commits of another process it rings as soon as this process notices
        them.
        """
        ...
