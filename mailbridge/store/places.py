"""Where the files of a store are on this machine: its database, its key, its socket. Imports no database.

With PostgreSQL there is no database file. Its path is only a name in `StoreSettings.folder`, and the other files are next to it.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from mailbridge.config.settings import StoreSettings

NAME = "mailbridge.db"
POSTGRES = ("postgresql://", "postgres://")


def is_postgres(settings: StoreSettings) -> bool:
    """Whether the database is on a server, where other replicas may share it."""
    return settings.url.startswith(POSTGRES)


def label(settings: StoreSettings) -> str:
    """The name of the database in messages: its file, or a server's URL without the user and without what follows the path."""
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
    """The key file: the configured one, or one next to the database."""
    return settings.key_file or path_of(settings).with_suffix(".key")


def socket_path_of(settings: StoreSettings) -> Path:
    """The socket of the daemon that has the database. It is next to the database, so that two databases in one folder have two
    sockets."""
    return path_of(settings).with_suffix(".sock")
