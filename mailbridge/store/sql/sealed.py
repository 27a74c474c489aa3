"""Every sealed column of a database: table, column, the row's own name, and what its values are bound to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mailbridge.store.cipher import place
from mailbridge.store.sql.vault import totp_place

Sealed = tuple[str, str, str, Callable[[bytes | None, Any], str]]

SEALED: tuple[Sealed, ...] = (
    ("mail", "private", "id", partial(place, "mail")),
    ("mail", "link", "id", partial(place, "link")),
    ("mail", "raw", "id", partial(place, "raw")),
    ("delivery", "content", "id", partial(place, "delivery")),
    ("entry", "secrets", "id", partial(place, "entry")),
    ("totp", "sealed", "name", totp_place),
    ("answered", "answer", "key", partial(place, "answered")),
)
