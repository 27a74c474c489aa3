"""Deliveries: listed, shown, and given a second chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from mailbridge.core.delivery import State
from mailbridge.operator.asks import Ask, Before, MaybeText, Moment, Number, PageSize
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.mails import HISTORY, StateName
from mailbridge.operator.shapes import DeliveryDetail, DeliveryPage, NotRetried, Retried
from mailbridge.operator.shown import delivery_detail, delivery_shape
from mailbridge.store import Filter, Store

AT_ONCE = 1_000
"""Deliveries that one request retries at the most."""

GONE = "its code is erased, or a newer one of its identifier would be undone by it"


class DeliveryList(Ask, frozen=True, kw_only=True):
    """Which deliveries; what is left out narrows nothing."""

    state: tuple[StateName, ...] = ()
    identifier: MaybeText = ""
    sender: MaybeText = ""
    mail: Number | None = None
    mails: Annotated[tuple[Number, ...], msgspec.Meta(max_length=AT_ONCE)] = ()
    since: Moment | None = None
    until: Moment | None = None
    before: Before | None = None
    limit: PageSize = 20


class OneDelivery(Ask, frozen=True, kw_only=True):
    """One delivery by its number."""

    id: Number


class Retry(Ask, frozen=True, kw_only=True):
    """Which deliveries are tried again: those of these numbers, or all that ended in a ``state``, of one identifier if that
    is named. Without either there is nothing to do."""

    ids: Annotated[tuple[Number, ...], msgspec.Meta(max_length=AT_ONCE)] = ()
    state: tuple[Literal["dead", "expired"], ...] = ()
    identifier: MaybeText = ""


class Deliveries:
    """The verbs of deliveries."""

    def __init__(self, *, store: Store, on_due: Callable[[], None]) -> None:
        self._store = store
        self._on_due = on_due

    async def find(self, ask: DeliveryList) -> DeliveryPage | Fault:
        """Deliveries, newest first, each with its mail's number; never their codes."""
        wanted = Filter(
            identifier=ask.identifier.strip(),
            sender=ask.sender.strip(),
            states=tuple(State(one) for one in ask.state),
            since=ask.since,
            until=ask.until,
            mails=ask.mails,
        )
        page = await self._store.outbox.deliveries(wanted, mail_id=ask.mail, before=ask.before, limit=ask.limit)
        return DeliveryPage(deliveries=[delivery_shape(one) for one in page], next=page.next)

    async def show(self, ask: OneDelivery) -> DeliveryDetail | Fault:
        """One delivery with its mail and what happened to it."""
        row = await self._store.outbox.one(ask.id)
        if row is None:
            what = f"there is no delivery {ask.id}; `mailbridge delivery list` lists them"
            return Fault(kind=Kind.NOT_FOUND, title=what)
        mail = await self._store.mails.one(row.mail_id)
        return delivery_detail(row, mail, await self._store.journal.after(mail_id=row.mail_id, limit=HISTORY))

    async def retry(self, ask: Retry) -> Retried | Fault:
        """Try deliveries again that ended badly. Of one identifier the newest goes: an older one would undo it, and is refused."""
        numbers = list(dict.fromkeys(ask.ids))
        if ask.state:
            states = tuple(State(one) for one in ask.state)
            wanted = Filter(states=states, identifier=ask.identifier.strip())
            numbers += [one.id for one in await self._store.outbox.deliveries(wanted, limit=AT_ONCE)]
        retried: list[int] = []
        refused: list[NotRetried] = []
        for number in sorted(dict.fromkeys(numbers), reverse=True):
            if await self._store.outbox.retry(number):
                retried.append(number)
            else:
                refused.append(NotRetried(id=number, why=await self._why_not(number)))
        if retried:
            self._on_due()
        return Retried(retried=retried, refused=refused)

    async def _why_not(self, number: int) -> str:
        """Why a delivery cannot be tried again."""
        row = await self._store.outbox.one(number)
        if row is None:
            return "there is no such delivery; `mailbridge delivery list` lists them"
        if row.state not in (State.DEAD, State.EXPIRED):
            return f"it is {row.state.replace('_', ' ')}; only a dead or an expired one can be tried again"
        return GONE
