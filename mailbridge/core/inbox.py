"""A throw-away inbox: an address that nobody can guess, for one purpose, for a while."""

from __future__ import annotations

import re
from datetime import datetime

from mailbridge.core.dataclass import dataclass
from mailbridge.core.recipients import ALPHABET, RANDOM_LENGTH

PREFIX = "inbox"
TARGET = "inbox"
"""The name of the target of codes that are kept for who asks, and go nowhere. No `[[target]]` may have it."""

SHAPE = re.compile(rf"(?i){PREFIX}-[{ALPHABET}]{{{RANDOM_LENGTH}}}(?:\+[^@]*)?@[^@]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """One inbox while it lives. Its address is the identifier of its codes too.

    ``senders`` are the domains and addresses whose mail it takes, empty: those of whoever proves himself. ``owner`` is the key of the
    caller who made it. ``is_pushed``: its codes also go to the targets; else only to who asks for them. Times are aware UTC.
    """

    id: int
    address: str
    senders: tuple[str, ...] = ()
    owner: str = ""
    created_at: datetime
    expires_at: datetime
    is_pushed: bool = False

    @property
    def identifier(self) -> str:
        """Under which its codes are asked for."""
        return self.address


def base_of(rcpt: str) -> str:
    """An address without its plus tag, folded: what it is compared by."""
    local, _, domain = rcpt.casefold().rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def looks_like_inbox(rcpt: str) -> bool:
    """Whether an address has the shape of an inbox's, living or not."""
    return SHAPE.fullmatch(rcpt) is not None
