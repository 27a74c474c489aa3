"""What is remembered: the contract of a store in its parts, which every implementation passes one suite for.

Here is what a mail meets on its way through. `mailbridge.store.lists`: what was stored, as it is listed. `mailbridge.store.reading`:
codes and authenticators for whoever waits. `mailbridge.store.entries`: what people add.
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
"""Why a database is neither copied nor moved now: what is in it is sealed with two keys."""


Kind = Literal["full", "locked", "gone", "closed"]
"""Why a store cannot do something now."""


class StoreUnavailable(Exception):  # noqa: N818  (the name that the contract gives it)
    """The store could not do it now; nothing was written. ``kind`` chooses the reply: full is 452, else 451."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(f"store {kind}: {detail}")
        self.kind = kind


class LeaseLost(StoreUnavailable):
    """A watcher wrote under a lease that is over: its mailbox is another process's now. Nothing was written."""

    def __init__(self, account: str) -> None:
        super().__init__("locked", f"mailbox {account} is watched by another replica")


class StoreError(Exception):
    """The store cannot be opened until somebody fixes something; the message says what, where and how."""


class StoreInUse(StoreError):  # noqa: N818  (a condition rather than a fault)
    """Another process has this database open."""


class StoreOutdated(StoreError):  # noqa: N818  (a condition rather than a fault)
    """The database is one that the next start makes or brings up to date; only a daemon does that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One mail with everything understood of it: what `Store.put` writes in one transaction.

    ``fingerprint`` is the same for the same mail by whatever door (Message-ID and identifiers, else the content);
    a second arrival with it is a duplicate and changes nothing but the cursor, unless more is known of its sender than of the first
    one's: what that did not get for want of proof is delivered then. ``drafts`` may be empty: the mail is held.
    ``trust`` says by what proof it may be pushed, ``held`` which checks failed; both empty where nothing would be pushed.
    ``domain`` is the registrable domain of a From that is proven, "" where none is. ``stranger`` names the check that a stranger's
    code fails where a known one lives, with what changes that.
    ``origin`` is the number of the stored mail that an operator handed in again as this one, 0 for a mail that came by itself; ``verb``
    is what the operator did with that mail (``released``, ``replayed``), for its line in the journal. ``inboxes`` are the identifiers
    of the throw-away inboxes that it is for: what is for one that is over by now is erased in the same transaction.
    ``time_base`` is `Store.time_base` of when the mail was received: where steady time was put right while the mail was read, its time of
    receipt goes with it. None: it was not.
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
        """Whether anything of it goes out, as far as that is known before its queue is looked at."""
        return any(one.standing is not Standing.ASIDE for one in self.drafts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The mail is on disk. ``claims`` are its deliveries that may go at once, already claimed by this process.

    ``is_pushed``: it holds something that is delivered, now or later, by this arrival or an earlier one. ``held`` is, of each of a
    stranger's deliveries that are not since a known sender's code lives, why.
    """

    mail_id: int
    is_duplicate: bool = False
    claims: tuple[Claim, ...] = ()
    superseded: int = 0
    is_pushed: bool = False
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How much was erased of an identifier."""

    mails: int = 0
    deliveries: int = 0
    lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What may go now, and when the next thing falls due (None: nothing waits)."""

    claims: tuple[Claim, ...] = ()
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a claim's end made of its delivery (None: the claim was lost, and nothing was written), and what may go now."""

    delivery: Delivery | None = None
    claims: tuple[Claim, ...] = ()


class Outbox(Protocol):
    """Deliveries on their way out. What becomes of them is decided by `mailbridge.core.queue`."""

    async def claim(self, *, limit: int, busy: Sequence[str] = ()) -> Due:
        """Take up to ``limit`` due deliveries, each the oldest unfinished of its target and identifier.

        Targets in ``busy`` are left out, of `Due.next_at` too.
        """
        ...

    async def settle(self, claim: Claim, ending: Ending, *, jitter: float, grace: timedelta) -> Settlement:
        """Write what became of a claim, if its fencing token is still the newest.

        ``jitter`` is in 0…1; for ``grace`` nothing else goes to this target and identifier if no answer came.
        """
        ...

    async def release(self, claims: Sequence[Claim]) -> None:
        """Give claims back whose attempt was not begun: uncounted and due at once."""
        ...

    async def one(self, delivery_id: int) -> Delivery | None:
        """One delivery, its content left out; None where it is not, or no longer, there."""
        ...

    async def retry(self, delivery_id: int) -> bool:
        """An operator's retry of a dead or expired delivery, which gets its lifetime anew.

        False if there is none such, its code is erased, or a newer one of its target and identifier would be undone by it: one that
        waits, or is or may be at the target.
        """
        ...

    async def deliveries(
        self, wanted: Filter = EVERYTHING, *, mail_id: int | None = None, before: int | None = None, limit: int = 100
    ) -> Page[Delivery]:
        """Newest first, those with a number below ``before``; of one mail where that is named."""
        ...

    async def counts(self) -> dict[State, int]:
        """How many deliveries stand in each state that asks for attention: pending, in flight, expired, dead."""
        ...


class Mailboxes(Protocol):
    """How far each mailbox is taken in, and what is still to be done there."""

    async def cursor(self, mailbox: str) -> str | None:
        """The furthest cursor stored for a mailbox (the part of `Envelope.cursor` before its last two ``/``).

        Of one UIDVALIDITY the highest UID; another UIDVALIDITY begins anew (RFC 3501 2.3.1.1).
        """
        ...

    async def advance(self, cursor: str) -> None:
        """Store a cursor without a mail: up to there a mailbox holds nothing that is wanted."""
        ...

    async def rewind(self, cursor: str) -> None:
        """Store a cursor although it may be lower than the one that is stored: the server has given its UIDs out anew."""
        ...

    async def notes(self, mailbox: str) -> str:
        """What was last noted of a mailbox; ``{}`` where nothing was."""
        ...

    async def note(self, mailbox: str, notes: str) -> None:
        """Keep ``notes`` (JSON) in place of what was noted of a mailbox. They hold nothing secret."""
        ...

    async def pending_actions(self, mailbox: str) -> tuple[str, ...]:
        """Cursors of a mailbox's mails that were stored and still have an action pending, each once, in their order."""
        ...

    async def actions_done(self, cursors: Sequence[str]) -> None:
        """The actions of these are done; unknown ones are ignored."""
        ...


class Store(Protocol):
    """All of it. Every method raises StoreUnavailable and nothing else, and leaves no half of a transaction behind.

    Whoever needs one part asks for that part.
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
        """Who else has this store."""
        ...

    @property
    def one_time(self) -> OneTimeAddresses:
        """Addresses for one test mail each."""
        ...

    @property
    def entries(self) -> Entries: ...

    @property
    def events(self) -> Events:
        """What happened beside mails, and who was told of what."""
        ...

    @property
    def sites(self) -> Sites: ...

    @property
    def answers(self) -> Answers:
        """What changing requests were answered."""
        ...

    @property
    def sessions(self) -> Sessions:
        """Who is logged in to the page."""
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
        """The kind of the last fault, until something is written again; None while all is well."""
        ...

    @property
    def time_base(self) -> int:
        """What steady time counts from now; see `SteadyClock.base`."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether other processes may write here at the same time; what they wrote is told by the bell of the journal."""
        ...

    @property
    def may_attempt(self) -> bool:
        """Whether what this process has claimed is certain to be its own still; only then an attempt may begin."""
        ...

    @property
    def is_first(self) -> bool:
        """Whether this process does what one alone should, of all that have this store: it tells listeners and raises alarms."""
        ...

    async def put(self, arrival: Arrival) -> Receipt:
        """Write mail, deliveries, journal and cursor in one fsynced transaction; supersede what is now older.

        Claims that nobody is there to take, since the caller was cancelled, are given back.
        """
        ...

    async def forget(self, identifier: str) -> Forgotten:
        """Erase what is kept of an identifier: its mails, codes and deliveries, its names in the journal, and who was given what.

        A mail is its where it was for it, to it or from it. One that was for others too loses its octets and the name, and stays
        theirs. What people have configured (addresses, tokens, authenticators) stays. The rows of mails and deliveries stay empty,
        so that their numbers are not used again. When this returns, the database holds none of it, nor does its log once nobody reads
        what was there before.
        """
        ...

    async def confirmed(self, mail_id: int) -> None:
        """Write down that what a mail asks for was allowed; nothing where the mail is no longer there."""
        ...

    async def probe(self) -> None:
        """Whether it can be written. If the last write has failed, a small one is tried, and waited for for half a second at most.

        Raises:
            StoreUnavailable: nothing could be written since.
        """
        ...

    async def sweep(self) -> datetime | None:
        """Expire and erase what is over its time; returns when to come back at the latest: at once where more is left."""
        ...

    async def close(self) -> None:
        """Finish what is queued, checkpoint, close."""
        ...
