"""A store's contract: what happened beside mails, alarms, and how far listeners have been told."""

from __future__ import annotations

from mailbridge.store import Store
from tests.loop import looped
from tests.store.contract import Contract, Place


async def _lines(store: Store) -> list[tuple[str, tuple[str, ...], str]]:
    return [(line.event, line.identifiers, line.detail) for line in await store.journal.after()]


class EventsContract(Contract):
    """Lines are in their order, alarms outlive a restart, and a listener's place never goes back."""

    @looped
    async def test_a_line_names_whom_it_is_about(self, place: Place) -> None:
        """It has no mail; where it is forgotten, it is gone."""
        store = await place.open()
        await store.events.note("code.missing", identifier="Ann@example.com", detail="nothing came")
        await store.events.note("untold")
        assert await _lines(store) == [("code.missing", ("Ann@example.com",), "nothing came"), ("untold", (), "")]
        await store.forget("ann@example.com")
        assert [event for event, _, _ in await _lines(store)] == ["untold", "removed"]
        await store.close()

    @looped
    async def test_an_alarm_has_a_line_when_it_begins_and_when_it_is_over(self, place: Place) -> None:
        """Once each, also over a restart; a new reason is kept without a line."""
        store = await place.open()
        assert await store.events.raise_alarm("target crm", "refused", event="alarm.raised")
        assert not await store.events.raise_alarm("target crm", "refused again", event="alarm.raised")
        await place.kill(store)
        store = await place.open()
        assert await store.events.alarms() == {"target crm": "refused again"}
        assert await store.events.clear_alarm("target crm", event="alarm.cleared")
        assert not await store.events.clear_alarm("target crm", event="alarm.cleared")
        assert await _lines(store) == [("alarm.raised", (), "target crm: refused"), ("alarm.cleared", (), "target crm")]
        assert await store.events.alarms() == {}
        await store.close()

    @looped
    async def test_a_listener_begins_with_what_happens_next(self, place: Place) -> None:
        """It keeps its place over a restart, and loses it when it is a listener no longer."""
        store = await place.open()
        await store.events.note("untold")
        await store.events.listen(["crm", "phone"])
        assert await store.events.place("crm") == 1
        assert await store.events.place("nobody") == 0
        await store.events.note("untold")
        await store.events.told("crm", 2)
        await store.events.told("crm", 1)
        await place.kill(store)
        store = await place.open()
        await store.events.listen(["crm"])
        assert await store.events.place("crm") == 2
        await store.events.note("untold")
        await store.events.listen(["crm", "phone"])
        assert (await store.events.place("crm"), await store.events.place("phone")) == (2, 3)
        await store.close()
