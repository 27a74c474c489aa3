"""A disk that fails when a test says so: SQLite's files through a layer that refuses to write, or to bring to the disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import apsw


class FaultyFiles(apsw.VFS):
    """The files of the operating system, for every connection that is opened while this is the default."""

    def __init__(self) -> None:
        self.is_full = False
        self.is_unwritable = False
        super().__init__("faulty", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  (SQLite's name)
        """See SQLite."""
        return _File(self, name, flags)

    @contextmanager
    def full(self) -> Iterator[None]:
        """No octet more finds room: ENOSPC at every write."""
        self.is_full = True
        try:
            yield
        finally:
            self.is_full = False

    @contextmanager
    def unwritable(self) -> Iterator[None]:
        """What is written does not come to the disk: EIO at every fsync."""
        self.is_unwritable = True
        try:
            yield
        finally:
            self.is_unwritable = False


@asynccontextmanager
async def faulty_files() -> AsyncIterator[FaultyFiles]:
    """Under every database that is opened in the block."""
    files = FaultyFiles()
    try:
        yield files
    finally:
        files.unregister()


class _File(apsw.VFSFile):
    def __init__(self, files: FaultyFiles, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._files = files

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._files.is_full:
            raise apsw.FullError("no room, as the test wants it")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._files.is_unwritable:
            raise apsw.IOError("not on the disk, as the test wants it")
        super().xSync(flags)
