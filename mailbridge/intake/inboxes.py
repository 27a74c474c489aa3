"""Throw-away inboxes in memory: which addresses are theirs, and where the codes of each go. What is true is in the store.

Belongs to one event loop. Every question is answered by the time of asking, so that an inbox ends on time, whenever it is erased.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from mailbridge.core.dataclass import dataclass
from mailbridge.core.identification import Identification
from mailbridge.core.inbox import PREFIX, SHAPE, TARGET, Inbox, base_of, looks_like_inbox
from mailbridge.core.mail import Envelope
from mailbridge.core.recipients import RANDOM_LENGTH, Recipient, unguessable_address
from mailbridge.intake.drafts import Routes
from mailbridge.intake.meaning import Addressed, Understanding
from mailbridge.store import inboxes as store

HEAD = 65_536
"""Octets of a fetched mail in which an address is looked for: a mailbox has no recipient of ours."""

IN_HEAD = re.compile(SHAPE.pattern.replace("[^@]+", r"[a-z0-9.-]+").replace("[^@]*", r"[^@\s]*"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Where codes go: those of an inbox to who asks alone, unless they are pushed too; everybody else's as before."""

    routes: Routes
    inboxes: Mapping[str, Inbox]

    def targets(self, identifier: str) -> Sequence[str]:
        """See `Routes.targets`."""
        inbox = self.inboxes.get(identifier.casefold())
        return self.routes.targets(identifier) if inbox is None or inbox.is_pushed else (TARGET,)


class Inboxes:
    """The inboxes that have not ended. ``now`` is the store's steady clock, ``dice`` gives random octets."""

    def __init__(self, *, kept: store.Inboxes, now: Callable[[], datetime], dice: Callable[[int], bytes]) -> None:
        self._kept = kept
        self._now = now
        self._dice = dice
        self._inboxes: Mapping[str, Inbox] = {}  # never changed, always replaced

    async def load(self) -> None:
        """Read those that an earlier run has left, or another process has made. Raises StoreUnavailable."""
        before = self._inboxes
        found = {one.address.casefold(): one for one in await self._kept.live()}
        made = {line: one for line, one in self._inboxes.items() if line not in before}  # meanwhile, here
        self._inboxes = found | made

    def address(self, domain: str) -> str:
        """An address at a domain that nobody guesses, and that nobody had before."""
        return unguessable_address(domain, self._dice(RANDOM_LENGTH), prefix=PREFIX)

    async def create(
        self, address: str, *, owner: str, lifetime: timedelta, senders: Sequence[str], is_pushed: bool, most: int
    ) -> Inbox | None:
        """A new inbox at an address; it takes mail when this returns. None where ``owner`` has ``most`` already.

        Raises:
            StoreUnavailable: it was not made.
        """
        self._forget()
        made = await self._kept.add(address, owner=owner, lifetime=lifetime, senders=senders, is_pushed=is_pushed, most=most)
        if made is not None:
            self._inboxes = {**self._inboxes, made.address.casefold(): made}
        return made

    async def end(self, inbox: Inbox) -> bool:
        """End an inbox and erase what is of it. False where it has ended already.

        Raises:
            StoreUnavailable: it lives on.
        """
        is_ended = await self._kept.end(inbox.id)
        self._inboxes = {line: one for line, one in self._inboxes.items() if one.id != inbox.id}
        return is_ended

    def everything(self) -> tuple[Inbox, ...]:
        """The inboxes that have not ended, oldest first."""
        self._forget()
        return tuple(self._inboxes.values())

    def named(self, identifier: str) -> Inbox | None:
        """The inbox of an identifier; None if there is none."""
        found = self._inboxes.get(identifier.casefold())
        return found if found is not None and found.expires_at > self._now() else None

    def at(self, rcpt: str) -> Inbox | None:
        """The inbox of a recipient, with a plus tag perhaps."""
        return self.named(base_of(rcpt)) if self._inboxes else None

    def is_over(self, address: str) -> bool:
        """Whether an address was an inbox's and takes no mail any more."""
        return looks_like_inbox(address) and self.at(address) is None

    def around(self, routes: Routes) -> Around:
        """Where codes go now. One whose time is over at this moment still counts: its codes must not go elsewhere."""
        return Around(routes=routes, inboxes=self._inboxes)

    def addressed(self, understood: Understanding, envelope: Envelope) -> Understanding:
        """The same, with each recipient that is an inbox's known as that: its mail is for it, whatever stands in it."""
        if not self._inboxes:
            return understood
        if envelope.is_fetched:
            found = self._in_head(envelope)
            return understood if found is None else replace(understood, addressed=(_for(found, found.address),))
        entries = [self._entry(one) for one in understood.addressed]
        return replace(understood, addressed=tuple(entries))

    def _entry(self, entry: Addressed) -> Addressed:
        inbox = self.at(entry.recipient.rcpt) or self.named(entry.recipient.identifier or "")
        return entry if inbox is None else _for(inbox, entry.recipient.rcpt)

    def _in_head(self, envelope: Envelope) -> Inbox | None:
        head = envelope.content[:HEAD].partition(b"\r\n\r\n")[0].decode("ascii", "replace")
        return next((found for match in IN_HEAD.finditer(head) if (found := self.at(match[0])) is not None), None)

    def _forget(self) -> None:
        now = self._now()
        if any(one.expires_at <= now for one in self._inboxes.values()):
            self._inboxes = {line: one for line, one in self._inboxes.items() if one.expires_at > now}


def _for(inbox: Inbox, rcpt: str) -> Addressed:
    return Addressed(
        recipient=Recipient(rcpt=rcpt, identifier=inbox.identifier),
        identification=Identification(identifiers=(inbox.identifier,), source="inbox"),
        inbox=inbox,
    )
