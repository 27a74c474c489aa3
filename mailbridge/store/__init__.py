"""What is remembered: the contract of a store, which every implementation passes one suite for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from mailbridge.core.delivery import Claim, Delivery, Draft, Ending, State
from mailbridge.core.extraction import Extraction
from mailbridge.core.identity import Clue, Identification
from mailbridge.core.mail import Envelope


class StoreUnavailable(Exception):  # noqa: N818  (the name that the contract gives it)
    """The store could not do it now; nothing was written. ``kind`` chooses the reply: full is 452, else 451."""

    def __init__(self, kind: Literal["full", "locked", "gone", "closed"], detail: str) -> None:
        super().__init__(f"store {kind}: {detail}")
        self.kind = kind


class StoreError(Exception):
    """The store cannot be opened until somebody mends something; the message says what, where and how."""


class StoreInUse(StoreError):  # noqa: N818  (a condition rather than a fault)
    """Another process has this database open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One mail with everything understood of it: what `Store.put` writes in one transaction.

    ``fingerprint`` is the same for the same mail by whatever door (Message-ID and identifiers, else the content);
    a second arrival with it is a duplicate and changes nothing but the cursor. ``drafts`` may be empty: the mail is held.
    ``trust`` says by what proof it may be pushed, ``held`` which checks failed; both empty where nothing would be pushed.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The mail is on disk. ``claims`` are its deliveries that may go at once, already claimed by this process.

    ``is_pushed``: it holds something that is delivered, now or later, by this arrival or an earlier one.
    """

    mail_id: int
    is_duplicate: bool = False
    claims: tuple[Claim, ...] = ()
    superseded: int = 0
    is_pushed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What may go now, and when the next thing falls due (None: nothing waits)."""

    claims: tuple[Claim, ...] = ()
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a claim's end made of its delivery (None: the claim held no longer, and nothing was written), and what may go now."""

    delivery: Delivery | None = None
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRow:
    """A stored mail as it is listed; no code in it."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLine:
    """One thing that happened, in the order in which it was committed. Ids grow and are never used again.

    ``event`` is ``stored``, ``duplicate``, ``retry``, ``given`` or ``consumed`` (``detail`` says to whom), or the state that a delivery came
    into; ``detail`` holds no secret.
    """

    id: int
    at: datetime
    event: str
    mail_id: int
    delivery_id: int | None = None
    detail: str = ""


class Store(Protocol):
    """Every method raises StoreUnavailable and nothing else, and leaves no half of a transaction behind."""

    @property
    def trouble(self) -> str | None:
        """The kind of the last fault, until something can be written again; None while all is well."""
        ...

    async def put(self, arrival: Arrival) -> Receipt:
        """Write mail, deliveries, journal and cursor in one fsynced transaction; supersede what is now older."""
        ...

    async def claim(self, *, limit: int, busy: Sequence[str] = ()) -> Due:
        """Take up to ``limit`` due deliveries, each the oldest unfinished of its target and identifier.

        Targets in ``busy`` are left out, of `Due.next_at` too.
        """
        ...

    async def settle(self, claim: Claim, ending: Ending, *, jitter: float, grace: timedelta) -> Settlement:
        """Write what became of a claim, if its token still holds: what that makes of the queue is decided by `core.queue`.

        ``jitter`` is in 0…1; for ``grace`` nothing else goes to this target and identifier if no answer came.
        """
        ...

    async def release(self, claims: Sequence[Claim]) -> None:
        """Give claims back whose attempt was not begun: uncounted and due at once."""
        ...

    async def retry(self, delivery_id: int) -> bool:
        """An operator's retry of a dead or expired delivery, which gets its lifetime anew.

        False if there is none such, its code is erased, or a newer one of its target and identifier would be undone by it: one that
        waits, or is or may be at the target.
        """
        ...

    async def sweep(self) -> datetime | None:
        """Expire and erase what is over its time; returns when to come back at the latest: at once where more is left."""
        ...

    async def deliveries(self, *, states: Sequence[State] = (), limit: int = 100) -> tuple[Delivery, ...]:
        """Newest first."""
        ...

    async def mails(self, *, limit: int = 100) -> tuple[MailRow, ...]:
        """Newest first."""
        ...

    async def raw(self, mail_id: int) -> Envelope | None:
        """The mail as received, while retention keeps it."""
        ...

    async def counts(self) -> dict[State, int]:
        """How many deliveries stand in each state that asks for attention: pending, in flight, expired, dead."""
        ...

    async def journal(self, *, after: int = 0, limit: int = 100) -> tuple[JournalLine, ...]:
        """Oldest first, those with an id above ``after``."""
        ...

    async def cursor(self, mailbox: str) -> str | None:
        """The furthest cursor stored for a mailbox (the part of `Envelope.cursor` before its last two ``/``).

        Of one UIDVALIDITY the highest UID; another UIDVALIDITY begins anew (RFC 3501 2.3.1.1).
        """
        ...

    async def advance(self, cursor: str) -> None:
        """Store a cursor without a mail: up to there a mailbox holds nothing that is wanted."""
        ...

    async def owed(self, mailbox: str) -> tuple[str, ...]:
        """Cursors of a mailbox's mails that were stored as owed and are not settled yet, each once, in their order."""
        ...

    async def pay(self, cursors: Sequence[str]) -> None:
        """What was owed for these is done; unknown ones are ignored."""
        ...

    async def close(self) -> None:
        """Finish what is queued, checkpoint, close."""
        ...
