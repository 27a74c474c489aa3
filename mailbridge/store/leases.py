"""Which process watches which mailbox: leases on accounts, logins at their hosts, and who waits for a code at another process.

A lease has an epoch. A process that takes over an account gets a higher one. What a watcher writes with an older epoch is
refused, in the same transaction that would have written it. Everything raises only StoreUnavailable, like the rest of the
contract.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Lease
from mailbridge.store.bells import Bells
from mailbridge.waiting import Bell

if TYPE_CHECKING:
    from mailbridge.store import Mailboxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """An account that another process watches. ``by`` is the name of that process, ``state`` the JSON that it has published."""

    account: str
    by: str
    state: str = "[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSlot:
    """The right to log in to a host. All processes together have only a few at a time. It ends when it is given back or
    expires."""

    host: str
    number: int
    until: int


HOLD = 20.0
"""Seconds for which a report that somebody waits at a process counts, unless it is repeated."""

NOTHING: Mapping[str, str] = MappingProxyType({})


class Leases(Protocol):
    """Accounts shared among the processes on this store. A single process has them all."""

    @property
    def is_certain(self) -> bool:
        """Whether certainly nobody has taken over what this process was given last. If not, it must watch nothing."""
        ...

    async def share(self, accounts: Collection[str], states: Mapping[str, str] = NOTHING) -> Mapping[str, Lease]:
        """The accounts that this process watches from now on, by their names.

        ``accounts`` are those of its configuration. It takes free ones up to a fair share, and gives back those beyond it.
        ``states`` is what other processes may show of these accounts; it is written only if it has changed.
        """
        ...

    def mailboxes(self, lease: Lease) -> Mailboxes:
        """The places in mailboxes, for the watcher that has this lease. What it writes after the lease has ended is refused."""
        ...

    async def give_back(self) -> None:
        """Give all accounts back at once, before a stop. Later writes with these leases are refused."""
        ...

    async def elsewhere(self) -> tuple[Elsewhere, ...]:
        """What other live processes watch."""
        ...

    async def log_in(self, host: str, *, at_once: int) -> LoginSlot | None:
        """Take one of the ``at_once`` logins that all processes together may make at a host at a time. None: none is free now."""
        ...

    async def logged_in(self, slot: LoginSlot) -> None:
        """Give the login slot back."""
        ...

    async def await_codes(self, identifiers: Collection[str]) -> None:
        """Report that somebody waits at this process for these identifiers (folded), and for no others. Repeat it within
        `HOLD`."""
        ...

    async def awaited(self) -> frozenset[str]:
        """The identifiers for which somebody waits at another process."""
        ...

    def bell(self) -> AbstractContextManager[Bell]:
        """A bell that rings when somebody begins to wait at another process, as far as the database can tell."""
        ...


class Alone:
    """Implements `Leases` for a store that no other process can have: this process has all accounts, and logins need no
    permission."""

    def __init__(self, mailboxes: Mailboxes) -> None:
        self._mailboxes = mailboxes
        self._bells = Bells()

    @property
    def is_certain(self) -> bool:
        """See `Leases.is_certain`."""
        return True

    async def share(self, accounts: Collection[str], states: Mapping[str, str] = NOTHING) -> Mapping[str, Lease]:  # noqa: ARG002
        """See `Leases.share`."""
        return {one: Lease(account=one) for one in accounts}

    def mailboxes(self, lease: Lease) -> Mailboxes:  # noqa: ARG002
        """See `Leases.mailboxes`."""
        return self._mailboxes

    async def give_back(self) -> None:
        """See `Leases.give_back`."""

    async def elsewhere(self) -> tuple[Elsewhere, ...]:
        """See `Leases.elsewhere`."""
        return ()

    async def log_in(self, host: str, *, at_once: int) -> LoginSlot | None:  # noqa: ARG002
        """See `Leases.log_in`."""
        return LoginSlot(host=host, number=0, until=0)

    async def logged_in(self, slot: LoginSlot) -> None:
        """See `Leases.logged_in`."""

    async def await_codes(self, identifiers: Collection[str]) -> None:
        """See `Leases.await_codes`."""

    async def awaited(self) -> frozenset[str]:
        """See `Leases.awaited`."""
        return frozenset()

    def bell(self) -> AbstractContextManager[Bell]:
        """See `Leases.bell`."""
        return self._bells.bell()
