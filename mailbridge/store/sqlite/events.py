"""Lines of the journal that no mail has, alarms, and how far listeners have been told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw

from mailbridge.clock import SteadyClock
from mailbridge.store.sqlite.readers import Readers
from mailbridge.store.sqlite.rows import journal
from mailbridge.store.sqlite.writer import Writer

LISTEN = "INSERT OR IGNORE INTO told SELECT ?, coalesce(max(id), 0) FROM journal"
TOLD = "INSERT INTO told VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET line = max(line, excluded.line)"
RAISE = "INSERT INTO alarm VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET reason = excluded.reason"


class SqliteEvents:
    """Implements `mailbridge.store.events.Events`."""

    def __init__(self, *, writer: Writer, readers: Readers, clock: SteadyClock) -> None:
        self._writer = writer
        self._readers = readers
        self._clock = clock

    async def note(self, event: str, *, identifier: str = "", detail: str = "") -> None:
        """See `Events.note`."""
        await self._writer.do(lambda connection: self._line(connection, event, identifier, detail))

    async def alarms(self) -> Mapping[str, str]:
        """See `Events.alarms`."""
        return {str(name): str(reason) for name, reason in await self._readers.rows("SELECT name, reason FROM alarm ORDER BY at")}

    async def raise_alarm(self, name: str, reason: str, *, event: str) -> bool:
        """See `Events.raise_alarm`."""

        def work(connection: apsw.Connection) -> bool:
            is_new = connection.execute("SELECT 1 FROM alarm WHERE name = ?", (name,)).fetchone() is None
            connection.execute(RAISE, (name, reason, self._clock.micros()))
            if is_new:
                self._line(connection, event, "", f"{name}: {reason}")
            return is_new

        return await self._writer.do(work)

    async def clear_alarm(self, name: str, *, event: str) -> bool:
        """See `Events.clear_alarm`."""

        def work(connection: apsw.Connection) -> bool:
            connection.execute("DELETE FROM alarm WHERE name = ?", (name,))
            was_raised = connection.changes() > 0
            if was_raised:
                self._line(connection, event, "", name)
            return was_raised

        return await self._writer.do(work)

    async def listen(self, names: Sequence[str]) -> None:
        """See `Events.listen`."""

        def work(connection: apsw.Connection) -> None:
            known = {name for (name,) in connection.execute("SELECT name FROM told")}
            connection.executemany("DELETE FROM told WHERE name = ?", [(name,) for name in known - set(names)])
            connection.executemany(LISTEN, [(name,) for name in names if name not in known])

        rows = await self._readers.rows("SELECT name FROM told")
        if {name for (name,) in rows} != set(names):
            await self._writer.do(work)

    async def place(self, name: str) -> int:
        """See `Events.place`."""
        rows = await self._readers.rows("SELECT line FROM told WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else 0

    async def told(self, name: str, line: int) -> None:
        """See `Events.told`."""
        await self._writer.do(lambda connection: connection.execute(TOLD, (name, line)))

    def _line(self, connection: apsw.Connection, event: str, identifier: str, detail: str) -> None:
        journal(connection, self._clock.micros(), event, 0, None, detail, identifier)
