"""Keeps a form that needed a younger login, until whoever sent it has logged in again: in memory alone, and never for long.

What it holds may be a password or the seed of an authenticator. It is bound to the session, written nowhere, shown to nobody (a page
tells only which fields are kept), and dropped once it is sent, given up, or out of time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

from mailbridge.core.dataclass import dataclass
from mailbridge.web.pages.door import CSRF

KEPT_FOR = timedelta(minutes=10)
"""As long as a login link lives, and time to find the terminal."""

MOST_KEPT = 16 * 1_048_576
"""Octets of all forms together; a form with a photo of a screen is the largest. The oldest forms are dropped first."""

SHOWS = frozenset({"mail.reveal", "mail.raw", "mail.text", "code.reveal", "totp.code", "setup.reveal"})
"""Forms without typed input: a click that reveals a secret, which can be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A form as it was sent: ``name`` is that of its path, ``number`` the one in the path, ``request`` its idempotency key."""

    name: str
    number: int
    form: Mapping[str, list[str]]
    files: Mapping[str, bytes]
    request: str
    until: datetime

    @property
    def size(self) -> int:
        """Its approximate size in octets."""
        typed = sum(len(value) for values in self.form.values() for value in values)
        return typed + sum(len(one) for one in self.files.values())


class Keeping:
    """At most one form for each session, by its number."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Kept] = OrderedDict()

    def keep(self, session: int, kept: Kept) -> None:
        """Keep this one in place of an earlier one of the session."""
        form = {name: values for name, values in kept.form.items() if name not in (CSRF, "once")}
        self._kept.pop(session, None)
        self._kept[session] = Kept(
            name=kept.name, number=kept.number, form=form, files=kept.files, request=kept.request, until=kept.until
        )
        while sum(one.size for one in self._kept.values()) > MOST_KEPT:
            self._kept.popitem(last=False)

    def of(self, session: int, now: datetime) -> Kept | None:
        """The form that is kept for a session; None if there is none or it is too old. Old forms are dropped at each call."""
        for number in [number for number, one in self._kept.items() if one.until <= now]:
            del self._kept[number]
        return self._kept.get(session)

    def move(self, before: int, after: int) -> None:
        """A new login takes over the form of the login before it."""
        kept = self._kept.pop(before, None)
        if kept is not None:
            self._kept[after] = kept

    def drop(self, session: int) -> None:
        """Keep nothing for a session any more."""
        self._kept.pop(session, None)
