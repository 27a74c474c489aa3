"""Deliveries: the list with its filters, one with its attempts, another try, and the targets."""

from __future__ import annotations

import msgspec

from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.asks import asked as as_asked
from mailbridge.operator.deliveries import DeliveryList, OneDelivery, Retry
from mailbridge.operator.faults import Fault
from mailbridge.operator.targets import OneTarget
from mailbridge.web.pages.asking import Answer, Asked, Go, Page
from mailbridge.web.pages.look import delivery_state

ROWS = 50
NARROWING = ("identifier", "sender", "state", "since", "until", "before")
STATES = ("pending", "in_flight", "delivered", "superseded", "expired", "dead")


async def find(asked: Asked) -> Answer:
    """Deliveries, newest first, and how the targets are."""
    status = await asked.attempt(verbs.STATUS, Nothing())
    values: dict[str, object] = {"status": None if isinstance(status, Fault) else status, "states": STATES, "tested": None}
    wanted: dict[str, object] = {name: asked.query[name] for name in NARROWING if name in asked.query}
    if "state" in wanted:
        wanted["state"] = [wanted["state"]]
    try:
        ask = as_asked(DeliveryList, {**wanted, "limit": str(ROWS)}, is_text=True)
    except (ValueError, msgspec.ValidationError) as fault:
        wrong = str(fault).partition(" - at")[0]
        return Page(template="deliveries.html", values={**values, "rows": [], "next": None, "wrong": wrong}, status=400)
    page = await asked.do(verbs.DELIVERY_LIST, ask)
    found = [(one, delivery_state(one)) for one in page.deliveries]
    return Page(template="deliveries.html", values={**values, "rows": found, "next": page.next, "wrong": ""})


async def show(asked: Asked) -> Answer:
    """One delivery with its mail and its history."""
    detail = await asked.do(verbs.DELIVERY_SHOW, OneDelivery(id=asked.number))
    return Page(template="delivery.html", values={"one": detail, "state": delivery_state(detail)})


async def retry(asked: Asked) -> Answer:
    """Retry the chosen deliveries; those that cannot be retried are shown with the reason."""
    numbers = tuple(int(one) for one in asked.form.get("id", ()) if one.isascii() and one.isdigit() and 0 < len(one) < 19)
    done = await asked.do(verbs.DELIVERY_RETRY, Retry(ids=numbers[:1000]))
    if done.refused:
        return Page(template="retried.html", values={"done": done}, status=409 if not done.retried else 200)
    return Go(path="/deliveries", said="said.retried" if done.retried else "said.none_chosen")


async def test(asked: Asked) -> Answer:
    """Test whether a target answers and accepts its key."""
    found = await asked.do(verbs.TARGET_TEST, OneTarget(name=asked.sent("name")))
    return Page(template="_target.html" if asked.is_part else "target.html", values={"tested": found})
