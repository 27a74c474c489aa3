"""What a waiting client can get from a store: the codes of mails, and authenticator secrets.

Everything raises only StoreUnavailable, as does the rest of the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Literal, Protocol

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.core.totp import Authenticator

Kind = Literal["code", "link"]
Way = Literal["pull", "api"]
ANYTHING: tuple[Kind, ...] = ("code", "link")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A code or link that a client may have. Times are aware UTC. ``expires_at`` is when it expires by its mail or rule.

    ``workflow_run_id``, ``workflow_id`` or ``task_id`` is set if the recipient address bound the code to one. Then nobody else
    gets it.
    """

    mail_id: int
    identifier: str
    kind: Kind
    value: Secret
    sender: str
    rule: str | None
    received_at: datetime
    expires_at: datetime
    workflow_run_id: str | None = None
    workflow_id: str | None = None
    task_id: str | None = None
    is_consumed: bool = False

    @property
    def what(self) -> str:
        """Its name in the records of what was given."""
        return f"mail {self.mail_id}"

    @property
    def run(self) -> str | None:
        """The id that it is bound to, if any."""
        return self.workflow_run_id or self.workflow_id or self.task_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which code is wanted. ``since`` (aware UTC, included) is the earliest allowed receipt; None: any live code.

    ``sender`` is an address, a domain (including its subdomains) or a pattern with ``*``. A code that is bound to a run is given
    only to a client that names that run in ``runs``. A stranger's code that is held is given only to a client that asks for it by
    name: its proven domain is one of ``sites``, or its proven sender is ``sender`` or one of ``expected``.
    """

    identifier: str
    kinds: tuple[Kind, ...] = ANYTHING
    since: datetime | None = None
    sender: str = ""
    runs: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()

    def is_from(self, sender: str) -> bool:
        """Whether a mail's sender is the wanted one."""
        return not self.sender or is_of(sender, self.sender)

    @property
    def is_any_named(self) -> bool:
        """Whether a sender is asked for by name."""
        return bool(self.sender or self.expected or self.sites)

    def names(self, sender: str, domain: str) -> bool:
        """Whether this sender is asked for by name. ``domain`` is the sender's proven domain; "" means that none is proven."""
        named = [one for one in (self.sender, *self.expected) if one and not _is_anybody(one)]
        return domain != "" and (domain in self.sites or any(is_of(sender, one) for one in named))


def is_of(sender: str, wanted: str) -> bool:
    """Whether a sender is this address, or belongs to this domain (including its subdomains) or pattern with ``*``."""
    wanted, sender = wanted.casefold(), sender.casefold()
    if wanted == sender or fnmatchcase(sender, wanted):
        return True
    domain = sender.rpartition("@")[2]
    bare = wanted.removeprefix("@")
    return "@" not in bare and (domain == bare or domain.endswith(f".{bare}"))


def _is_anybody(wanted: str) -> bool:
    """Whether a pattern names nobody, because its domain is left open."""
    return "*" in wanted.rpartition("@")[2].removeprefix("*.") or "." not in wanted.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """One poll of a run. ``run`` names it among the runs of this identifier. ``runs`` are the ids that its codes may be bound to.

    ``grace`` is how long before the run's first poll its mail may have come. ``is_new``: earlier polls under this name were of
    another run. ``kind`` is what it asks for. ``sites`` are the domains of the run's own pages.
    """

    identifier: str
    run: str
    kind: Kind = "code"
    sites: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    grace: timedelta = timedelta()
    is_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What somebody was given, and when. ``what`` is ``mail N`` or ``totp NAME COUNTER``, never the code."""

    identifier: str
    way: Way
    reader: str
    what: str
    first_at: datetime
    last_at: datetime
    times: int
    is_consumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTotp:
    """An authenticator with its name, and the identifier that it answers for, if any."""

    name: str
    identifier: str | None
    authenticator: Authenticator
    created_at: datetime


def literal(identifier: str) -> str:
    """An identifier as a pattern that matches only itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in identifier)


class Codes(Protocol):
    """Codes for waiting clients."""

    async def pull(self, poll: Poll) -> Code | None:
        """The newest live code that this run may have; it is recorded as given. The same code again until a newer one comes."""
        ...

    async def newest(self, wanted: Wanted) -> Code | None:
        """The newest live code that is wanted and not consumed. A caller that gives it away must report that with `note`."""
        ...

    async def consume(self, wanted: Wanted, *, reader: str) -> Code | None:
        """Like `newest`, but nobody else gets the code afterwards. No code is consumed twice."""
        ...

    async def live(self, *, identifiers: Sequence[str], since: datetime | None = None, limit: int = 100) -> tuple[Code, ...]:
        """Every live code of identifiers (patterns with ``*``), newest first."""
        ...

    async def note(self, identifier: str, *, way: Way, reader: str, what: str, is_consumed: bool) -> bool:
        """Record that ``what`` (see `Given`) was given. False: it was consumed before, and must not be given."""
        ...

    async def given(self, *, limit: int = 100) -> tuple[Given, ...]:
        """What was given to whom, newest first."""
        ...


class Vault(Protocol):
    """Authenticator secrets."""

    async def add_totp(self, name: str, authenticator: Authenticator, *, identifier: str | None) -> bool:
        """Store a secret, encrypted. False: the name is taken, or another secret answers for the identifier."""
        ...

    async def totps(self) -> tuple[StoredTotp, ...]:
        """Every authenticator, by name."""
        ...

    async def totp(self, name: str) -> StoredTotp | None:
        """One authenticator."""
        ...

    async def bound(self, identifier: str) -> StoredTotp | None:
        """The authenticator that answers for an identifier."""
        ...

    async def bind_totp(self, name: str, identifier: str | None) -> bool:
        """Let a secret answer for another identifier, or for none. False as for `add_totp`, or if there is none with that
        name."""
        ...

    async def remove_totp(self, name: str) -> bool:
        """Erase a secret. False if there is none with that name."""
        ...
