"""What is wrong with `[store]`: a URL of no database, or one that contains a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from mailbridge.config.settings import StoreSettings

SQLITE = re.compile(r"sqlite:///[^?#]*[^/?#]")
SERVERS = ("postgresql", "postgres")
URL = (
    "must be sqlite:///path/to/mailbridge.db, with a fourth slash where the path is absolute, or postgresql://user@host/database"
)
WITHOUT_CHECK = ("allow", "prefer", "require")
"""Values of sslmode that encrypt to whoever answers, or do not encrypt."""


def store_mistakes(store: StoreSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with a store, by key."""
    scheme = store.url.partition(":")[0]
    if scheme in SERVERS:
        yield from (("url", what) for what in _server(store.url))
    elif store.url and not SQLITE.fullmatch(store.url):
        yield "url", URL
    if store.listen_url:
        is_server = store.listen_url.partition(":")[0] in SERVERS
        yield from (("listen_url", what) for what in _server(store.listen_url) if is_server)
        if scheme == "sqlite" or not is_server:
            yield "listen_url", "is for a postgresql:// url, and one itself"
    if scheme == "sqlite" and store.password is not None:
        yield "password", "is for a postgresql:// url; an SQLite file has none"
    if scheme == "sqlite" and store.folder is not None:
        yield "folder", "is for a postgresql:// url; with SQLite everything lies beside the database"


def _server(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None
        hosts = parts.netloc.rpartition("@")[2].split(",")
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        yield URL
        return
    if has_password or "password" in query:
        yield "holds a password; put that into [store] password, or a file that password_file names"
    if len(parts.path) < 2 or "/" in parts.path[1:] or not all(hosts):
        yield URL
    if query.get("sslmode", [""])[-1] in WITHOUT_CHECK and "sslrootcert" in query:
        yield "sslrootcert checks nothing with this sslmode; use sslmode=verify-full"
