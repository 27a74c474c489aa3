"""Which process watches which mailbox: leases on accounts, logins at their hosts, and who waits for a code at another process.

A lease has an epoch. Whoever takes an account over gets a higher one, and what a watcher writes under an older one is refused, in the
same transaction that would have written it. Everything raises StoreUnavailable and nothing else, as the rest of the contract.
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
    """An account that another process watches, ``by`` its name; ``state`` is what that one has said of it, JSON."""

    account: str
    by: str
    state: str = "[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSlot:
    """The right to log in to a host, one of a few at once for all processes, until it is given back or its time is over."""

    host: str
    number: int
    until: int


HOLD = 20.0
"""Seconds for which it is believed that somebody waits at a process, unless that is said again."""

NOTHING: Mapping[str, str] = MappingProxyType({})


class Leases(Protocol):
    """Accounts shared out among the processes that have this store. With one process all of them are its own."""

    @property
    def is_certain(self) -> bool:
        """Whether nobody can have taken over what this process was given last; else it has to watch nothing."""
        ...

    async def share(self, accounts: Collection[str], states: Mapping[str, str] = NOTHING) -> Mapping[str, Lease]:
        """The accounts that this process watches from now on, by their names.

        ``accounts`` are those of its configuration: free ones are taken up to a fair share, those beyond it are given back. ``states``
        is what is to be shown of accounts at other processes, kept where it has changed.
        """
        ...

    def mailboxes(self, lease: Lease) -> Mailboxes:
        """The places in mailboxes, for the watcher that has this lease: what it writes later than it has it is refused."""
        ...

    async def give_back(self) -> None:
        """Give all of them back at once, before a stop. What is still written under them is refused."""
        ...

    async def elsewhere(self) -> tuple[Elsewhere, ...]:
        """What other processes watch that are alive."""
        ...

    async def log_in(self, host: str, *, at_once: int) -> LoginSlot | None:
        """Take one of the ``at_once`` logins that all processes together may have under way at a host; None: none is free now."""
        ...

    async def logged_in(self, slot: LoginSlot) -> None:
        """Give it back."""
        ...

    async def await_codes(self, identifiers: Collection[str]) -> None:
        """For these, folded, somebody waits at this process, and for nobody else any more. To be said again within `HOLD`."""
        ...

    async def awaited(self) -> frozenset[str]:
        """For whom somebody waits at another process."""
        ...

    def bell(self) -> AbstractContextManager[Bell]:
        """One that rings, as far as the database can see to that, when somebody begins to wait at another process."""
        ...


class Alone:
    """Implements `Leases` where no other process can have the store: all is its own, and a login needs nobody's leave."""

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
