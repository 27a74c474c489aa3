"""A code on its way out: what is to be delivered, where it stands, who may attempt it, and how an attempt can end."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Literal

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret


class State(StrEnum):
    """Where a delivery stands. The last four are final; an operator's retry leads out of the last two.

    What leads from one to another is the table of `mailbridge.core.queue`.
    """

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    DEAD = "dead"


class Standing(IntEnum):
    """What is known of a sender for an identifier: the higher is never replaced by the lower.

    ASIDE: held, and given only to a reader who asks for this sender by name. FIRST_SEEN: a stranger's, pushed while nothing known
    lives. KNOWN: of a sender whose domain is known for the identifier.
    """

    ASIDE = 0
    FIRST_SEEN = 1
    KNOWN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A delivery to be made: what `intake` asks the store to put into the outbox.

    ``target`` names the sink (``skyvern``, or a `[[target]]` of the configuration). ``sender`` is the mail's
    From: a newer code of the same sender to the same identifier and target supersedes an older one that waits.
    ``lifetime`` counts from ``Envelope.received_at``; the delivery is never made after it. ``domain`` is the registrable domain of
    a From that is proven, "" of one that is not. ``written_at`` is when the mail says it was written (None: it does not say).
    """

    target: str
    identifier: str
    kind: Literal["code", "link", "body"]
    content: Secret
    sender: str
    lifetime: timedelta
    workflow_run_id: str | None = None
    workflow_id: str | None = None
    task_id: str | None = None
    standing: Standing = Standing.KNOWN
    domain: str = ""
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One row of the outbox. Times are aware UTC of the store's steady clock. ``attempts`` are made, not left.

    ``due_at``: when it may be attempted; None where it is not pending, or waits behind another one of its queue.
    ``is_doubtful``: an attempt ended without an answer, or a process died in the middle of one, so the target may
    already hold it; it must be asked before the code is sent again. ``without_run`` is set after the target called
    the run ids stale: the next attempt goes without them. ``blocked_until``: a request may still be on its way until
    then, so nothing else goes to this target and identifier, not even a newer code. ``is_overtaken``: a newer code of
    its sender came while it was in flight or blocked; it is not attempted again. ``fencing_token`` is the fencing token of its
    last claim, ``ref`` the target's own id for it, ``mail_id`` the mail that it is of. The content is an empty Secret where it is
    erased, or not looked at. ``is_late``: a newer one was there first, by the dates of both; `moment` is then when it was written.
    """

    id: int
    draft: Draft
    state: State
    received_at: datetime
    deadline: datetime
    due_at: datetime | None = None
    blocked_until: datetime | None = None
    attempts: int = 0
    is_doubtful: bool = False
    without_run: bool = False
    is_overtaken: bool = False
    is_late: bool = False
    fencing_token: int = 0
    rule: str | None = None
    reason: str = ""
    ref: str = ""
    final_at: datetime | None = None
    mail_id: int = 0

    @property
    def written_at(self) -> datetime:
        """When the mail was written; a moment after its receipt counts as that."""
        written = self.draft.written_at
        return self.received_at if written is None else min(written, self.received_at)

    @property
    def moment(self) -> datetime:
        """Its place in time among the codes of its identifier: its receipt, unless a newer one was there first."""
        return self.written_at if self.is_late else self.received_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery that this process alone may attempt until ``lease_until``; ``fencing_token`` fences late writers.

    ``expires_at`` is the deadline on the wall clock, for the target's ``expired_at``.
    """

    delivery: Delivery
    fencing_token: int
    lease_until: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The target has it (2xx and the code in its answer, or found there when asked). ``ref`` is its id for it."""

    ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Not now: try again. ``retry_after`` is the target's own wish, if it stated one."""

    reason: str
    retry_after: timedelta | None = None
    is_alarm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """The request may have been taken in, but no answer came: wait the grace out, ask, and only then send again."""

    reason: str
    is_alarm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Never: the target will not take it. ``is_stale_run``: it refused only the run ids. ``is_gone``: it wants nothing ever again (410)."""

    reason: str
    is_alarm: bool = False
    is_stale_run: bool = False
    is_gone: bool = False


Outcome = Accepted | Deferred | Doubtful | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapsed:
    """No attempt was made: the deadline was there first. No sink says it."""


Ending = Outcome | Lapsed
"""What became of a claim."""

UNFINISHED = (State.PENDING, State.IN_FLIGHT)
"""The states in which a delivery still holds its place in its queue."""
