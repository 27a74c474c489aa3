"""The files of a SQLite store: where they lie, who may read them, and who has them open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mailbridge.config.settings import StoreSettings
from mailbridge.store import StoreError, StoreInUse

PREFIX = "sqlite:///"


def database_path(settings: StoreSettings) -> Path:
    """The path in ``sqlite:///PATH`` (relative to the working directory; a fourth slash makes it absolute)."""
    if not settings.url.startswith(PREFIX) or len(settings.url) == len(PREFIX):
        raise StoreError(f"store.url: {settings.url!r} is not sqlite:///PATH")
    return Path(settings.url.removeprefix(PREFIX))


def key_path(settings: StoreSettings) -> Path:
    """Where the key lies: as configured, else beside the database."""
    path = database_path(settings)
    return settings.key_file or path.with_name(path.name + ".key")


def prepare(path: Path) -> None:
    """Make the directory (0700) and an empty database file (0600) where they are missing, whatever the umask.

    SQLite gives its -wal and -shm the mode of the database file.
    """
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.parent.chmod(0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise StoreError(
            f"{path}: cannot open the database: {fault.strerror}; its directory must be writable for this user"
        ) from None
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


class Lock:
    """Held by the one process that has a database open; the kernel gives it back when that process ends."""

    def __init__(self, path: Path) -> None:
        """Raises StoreInUse if another holds it."""
        self._path = path.with_name(path.name + ".lock")
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise StoreError(f"{self._path}: cannot make the lock file: {fault.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreInUse(
                f"{path}: already open in another mailbridge (process {holder or 'unknown'}); "
                "stop that one, or give this one a store.url of its own"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Give it back. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._descriptor)
