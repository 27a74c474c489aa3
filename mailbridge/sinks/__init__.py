"""The contract of sinks, which send codes. A sink sends and answers one question; retries are done elsewhere."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import Protocol, runtime_checkable

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Claim, Outcome
from mailbridge.core.happening import Event
from mailbridge.sinks.skyvern_pages import Login


class Sink(Protocol):
    """The contract of a target. No method raises for anything that the network or the target does."""

    async def prepare(self) -> None:
        """Prepare a connection: a push may come soon. A fault shows at the push."""
        ...

    async def push(self, claim: Claim) -> Outcome:
        """Hand the code over once. Never retries by itself, never follows a redirect."""
        ...

    async def holds(self, claim: Claim) -> bool | None:
        """Whether the target's newest row for this identifier is this very code; None when it cannot tell now."""
        ...

    async def identifiers(self) -> tuple[str, ...] | None:
        """The identifiers that the target asks for, as it spells them; None when it cannot tell now."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


@runtime_checkable
class KnowsLogins(Protocol):
    """A target that also knows at which sites its identifiers log in. Raises as little as a `Sink`."""

    async def logins(self) -> tuple[Login, ...] | None:
        """The logins that it knows, with the identifier of each as it spells it; None when it cannot tell now."""
        ...

    async def page_of(self, *, run: str | None, task: str | None) -> str:
        """The page at which a run logs in; "" where it does not say."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFields:
    """What a target may be told of a mail; "" where it is not known, or not kept any more. ``text`` is its plain part (else the text of
    its HTML), ``raw`` the whole of it, ``raw_to`` the first address of its To header as typed."""

    subject: str = field(default="", repr=False)
    sender_name: str = ""
    to: str = ""
    raw_to: str = ""
    message_id: str = ""
    text: str = field(default="", repr=False)
    raw: str = field(default="", repr=False)


GONE = "the receiver wants nothing any more (410)"
"""Why a target is disabled."""


class Records(Protocol):
    """What a target may read from the store. No method raises."""

    def event_id(self, kind: str, number: int, at: datetime) -> str:
        """The id of a delivery or of another event of a moment: the same whenever it is told, and that of no other one, also where a
        database was put back to an older state and gives its numbers again."""
        ...

    async def mail(self, mail_id: int, wanted: frozenset[str]) -> MailFields | None:
        """The fields of a mail, those of ``wanted`` that cost reading it included; None when they cannot be read now."""
        ...


class NoRecords:
    """Records without a store."""

    def event_id(self, kind: str, number: int, at: datetime) -> str:  # noqa: ARG002
        """See `Records.event_id`."""
        return f"{kind}-{number}"

    async def mail(self, mail_id: int, wanted: frozenset[str]) -> MailFields | None:  # noqa: ARG002
        """See `Records.mail`."""
        return MailFields()


@runtime_checkable
class ReadsRecords(Protocol):
    """A target that sends more than the code."""

    def read_from(self, records: Records) -> None:
        """Set the records to read from; called once, before anything is pushed."""
        ...


@runtime_checkable
class Told(Protocol):
    """A target that gets events other than codes. Raises as little as a `Sink`."""

    async def tell(self, event: Event, *, more: int = 0) -> Outcome:
        """Tell it once; ``more`` further events of this kind and subject came since the last one. Never retries by itself."""
        ...
