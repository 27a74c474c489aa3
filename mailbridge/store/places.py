"""Where what belongs to a store lies on this machine: its file, its key, its socket. Imports no database.

With PostgreSQL the file is none, but a name in `StoreSettings.folder` beside which all else lies.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from mailbridge.config.settings import StoreSettings

NAME = "mailbridge.db"
POSTGRES = ("postgresql://", "postgres://")


def is_postgres(settings: StoreSettings) -> bool:
    """Whether the database is a server's, which other replicas may share."""
    return settings.url.startswith(POSTGRES)


def label(settings: StoreSettings) -> str:
    """The database as messages name it: its file; of a server's neither the user nor what follows the path."""
    if not is_postgres(settings):
        return str(path_of(settings))
    parts = urlsplit(settings.url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def path_of(settings: StoreSettings) -> Path:
    """The database file of ``sqlite:///relative`` or ``sqlite:////absolute``."""
    if is_postgres(settings):
        return (settings.folder or Path()) / NAME
    return Path(urlsplit(settings.url).path.removeprefix("/"))


def key_path_of(settings: StoreSettings) -> Path:
    """The key file: as configured, else beside the database."""
    return settings.key_file or path_of(settings).with_suffix(".key")


def socket_path_of(settings: StoreSettings) -> Path:
    """The socket of the daemon that has the database: beside it, so that two databases in one folder have two."""
    return path_of(settings).with_suffix(".sock")
