"""What somebody who waits may have out of a store: the codes of mails, and authenticator secrets.

Everything raises StoreUnavailable and nothing else, as the rest of the contract.
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
    """A code or link that somebody may have. Times are aware UTC; ``expires_at`` is when its mail or rule says it is over.

    ``workflow_run_id``, ``workflow_id`` or ``task_id`` is set where the recipient address bound it to one: nobody else gets it.
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
        """What it is, in records of what was given."""
        return f"mail {self.mail_id}"

    @property
    def run(self) -> str | None:
        """The id that it is bound to, if any."""
        return self.workflow_run_id or self.workflow_id or self.task_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which code is asked for. ``since`` (aware UTC, included) is the oldest receipt that will do; None: any that lives.

    ``sender`` is an address, a domain (its subdomains too) or a pattern with ``*``. A code that is bound to a run is only given to
    who names that run in ``runs``. A stranger's that is held is only given to who asks for it by name: its proven domain is one of
    ``sites``, or its proven sender is the one asked for, or one of those ``expected`` before.
    """

    identifier: str
    kinds: tuple[Kind, ...] = ANYTHING
    since: datetime | None = None
    sender: str = ""
    runs: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()

    def is_from(self, sender: str) -> bool:
        """Whether a mail's sender is the one asked for."""
        return not self.sender or is_of(sender, self.sender)

    @property
    def is_any_named(self) -> bool:
        """Whether a sender is asked for by name."""
        return bool(self.sender or self.expected or self.sites)

    def names(self, sender: str, domain: str) -> bool:
        """Whether this sender is asked for by name; ``domain`` is his proven one, and "" is nobody's."""
        named = [one for one in (self.sender, *self.expected) if one and not _is_anybody(one)]
        return domain != "" and (domain in self.sites or any(is_of(sender, one) for one in named))


def is_of(sender: str, wanted: str) -> bool:
    """Whether a sender is an address, of a domain (its subdomains too), or of a pattern with ``*``."""
    wanted, sender = wanted.casefold(), sender.casefold()
    if wanted == sender or fnmatchcase(sender, wanted):
        return True
    domain = sender.rpartition("@")[2]
    bare = wanted.removeprefix("@")
    return "@" not in bare and (domain == bare or domain.endswith(f".{bare}"))


def _is_anybody(wanted: str) -> bool:
    """Whether a pattern names nobody: its domain is left open."""
    return "*" in wanted.rpartition("@")[2].removeprefix("*.") or "." not in wanted.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """One poll of a run. ``run`` names it among the runs of this identifier; ``runs`` are the ids that its codes may be bound to.

    ``grace``: how long before the run's first poll its mail may have come. ``is_new``: whatever polled under this name before was
    another run. ``kind`` is what it asks for; ``sites`` are the domains of the run's own pages.
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
    """What somebody was given, and when: ``what`` is ``mail N`` or ``totp NAME COUNTER``, never the code."""

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
    """An authenticator under its name, and the identifier that it answers for, if any."""

    name: str
    identifier: str | None
    authenticator: Authenticator
    created_at: datetime


def literal(identifier: str) -> str:
    """An identifier as a pattern that matches only itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in identifier)


class Codes(Protocol):
    """Codes for whoever waits."""

    async def pull(self, poll: Poll) -> Code | None:
        """The newest live code that this run may have, and note that it was given; the same again until a newer one comes."""
        ...

    async def newest(self, wanted: Wanted) -> Code | None:
        """The newest live code that is wanted and that nobody has consumed. Whoever gives it away says so by `note`."""
        ...

    async def consume(self, wanted: Wanted, *, reader: str) -> Code | None:
        """As `newest`, and nobody gets it afterwards; two never consume one."""
        ...

    async def live(self, *, identifiers: Sequence[str], since: datetime | None = None, limit: int = 100) -> tuple[Code, ...]:
        """Every live code of identifiers (patterns with ``*``), newest first."""
        ...

    async def note(self, identifier: str, *, way: Way, reader: str, what: str, is_consumed: bool) -> bool:
        """Note that ``what`` (see `Given`) was given. False: it was consumed before, and must not be given."""
        ...

    async def given(self, *, limit: int = 100) -> tuple[Given, ...]:
        """What was given to whom, newest first."""
        ...


class Vault(Protocol):
    """Authenticator secrets."""

    async def add_totp(self, name: str, authenticator: Authenticator, *, identifier: str | None) -> bool:
        """Keep a secret, encrypted. False: the name is taken, or another secret answers for the identifier."""
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
        """Let a secret answer for another identifier, or for none. False as for `add_totp`, or if there is none of that name."""
        ...

    async def remove_totp(self, name: str) -> bool:
        """Erase a secret; False if there is none of that name."""
        ...
