"""SQLite as one side of a move (`mailbridge.store.moving`).

Differences from other databases are removed on reading: a large mail is in a table of its own, and values that release 0.1.0 has
sealed are bound to the number of their row, which only this database keeps.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apsw
import msgspec

from mailbridge.config.settings import StoreSettings
from mailbridge.store import HALF_MOVED, KEY_IN_CHANGE, StoreError
from mailbridge.store.cipher import Cipher, read_key, sealed_length
from mailbridge.store.moving import Batch, Mark
from mailbridge.store.moving.rows import Full, Row, Table
from mailbridge.store.places import key_path_of, path_of
from mailbridge.store.rows import storable
from mailbridge.store.sql.sealed import SEALED
from mailbridge.store.sqlite.database import MOVING, Database, hint_of, locked_to_open, require_sound_sqlite, unlock
from mailbridge.store.sqlite.large import LARGE
from mailbridge.store.sqlite.rotation import finish as finish_rotation
from mailbridge.store.sqlite.turning import meta_of

OWN = frozenset({"meta", "large", "sqlite_sequence"})
"""Tables that are not moved as they are. What must be moved from them is moved in another way."""

CACHE = -65_536
"""KiB of pages in memory, for the indexes that are filled in random order."""

LOG_PAGES = 10_000
"""Pages of the write-ahead log. From this size on it is copied back."""


class SqliteSide:
    """Implements `mailbridge.store.moving.Side`. No daemon can start on it until it is closed."""

    def __init__(self, path: Path, connection: apsw.Connection, cipher: Cipher, taken: int | None) -> None:
        self._path = path
        self._connection = connection
        self._cipher = cipher
        self._taken = taken
        self._log_pages = 0
        connection.set_wal_hook(self._note)

    @property
    def label(self) -> str:
        """See `Side.label`."""
        return str(self._path)

    def close(self) -> None:
        """Copy the log back, close the database, and let others have it."""
        with contextlib.suppress(apsw.Error):
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._connection.close(True)
        unlock(self._taken)

    async def identity(self) -> str:
        """See `Side.identity`. It uses a value that was sealed when the database was made, which no other database has."""
        with self._faults():
            row: Any = self._connection.execute("SELECT value FROM meta WHERE key = 'seal'").fetchone()
        return hashlib.sha256(row[0]).hexdigest()

    async def tables(self) -> dict[str, Table]:
        """See `Side.tables`."""
        with self._faults():
            names: list[Any] = self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            return {name: self._table(name) for (name,) in names if name not in OWN}

    def _table(self, name: str) -> Table:
        columns: list[Any] = self._connection.execute("SELECT name, pk FROM pragma_table_info(?)", (name,)).fetchall()
        key = sorted((place, column) for column, place in columns if place)
        return Table(name=name, columns=tuple(sorted(column for column, _ in columns)), key=tuple(column for _, column in key))

    async def read(self, table: Table, after: tuple[Any, ...] | None) -> AsyncGenerator[Batch, None]:
        """See `Side.read`."""
        with self._faults():
            for batch in self._batches(table, after):
                yield batch

    def _batches(self, table: Table, after: tuple[Any, ...] | None) -> Iterator[Batch]:
        key = ", ".join(table.key)
        marks = ", ".join("?" * len(table.key))
        where = f"WHERE ({key}) > ({marks})" if after is not None else ""
        query = f"SELECT {', '.join(table.columns)} FROM {table.name} {where} ORDER BY {key}"  # noqa: S608  (names of columns)
        places = [table.place(column) for column in table.key]
        alike = self._alike(table)
        full, rows, last = Full(), [], None
        for found in self._connection.execute(query, after or ()):
            row = alike(found)
            rows.append(row)
            last = tuple(found[place] for place in places)
            if full.is_full(row):
                yield Batch(rows, last)
                rows = []
        if rows and last is not None:
            yield Batch(rows, last)

    def _alike(self, table: Table) -> Callable[[Row], Row]:
        """A function that turns a row of this table into one that every database can store."""
        if table.name == "mail":
            number, raw = table.place("id"), table.place("raw")
            return lambda row: self._with_uid(table, tuple(map(storable, self._with_octets(row, number, raw))))
        return lambda row: self._with_uid(table, tuple(map(storable, row)))

    def _with_octets(self, row: Row, number: int, raw: int) -> Row:
        """A mail with its octets, if they are in a table of their own."""
        if row[raw] != b"":
            return row
        found: Any = self._connection.execute("SELECT octets FROM large WHERE mail_id = ?", (row[number],)).fetchone()
        return row if found is None else (*row[:raw], found[0], *row[raw + 1 :])

    def _with_uid(self, table: Table, row: Row) -> Row:
        """Seal the values of release 0.1.0 again, bound to a uid that follows from the row's key. A value that does not open
        stays as it is."""
        if "uid" not in table.columns or row[table.place("uid")] is not None:
            return row
        values = list(row)
        uid = self._cipher.uid_of(f"{table.name} {values[table.place(table.key[0])]}")
        values[table.place("uid")] = uid
        for name, column, key, bound_to in SEALED:
            if name == table.name and (sealed := values[table.place(column)]):
                own = values[table.place(key)]
                value = self._cipher.open(sealed, bound_to(None, own))
                if value is not None:
                    values[table.place(column)] = self._cipher.seal_alike(value, bound_to(uid, own))
        return tuple(values)

    async def counters(self) -> dict[str, int]:
        """See `Side.counters`. A table without a counter gives its highest number plus one."""
        with self._faults():
            rows: list[Any] = self._connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
            kept: dict[str, int] = dict(rows)
            found = {}
            for table in (await self.tables()).values():
                if table.key == ("id",):
                    row: Any = self._connection.execute(f"SELECT max(id) FROM {table.name}").fetchone()  # noqa: S608
                    found[table.name] = max(kept.get(table.name, 0), row[0] or 0)
        return found

    async def handed_on(self) -> bytes | None:
        """See `Side.handed_on`."""
        with self._faults():
            row: Any = self._connection.execute("SELECT value FROM meta WHERE key = 'handed on'").fetchone()
        return None if row is None else row[0]

    async def mark(self) -> Mark | None:
        """See `Side.mark`."""
        with self._faults():
            rows: list[Any] = self._connection.execute("SELECT value FROM meta WHERE key IN ('moving', 'moved')").fetchall()
        return msgspec.json.decode(rows[0][0], type=Mark) if rows else None

    async def is_empty(self, table: Table) -> bool:
        """See `Side.is_empty`."""
        with self._faults():
            return self._connection.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone() is None  # noqa: S608

    async def write(self, table: Table, rows: list[Row], mark: Mark) -> None:
        """See `Side.write`."""
        with self._faults(), self._connection:
            if rows:
                self._insert(table, rows)
            self._keep(mark)
        self._copy_back()

    def _insert(self, table: Table, rows: list[Row]) -> None:
        """Add rows as they are. Meanwhile the trigger is disabled that refuses a new delivery in a final state."""
        if table.name == "mail":
            rows = [self._without_octets(table, row) for row in rows]
        trigger = _triggers(self._connection, table.name, "BEFORE INSERT")
        for name, _ in trigger:
            self._connection.execute(f"DROP TRIGGER {name}")
        statement = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({', '.join('?' * len(table.columns))})"  # noqa: S608
        self._connection.executemany(statement, rows)
        for _, text in trigger:
            self._connection.execute(text)

    def _without_octets(self, table: Table, row: Row) -> Row:
        """The row of a large mail, after its octets were stored in their own table."""
        raw = table.place("raw")
        if row[raw] is None or len(row[raw]) <= sealed_length(b"") + LARGE:
            return row
        values = (row[table.place("id")], row[table.place("uid")], row[raw])
        self._connection.execute("INSERT INTO large (mail_id, uid, octets) VALUES (?, ?, ?)", values)
        return (*row[:raw], b"", *row[raw + 1 :])

    async def finish(self, counters: Mapping[str, int], handed_on: bytes | None, mark: Mark) -> None:
        """See `Side.finish`."""
        with self._faults(), self._connection:
            kept = _counted(self._connection)
            for name in kept & counters.keys():
                self._connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
                self._connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, counters[name]))
            if handed_on is not None:
                self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('handed on', ?)", (handed_on,))
            self._keep(mark)
        self._copy_back()

    def _keep(self, mark: Mark) -> None:
        self._connection.execute("DELETE FROM meta WHERE key IN ('moving', 'moved')")
        value = msgspec.json.encode(mark).decode()
        self._connection.execute("INSERT INTO meta VALUES (?, ?)", ("moved" if mark.is_over else MOVING, value))

    def _note(self, _: apsw.Connection, __: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _copy_back(self) -> None:
        """Keep the log short. Nothing else does that here."""
        if self._log_pages >= LOG_PAGES:
            self._log_pages = 0
            with self._faults():
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as fault:
            raise StoreError(f"{self._path}: {hint_of(fault)}") from None


def open_side(settings: StoreSettings, *, is_target: bool) -> SqliteSide:
    """Open the database for a move. It is brought up to date as at a start, and created if the target does not exist.

    Raises:
        StoreInUse: a daemon has it.
        StoreError: it cannot be used; the message says why.
    """
    require_sound_sqlite()
    path = path_of(settings)
    if not is_target and not path.exists():
        raise StoreError(f"{path}: no database there")
    with locked_to_open(path) as taken:
        return _opened(settings, path, taken, is_target=is_target)


def _opened(settings: StoreSettings, path: Path, taken: int | None, *, is_target: bool) -> SqliteSide:
    database = Database(path, settings)
    connection = database.connect()
    try:
        is_empty = database.is_empty(connection)
        if is_empty and not is_target:
            raise StoreError(f"{path}: an empty database; there is nothing to move")
        if not is_empty:
            finish_rotation(connection, key_path_of(settings))
            if meta_of(connection, "rotation") is not None:
                raise StoreError(f"{path}: {KEY_IN_CHANGE}")
        cipher = Cipher(read_key(key_path_of(settings), is_made=False))
        database.check(connection, cipher, is_visitor=False, is_moving=True)
        if not is_target and meta_of(connection, MOVING) is not None:
            raise StoreError(f"{path}: {HALF_MOVED}")
        connection.pragma("cache_size", CACHE)
    except BaseException:
        connection.close(True)
        raise
    return SqliteSide(path, connection, cipher, taken)


def _triggers(connection: apsw.Connection, table: str, when: str) -> list[tuple[str, str]]:
    """Name and text of a table's triggers of one kind."""
    query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? AND instr(sql, ?) > 0"
    rows: list[Any] = connection.execute(query, (table, when)).fetchall()
    return [(name, text) for name, text in rows]


def _counted(connection: apsw.Connection) -> set[str]:
    """The tables that remember the last number that they assigned."""
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND instr(sql, 'AUTOINCREMENT') > 0"
    rows: list[Any] = connection.execute(query).fetchall()
    return {name for (name,) in rows}
