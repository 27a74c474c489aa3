"""Why no code came for an identifier: the records and the state of the daemon, gathered for `mailbridge.core.why`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol

import msgspec

from mailbridge.config.settings import IngestSettings
from mailbridge.core.delivery import Delivery
from mailbridge.core.why import Attempted, Came, Evidence, Kind, causes
from mailbridge.operator.asks import Ask, Identifier, Moment
from mailbridge.operator.faults import Fault
from mailbridge.operator.parts import Configuration, Daemon
from mailbridge.operator.shapes import CauseShape, Status, Why
from mailbridge.operator.shown import stamp
from mailbridge.store import Filter, MailRow, Store
from mailbridge.waiting import Waiting

WINDOW = timedelta(hours=1)
"""The default period, if nobody waits and no time is given."""

LEAD = timedelta(minutes=10)
"""How long before a wait its mails are looked at."""

OWN, ALL, PAST = 50, 500, 200
ASKS = re.compile(r"; (\S+@\S+) asks$")
CONFIRMATIONS = timedelta(days=7)


class Surroundings(Protocol):
    """What only whoever runs the ways in knows."""

    def is_known(self, identifier: str) -> bool:
        """Whether a code could ever be pushed under an identifier."""
        ...

    def refused(self, since: datetime) -> Sequence[tuple[str, int]]:
        """Recipients that were refused since, the most frequent first, with their number."""
        ...


class WhyAsk(Ask, frozen=True, kw_only=True):
    """For whom, and since when; left out: since somebody began to wait for it, or for the last hour."""

    identifier: Identifier
    since: Moment | None = None


class WhyVerb:
    """The verb."""

    def __init__(
        self,
        *,
        store: Store,
        configuration: Configuration,
        daemon: Daemon,
        surroundings: Surroundings,
        waiting: Waiting,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._configuration = configuration
        self._daemon = daemon
        self._surroundings = surroundings
        self._waiting = waiting
        self._now = now

    async def why(self, ask: WhyAsk) -> Why | Fault:
        """The causes in order of likelihood."""
        known = await self._evidence(ask.identifier.strip(), ask.since)
        return Why(
            identifier=known.identifier,
            since=stamp(known.since),
            is_waited_for=known.waits_since is not None,
            causes=[
                CauseShape(
                    kind=str(one.kind),
                    certainty=one.certainty,
                    text=one.text,
                    hint=one.hint,
                    mail=one.mail,
                    delivery=one.delivery,
                    facts=one.facts,
                )
                for one in causes(known)
            ],
        )

    async def _evidence(self, identifier: str, asked: datetime | None) -> Evidence:
        now, folded = self._now(), identifier.casefold()
        waits = min((one.since for one in self._waiting.everybody() if one.identifier.casefold() == folded), default=None)
        since = asked or (waits - LEAD if waits is not None else now - WINDOW)
        status = await self._daemon.status()
        newest = await self._store.mails.page(Filter(since=since), limit=ALL)
        mails = await self._mails(identifier, since, newest)
        given = [one.last_at for one in await self._store.codes.given(limit=PAST) if one.identifier.casefold() == folded]
        past = newest[:PAST] if len(newest) >= PAST else await self._store.mails.page(limit=PAST)
        running = status if isinstance(status, Status) else None
        return Evidence(
            identifier=identifier,
            now=now,
            since=since,
            waits_since=waits if asked is None else None,
            is_known=self._surroundings.is_known(identifier),
            is_practice=running is not None and running.is_practice,
            mails=mails,
            given=max(given, default=None),
            ways=tuple(self._ways(past)),
            mailboxes=tuple(_mailboxes(running)) if running is not None else (),
            targets=tuple((one.name, one.reason) for one in running.targets if one.reason) if running is not None else (),
            refused=tuple(self._surroundings.refused(since)),
            confirmations=tuple(_confirmations(past, now, await self._allowed(past))),
            questions=tuple(_questions(past, now)),
            trouble=_trouble(status),
        )

    async def _allowed(self, past: Sequence[MailRow]) -> frozenset[int]:
        """Mails whose forwarding somebody has allowed already."""
        asks = [row.id for row in past if row.verdict == "confirmation" and row.confirm_link]
        lines = [line for number in asks for line in await self._store.journal.after(mail_id=number)]
        return frozenset(line.mail_id for line in lines if line.event == "confirmed")

    async def _mails(self, identifier: str, since: datetime, others: Sequence[MailRow]) -> tuple[Came, ...]:
        """Those for it, and of the others those that name it, newest first."""
        own = await self._store.mails.page(Filter(identifier=identifier, since=since), limit=OWN)
        deliveries: dict[int, list[Delivery]] = {}
        for one in await self._store.outbox.deliveries(Filter(identifier=identifier, since=since), limit=PAST):
            deliveries.setdefault(one.mail_id, []).append(one)
        rows = {row.id: row for row in (*own, *(row for row in others if _names(row, identifier)))}
        return tuple(_came(rows[number], identifier, deliveries.get(number, ())) for number in sorted(rows, reverse=True))

    def _ways(self, past: Sequence[MailRow]) -> Iterator[tuple[str, datetime | None]]:
        """The ways in that are configured, with the last mail of each kind."""
        settings = self._configuration.now
        last: dict[str, datetime] = {}
        for row in past:
            last.setdefault(row.ingress, row.received_at)
        if settings.smtp.listen and (settings.domains.accept or settings.address):
            yield "smtp", last.get("smtp")
        if settings.smtp.lmtp:
            yield "lmtp", last.get("lmtp")
        if settings.imap:
            yield "mailboxes", last.get("imap")
        if "http" in last or settings.ingest != IngestSettings():
            yield "http", last.get("http")


OF_OTHERS: Mapping[str, str] = MappingProxyType(
    {
        Kind.ELSEWHERE: "A mail that names this identifier was taken for another one.",
        Kind.CONFIRMATION: "A mailbox's forwarding waits for a person's yes: until then it forwards nothing.",
        Kind.MAILBOX: "A mailbox is not watched now.",
        Kind.REFUSED_RECIPIENT: "Mail to an address that is none of ours was refused.",
        Kind.TARGET: "A target does not take codes now.",
    }
)
"""What an agent is told of causes that name addresses, mailboxes and targets of others."""


def told_to_agents(found: Why) -> Why:
    """The causes for an agent that asked about its own identifier, without names that belong to others."""
    return msgspec.structs.replace(found, causes=[_told_to_agents(one) for one in found.causes])


def _told_to_agents(one: CauseShape) -> CauseShape:
    if one.kind not in OF_OTHERS:
        return msgspec.structs.replace(one, facts={})
    hint = "mailbridge why, asked by an operator, says which"
    return msgspec.structs.replace(one, text=OF_OTHERS[one.kind], hint=hint, mail=None, delivery=None, facts={})


def _mailboxes(status: Status) -> Iterator[tuple[str, str]]:
    """Those that are not well, with the reason."""
    for one in status.mailboxes:
        if not one.get("is_well", True):
            yield str(one.get("mailbox", "")), str(one.get("reason", ""))


def _names(row: MailRow, identifier: str) -> bool:
    folded = identifier.casefold()
    return any(one.casefold() == folded for one in (*row.rcpt_to, *(clue.address for clue in row.clues)))


def _came(row: MailRow, identifier: str, deliveries: Sequence[Delivery]) -> Came:
    return Came(
        number=row.id,
        at=row.received_at,
        sender=row.sender,
        verdict=row.verdict,
        reason=row.reason,
        identifiers=row.identifiers,
        held=row.held,
        names_it=_names(row, identifier),
        bound_by=row.rcpt_to[0] if row.identifier_from == "address" and row.rcpt_to else "",
        deliveries=tuple(
            Attempted(
                number=one.id,
                target=one.draft.target,
                state=one.state,
                reason=one.reason,
                attempts=one.attempts,
                at=one.final_at,
                only_for=_only_for(one),
                is_old=one.received_at - one.written_at > one.draft.lifetime,
            )
            for one in deliveries
        ),
    )


def _only_for(delivery: Delivery) -> str:
    """The run, workflow or task that a delivery is bound to; "" if there is none."""
    draft = delivery.draft
    named = (("the run", draft.workflow_run_id), ("the workflow", draft.workflow_id), ("the task", draft.task_id))
    return "" if delivery.without_run else next((f"{what} {number}" for what, number in named if number), "")


def _confirmations(past: Sequence[MailRow], now: datetime, allowed: Collection[int]) -> Iterator[tuple[str, int]]:
    """Accounts whose forwarding is not confirmed: Google has asked, nobody has confirmed, and no mail of the account has come
    since."""
    seen: set[str] = set()
    for row in past:
        asks = ASKS.search(row.trust)
        if row.verdict == "confirmation" and row.confirm_link and asks and row.received_at >= now - CONFIRMATIONS:
            account = asks.group(1).casefold()
            if account not in seen and row.id not in allowed:
                yield asks.group(1), row.id
            seen.add(account)
        seen.update(one.casefold() for one in row.identifiers)


def _questions(past: Sequence[MailRow], now: datetime) -> Iterator[tuple[str, int]]:
    """What services ask a person before they post mails here, while no mail has come by them since."""
    has_come = False
    for row in past:
        is_question = row.verdict == "confirmation" and row.confirm_link and row.ingress == "http" and not row.rcpt_to
        if is_question and not has_come and row.received_at >= now - CONFIRMATIONS:
            yield row.reason, row.id
        has_come = has_come or (row.ingress == "http" and bool(row.rcpt_to))


def _trouble(status: Status | Fault) -> tuple[str, str] | None:
    if isinstance(status, Fault):
        return "daemon", status.title
    for part in ("store", "parser"):
        if part in status.checks:
            return part, status.checks[part]
    return None
