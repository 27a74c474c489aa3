"""The contract of a store, in parts. Every implementation passes the same test suite.

This module has the parts that a mail needs on its way through. `mailbridge.store.lists`: stored things in lists.
`mailbridge.store.reading`: codes and authenticators for clients that wait. `mailbridge.store.entries`: what people add.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Claim, Delivery, Draft, Ending, Standing, State
from mailbridge.core.extraction import Extraction
from mailbridge.core.identification import Identification
from mailbridge.core.mail import Envelope
from mailbridge.store.answers import Answers
from mailbridge.store.entries import Entries
from mailbridge.store.events import Events
from mailbridge.store.inboxes import Inboxes
from mailbridge.store.leases import Leases
from mailbridge.store.lists import EVERYTHING, Filter, Journal, JournalLine, MailRow, Mails, Page
from mailbridge.store.names import Names
from mailbridge.store.one_time import OneTimeAddresses
from mailbridge.store.processes import Processes
from mailbridge.store.reading import Codes, Vault
from mailbridge.store.sessions import Sessions
from mailbridge.store.sites import Sites

__all__ = [
    "EVERYTHING",
    "Arrival",
    "Due",
    "Filter",
    "Forgotten",
    "JournalLine",
    "LeaseLost",
    "MailRow",
    "Mailboxes",
    "Outbox",
    "Page",
    "Receipt",
    "Settlement",
    "Store",
    "StoreError",
    "StoreInUse",
    "StoreUnavailable",
]


HALF_MOVED = "a move into it is not over; run the same `mailbridge migrate` again, or move this database away"
"""Why no daemon starts on a database."""

KEY_IN_CHANGE = "its key is being changed; let the daemon finish that (`key rotate`), then do this again"
"""Why a database cannot be copied or moved now: its content is sealed with two keys."""


Kind = Literal["full", "locked", "gone", "closed"]
"""Why a store cannot do something now."""


class StoreUnavailable(Exception):  # noqa: N818  (the name that the contract gives it)
    """The store could not do it now, and nothing was written. ``kind`` chooses the reply: full is 452, else 451."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(f"store {kind}: {detail}")
        self.kind = kind


class LeaseLost(StoreUnavailable):
    """A watcher wrote with a lease that has ended: another process has its mailbox now. Nothing was written."""

    def __init__(self, account: str) -> None:
        super().__init__("locked", f"mailbox {account} is watched by another replica")


class StoreError(Exception):
    """The store cannot be opened until somebody fixes something. The message says what, where and how."""


class StoreInUse(StoreError):  # noqa: N818  (a condition rather than a fault)
    """Another process has this database open."""


class StoreOutdated(StoreError):  # noqa: N818  (a condition rather than a fault)
    """The database does not exist yet, or is of an older version. Only a daemon creates it or brings it up to date, at its
    next start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One mail with everything that was found in it: what `Store.put` writes in one transaction.

    ``fingerprint`` is the same for the same mail, whichever ingress it came by (Message-ID and identifiers, else the content). A
    second arrival with the same fingerprint is a duplicate and changes only the cursor. The exception is a duplicate of which
    more is known about the sender: what the first arrival did not get for want of proof is delivered then. ``drafts`` may be
    empty: the mail is held.

    ``trust`` says by which proof it may be pushed, ``held`` which checks failed. Both are empty if nothing would be pushed.
    ``domain`` is the registrable domain of a proven From, "" if the From is not proven. ``stranger`` names the check that a
    stranger's code fails while a known sender's code is live, with what changes that.

    ``origin`` is the number of the stored mail that an operator handed in again as this one; 0 for a mail that came by itself.
    ``verb`` is what the operator did with that mail (``released``, ``replayed``), for its line in the journal. ``inboxes`` are
    the identifiers of the throw-away inboxes that it is for. If an inbox has ended by now, what is for it is erased in the same
    transaction.

    ``time_base`` is `Store.time_base` from the moment at which the mail was received. If steady time was corrected while the mail
    was read, its time of receipt is corrected too. None: it needs no correction.
    """

    envelope: Envelope
    fingerprint: str
    subject: str
    sender: str
    message_id: str
    extraction: Extraction
    identification: Identification
    defects: tuple[str, ...] = ()
    drafts: tuple[Draft, ...] = ()
    trust: str = ""
    held: tuple[str, ...] = ()
    domain: str = ""
    stranger: str = "stranger"
    origin: int = 0
    verb: str = ""
    inboxes: tuple[str, ...] = ()
    time_base: int | None = None

    @property
    def is_pushed(self) -> bool:
        """Whether any part of it will be pushed, as far as known before its queue is read."""
        return any(one.standing is not Standing.ASIDE for one in self.drafts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The mail is on disk. ``claims`` are its deliveries that may be attempted at once; this process has already claimed them.

    ``is_pushed``: something in the mail is delivered, now or later, by this arrival or an earlier one. ``held`` gives the reason
    for each delivery of a stranger that is held because a known sender's code is live.
    """

    mail_id: int
    is_duplicate: bool = False
    claims: tuple[Claim, ...] = ()
    superseded: int = 0
    is_pushed: bool = False
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How much was erased for an identifier."""

    mails: int = 0
    deliveries: int = 0
    lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What may be attempted now, and when the next delivery is due (None: nothing waits)."""

    claims: tuple[Claim, ...] = ()
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How a claim ended for its delivery (None: the claim was lost, and nothing was written), and what may be attempted now."""

    delivery: Delivery | None = None
    claims: tuple[Claim, ...] = ()


class Outbox(Protocol):
    """Deliveries on their way out. `mailbridge.core.queue` decides what happens to them."""

    async def claim(self, *, limit: int, busy: Sequence[str] = ()) -> Due:
        """Claim up to ``limit`` due deliveries, each the oldest unfinished one of its target and identifier.

        Targets in ``busy`` are left out, also from `Due.next_at`.
        """
        ...

    async def settle(self, claim: Claim, ending: Ending, *, jitter: float, grace: timedelta) -> Settlement:
        """Write the result of a claim, if its fencing token is still the newest.

        ``jitter`` is in 0…1. If no answer came, nothing else goes to this target and identifier for ``grace``.
        """
        ...

    async def release(self, claims: Sequence[Claim]) -> None:
        """Give back claims whose attempt has not begun. The attempt is not counted, and the delivery is due at once."""
        ...

    async def one(self, delivery_id: int) -> Delivery | None:
        """One delivery without its content. None if it does not exist (any more)."""
        ...

    async def retry(self, delivery_id: int) -> bool:
        """Retry a dead or expired delivery for an operator. Its lifetime starts again.

        False if there is no such delivery, if its code is erased, or if the retry would override a newer delivery of its target
        and identifier that waits, or is or may be at the target.
        """
        ...

    async def deliveries(
        self, wanted: Filter = EVERYTHING, *, mail_id: int | None = None, before: int | None = None, limit: int = 100
    ) -> Page[Delivery]:
        """Deliveries with a number below ``before``, newest first; only those of ``mail_id`` if it is given."""
        ...

    async def counts(self) -> dict[State, int]:
        """How many deliveries are in each state that needs attention: pending, in flight, expired, dead."""
        ...


class Mailboxes(Protocol):
    """How far each mailbox has been read, and what is still to be done there."""

    async def cursor(self, mailbox: str) -> str | None:
        """The furthest stored cursor of a mailbox (the part of `Envelope.cursor` before its last two ``/``). None if there is
        none.

        Within one UIDVALIDITY the highest UID counts. Another UIDVALIDITY starts again (RFC 3501 2.3.1.1).
        """
        ...

    async def advance(self, cursor: str) -> None:
        """Store a cursor without a mail: up to there the mailbox contains nothing that is wanted."""
        ...

    async def rewind(self, cursor: str) -> None:
        """Store a cursor even if it is lower than the stored one: the server has assigned its UIDs again."""
        ...

    async def notes(self, mailbox: str) -> str:
        """The last notes about a mailbox; ``{}`` if there are none."""
        ...

    async def note(self, mailbox: str, notes: str) -> None:
        """Replace the notes about a mailbox with ``notes`` (JSON). They contain no secret."""
        ...

    async def pending_actions(self, mailbox: str) -> tuple[str, ...]:
        """Cursors of the stored mails of a mailbox that still have a pending action, each once, in order."""
        ...

    async def actions_done(self, cursors: Sequence[str]) -> None:
        """Mark the actions of these cursors as done. Unknown cursors are ignored."""
        ...


class Store(Protocol):
    """The whole store. Every method raises only StoreUnavailable, and leaves no half of a transaction behind.

    Code that needs only one part should take only that part.
    """

    @property
    def outbox(self) -> Outbox: ...

    @property
    def mails(self) -> Mails: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def codes(self) -> Codes: ...

    @property
    def vault(self) -> Vault: ...

    @property
    def mailboxes(self) -> Mailboxes: ...

    @property
    def leases(self) -> Leases:
        """Which process watches which mailbox."""
        ...

    @property
    def processes(self) -> Processes:
        """The other processes on this store."""
        ...

    @property
    def one_time(self) -> OneTimeAddresses:
        """Addresses for one test mail each."""
        ...

    @property
    def entries(self) -> Entries: ...

    @property
    def events(self) -> Events:
        """Events that belong to no mail, and which listener was told of what."""
        ...

    @property
    def sites(self) -> Sites: ...

    @property
    def answers(self) -> Answers:
        """The answers to changing requests."""
        ...

    @property
    def sessions(self) -> Sessions:
        """The logins to the page."""
        ...

    @property
    def inboxes(self) -> Inboxes:
        """Throw-away inboxes."""
        ...

    @property
    def names(self) -> Names:
        """Names for identifiers that nobody can guess or read."""
        ...

    @property
    def trouble(self) -> Kind | None:
        """The kind of the last failure, until something is written again. None while all is well."""
        ...

    @property
    def time_base(self) -> int:
        """The base of steady time now; see `SteadyClock.base`."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other processes may write to this store at the same time. The bell of the journal announces what they wrote."""
        ...

    @property
    def may_attempt(self) -> bool:
        """Whether this process certainly still has what it has claimed. Only then may an attempt begin."""
        ...

    @property
    def is_first(self) -> bool:
        """Whether this process does what only one of the processes on this store should do: tell listeners and raise alarms."""
        ...

    async def put(self, arrival: Arrival) -> Receipt:
        """Write mail, deliveries, journal and cursor in one fsynced transaction, and supersede deliveries that are now older.

        If the caller was cancelled, nobody receives the claims, and they are given back.
        """
        ...

    async def forget(self, identifier: str) -> Forgotten:
        """Erase what is stored about an identifier: its mails, codes and deliveries, its names in the journal, and who was given
        what.

        A mail belongs to the identifier if it was for it, to it or from it. A mail that was also for others loses its octets and
        this name, and stays theirs. What people have configured (addresses, tokens, authenticators) stays. The rows of mails and
        deliveries stay, empty, so that their numbers are not used again. When this returns, the database contains none of it. Its
        log contains none of it either, once nobody reads the earlier state any more.
        """
        ...

    async def confirmed(self, mail_id: int) -> None:
        """Record that the request in a mail was allowed. Does nothing if the mail no longer exists."""
        ...

    async def probe(self) -> None:
        """Check whether the store can be written. If the last write failed, a small write is tried, for half a second at most.

        Raises:
            StoreUnavailable: nothing could be written since then.
        """
        ...

    async def sweep(self) -> datetime | None:
        """Expire and erase what is past its time. Returns when to call again at the latest: at once if there is more."""
        ...

    async def close(self) -> None:
        """Finish what is queued, checkpoint, close."""
        ...
