"""Journal lines that belong to no mail, alarms, and how far listeners have been told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailbridge.clock import SteadyClock
from mailbridge.store.sql import Database, Transaction
from mailbridge.store.sql.lines import tell

LISTEN = "INSERT INTO told (name, line) SELECT CAST(? AS text), coalesce(max(id), 0) FROM journal"
TOLD = "UPDATE told SET line = CASE WHEN line < ? THEN ? ELSE line END WHERE name = ?"
LISTENERS = "listeners"
"""The name that is held while places of listeners change. A listener's own name may be too long for the key of an index."""

RAISE = "INSERT INTO alarm (name, reason, at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET reason = excluded.reason"


class SqlEvents:
    """Implements `mailbridge.store.events.Events`."""

    def __init__(self, *, database: Database, clock: SteadyClock) -> None:
        self._database = database
        self._clock = clock

    async def note(self, event: str, *, identifier: str = "", detail: str = "") -> None:
        """See `Events.note`."""
        await self._database.write(lambda transaction: self._line(transaction, event, identifier, detail))

    async def alarms(self) -> Mapping[str, str]:
        """See `Events.alarms`."""
        return {
            str(name): str(reason) for name, reason in await self._database.rows("SELECT name, reason FROM alarm ORDER BY at")
        }

    async def raise_alarm(self, name: str, reason: str, *, event: str) -> bool:
        """See `Events.raise_alarm`."""

        async def work(transaction: Transaction) -> bool:
            await transaction.hold(f"alarm {name}")
            is_new = not await transaction.rows("SELECT 1 FROM alarm WHERE name = ?", (name,))
            await transaction.change(RAISE, (name, reason, self._clock.micros()))
            if is_new:
                await self._line(transaction, event, "", f"{name}: {reason}")
            return is_new

        return await self._database.write(work)

    async def clear_alarm(self, name: str, *, event: str) -> bool:
        """See `Events.clear_alarm`."""

        async def work(transaction: Transaction) -> bool:
            was_raised = await transaction.change("DELETE FROM alarm WHERE name = ?", (name,)) > 0
            if was_raised:
                await self._line(transaction, event, "", name)
            return was_raised

        return await self._database.write(work)

    async def listen(self, names: Sequence[str]) -> None:
        """See `Events.listen`."""

        async def work(transaction: Transaction) -> None:
            await transaction.hold(LISTENERS)
            known = {name for (name,) in await transaction.rows("SELECT name FROM told")}
            await transaction.change_many("DELETE FROM told WHERE name = ?", [(name,) for name in known - set(names)])
            await transaction.change_many(LISTEN, [(name,) for name in names if name not in known])

        await self._database.write(work)

    async def place(self, name: str) -> int:
        """See `Events.place`."""
        rows = await self._database.rows("SELECT line FROM told WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else 0

    async def told(self, name: str, line: int) -> None:
        """See `Events.told`."""

        async def work(transaction: Transaction) -> None:
            await transaction.hold(LISTENERS)
            if not await transaction.change(TOLD, (line, line, name)):
                await transaction.change("INSERT INTO told (name, line) VALUES (?, ?)", (name, line))

        await self._database.write(work)

    async def _line(self, transaction: Transaction, event: str, identifier: str, detail: str) -> None:
        await tell(transaction, self._clock.micros(), event, 0, None, detail, identifier)
