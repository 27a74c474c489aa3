"""Throw-away inboxes: made for one sign-up or one run of tests, and erased with everything in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import msgspec

from mailbridge.config.settings import Settings
from mailbridge.config.values import duration
from mailbridge.core.dataclass import dataclass
from mailbridge.core.inbox import Inbox
from mailbridge.intake.inboxes import Inboxes
from mailbridge.operator.addresses import own_recipient
from mailbridge.operator.asks import Ask
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.parts import Configuration
from mailbridge.operator.shapes import InboxPage, InboxShape
from mailbridge.operator.shown import stamp
from mailbridge.waiting import Waiting

SHORTEST = timedelta(seconds=1)
FALLBACK = "mailbridge.localhost"
"""Where an inbox is where no domain takes mail: what hands mail to the daemon itself (an application under test) can use it."""

SENDER = r"^(?:[A-Za-z0-9._%+=-]{1,64}@)?(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){0,8}[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
DURATION = r"^(?:[0-9]{1,9}(?:\.[0-9]{1,3})?(?:ms|s|m|h|d)){1,5}$"

Sender = Annotated[str, msgspec.Meta(max_length=253, pattern=SENDER)]
Lifetime = Annotated[str, msgspec.Meta(max_length=50, pattern=DURATION)] | Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Senders = Annotated[tuple[Sender, ...], msgspec.Meta(max_length=20)]


class CreateInbox(Ask, frozen=True, kw_only=True):
    """A new inbox. ``from`` are domains (their subdomains too) or addresses: whose mail it takes; none: whoever proves himself.

    ``lifetime`` is a duration (``"1h"``) or seconds; one beyond `[inboxes] longest` is that. ``push``: its codes go to Skyvern too.
    """

    from_: Senders | None = msgspec.field(name="from", default=None)
    lifetime: Lifetime | None = None
    push: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who asks: ``key`` is what nobody else has; ``may_read`` says whose codes he may read; ``sees_all``: the inboxes of others too."""

    key: str
    name: str
    may_read: Callable[[str], bool]
    sees_all: bool = False


class InboxVerbs:
    """The verbs of inboxes, for agents and operators."""

    def __init__(self, *, inboxes: Inboxes, configuration: Configuration, waiting: Waiting) -> None:
        self._inboxes = inboxes
        self._configuration = configuration
        self._waiting = waiting

    async def create(self, ask: CreateInbox, owner: Owner) -> InboxShape | Fault:
        """Make an inbox. It takes mail from now on, by whatever way mail comes in."""
        settings = self._configuration.now
        address = self._inboxes.address(domain_of(settings))
        if not owner.may_read(address):
            what = "this token is not for inboxes; `mailbridge token add --identifier 'inbox-*'` makes one that is"
            return Fault(kind=Kind.FORBIDDEN, title=what)
        made = await self._inboxes.create(
            address,
            owner=owner.key,
            lifetime=_lifetime(ask.lifetime, settings),
            senders=tuple(dict.fromkeys(one.lower() for one in ask.from_ or ())),
            is_pushed=ask.push,
            most=settings.inboxes.most,
        )
        return _shape(made) if made is not None else self._too_many(owner, settings)

    def _too_many(self, owner: Owner, settings: Settings) -> Fault:
        ends = [one.expires_at for one in self._inboxes.everything() if one.owner == owner.key]
        until = f", or wait until {stamp(min(ends))}" if ends else ""
        what = f"{owner.name} has {settings.inboxes.most} inboxes, as many as [inboxes] most allows at once: release one{until}"
        return Fault(kind=Kind.TOO_MANY, title=what)

    async def find(self, owner: Owner) -> InboxPage:
        """The inboxes of a caller, or all, oldest first."""
        return InboxPage(inboxes=[_shape(one) for one in self._inboxes.everything() if _is_his(one, owner)])

    async def release(self, number: int, owner: Owner) -> Fault | None:
        """End an inbox at once and erase what is in it; None is done. Whoever waits for it is told."""
        found = next((one for one in self._inboxes.everything() if one.id == number and _is_his(one, owner)), None)
        if found is None or not await self._inboxes.end(found):
            return Fault(kind=Kind.NOT_FOUND, title=f"there is no inbox {number} of yours; it may be over")
        self._waiting.wake((found.identifier,))
        return None


def domain_of(settings: Settings) -> str:
    """Where inboxes are: `[inboxes] domain`, else the first domain that takes mail."""
    if settings.inboxes.domain:
        return settings.inboxes.domain
    if settings.domains.accept:
        return settings.domains.accept[0]
    own = own_recipient(settings)
    return FALLBACK if isinstance(own, Fault) else own.rpartition("@")[2]


def _lifetime(asked: str | float | None, settings: Settings) -> timedelta:
    """How long an inbox lives that is asked for like this."""
    try:
        wanted = settings.inboxes.lifetime if asked is None else duration(asked)
    except ValueError:  # it is well written, and longer than any
        wanted = settings.inboxes.longest
    return min(max(wanted, SHORTEST), settings.inboxes.longest)


def _is_his(inbox: Inbox, owner: Owner) -> bool:
    return owner.sees_all or inbox.owner == owner.key


def _shape(inbox: Inbox) -> InboxShape:
    return InboxShape(
        id=inbox.id,
        identifier=inbox.identifier,
        address=inbox.address,
        from_=list(inbox.senders),
        created_at=stamp(inbox.created_at),
        expires_at=stamp(inbox.expires_at),
        push=inbox.is_pushed,
    )
