"""The tour: each stop sends mails, waits for what becomes of them, and reports what an agent would find."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime

from mailbridge.app.daemon import Bridge
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Delivery, State
from mailbridge.demo import mails
from mailbridge.demo.mails import Sample
from mailbridge.net.smtp_client import Sent, send
from mailbridge.practice.receiver import Practice
from mailbridge.store import MailRow

PATIENCE = 20.0
"""Seconds until a stop gives up waiting for a delivery to be final."""

GLANCE = 0.1
"""Seconds between two looks for mails of somebody else."""

OUTAGE = 0.6
"""Seconds for which the practice receiver answers 503 at the stops that show an outage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """What one mail of the tour came to. ``found`` is what the receiver's own lookup gives an agent for the identifier.

    ``milliseconds`` are from the end of DATA to the code at the receiver; None where nothing was sent there.
    """

    title: str
    verdict: str
    state: str
    identifier: str | None
    identifier_from: str | None
    rule: str | None
    code: str | None
    found: str | None
    attempts: int
    milliseconds: float | None
    reason: str
    is_as_expected: bool

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return asdict(self)


class Tour:
    """Walks a running bridge, whose target is its own practice receiver."""

    def __init__(self, running: Bridge) -> None:
        if running.practice is None:
            raise ValueError("the tour needs the practice receiver: run it without a Skyvern key")
        self._bridge = running
        self._practice: Practice = running.practice

    async def walk(self) -> AsyncIterator[Stop]:
        """Every stop in order."""
        code = _digits(6)
        yield await self._pushed(mails.plain_code(code), code)
        code = _digits(6)
        yield await self._pushed(mails.digit_cells(code), code)
        yield await self._pushed(mails.letters_and_digits("K7F-29Q"), "K7F-29Q")
        link = f"https://tern.example/session/magic?token={secrets.token_urlsafe(24)}&next=%2Fhome"
        yield await self._pushed(mails.magic_link(link), link)
        code = _digits(6)
        yield await self._pushed(mails.for_a_run(code, self._practice.make_run()), code)
        yield await self._held(mails.receipt(), "none")
        yield await self._held(mails.confirmation("gus@gmail.com"), "confirmation")
        async for stop in self._resend():
            yield stop
        async for stop in self._outage():
            yield stop

    async def position(self) -> int:
        """The last line of the journal: what a mail that is sent from now on writes comes after it."""
        last = 0
        while lines := await self._bridge.engine.store.journal.after(last):
            last = lines[-1].id
        return last

    async def visitors(self, last: int) -> AsyncGenerator[Stop]:
        """What becomes of every mail that somebody else sends after this line of the journal, for ever."""
        while True:
            for line in await self._bridge.engine.store.journal.after(last):
                last = line.id
                if line.event == "stored":
                    yield await self._visited(line.mail_id)
            await asyncio.sleep(GLANCE)

    async def _visited(self, mail_id: int) -> Stop:
        sent = Sent(code=250, text="", mail_id=mail_id)
        row = await self._row(sent)
        delivery = await self._final(sent)
        identifier = next(iter(row.identifiers), None)
        arrived = next(iter(self._practice.rows(identifier, limit=1)), None) if identifier and delivery is not None else None
        return Stop(
            title=row.subject or "(no subject)",
            verdict=row.verdict,
            state=str(delivery.state) if delivery else "held",
            identifier=identifier,
            identifier_from=row.identifier_from,
            rule=row.rule,
            code=delivery.draft.content.reveal() if delivery else None,
            found=arrived.code if arrived is not None else None,
            attempts=delivery.attempts if delivery else 0,
            milliseconds=None if arrived is None else round((arrived.created_at - row.received_at).total_seconds() * 1000, 1),
            reason=delivery.reason if delivery and delivery.state is not State.DELIVERED else row.reason,
            is_as_expected=delivery is None or delivery.state is State.DELIVERED,
        )

    async def _pushed(self, sample: Sample, value: str) -> Stop:
        sent = await self._send(sample)
        return await self._report(sample, sent, value, expected=State.DELIVERED)

    async def _held(self, sample: Sample, verdict: str) -> Stop:
        sent = await self._send(sample)
        row = await self._row(sent)
        return Stop(
            title=sample.title,
            verdict=row.verdict,
            state="held",
            identifier=next(iter(row.identifiers), None),
            identifier_from=row.identifier_from,
            rule=row.rule,
            code=None,
            found=None,
            attempts=0,
            milliseconds=None,
            reason=row.reason,
            is_as_expected=row.verdict == verdict,
        )

    async def _resend(self) -> AsyncIterator[Stop]:
        """A first code that cannot get out is overtaken by the resent one: only the newer is delivered."""
        first, second = _digits(6), _digits(6)
        account = "eve@example.com"
        self._practice.fault(status=503)
        older, newer = mails.plain_code(first, account=account), mails.plain_code(second, account=account)
        sent_older = await self._send(older)
        await self._attempted(sent_older)
        sent_newer = await self._send(newer)
        await asyncio.sleep(OUTAGE)
        self._practice.fault()
        yield await self._report(older, sent_older, first, expected=State.SUPERSEDED, title="resent: the older code")
        yield await self._report(newer, sent_newer, second, expected=State.DELIVERED, title="resent: the newer code")

    async def _outage(self) -> AsyncIterator[Stop]:
        """Two senders, one identifier, a receiver that is down: both are retried, in order, once it is back."""
        account = "fay@example.com"
        first, second = _digits(6), _digits(6)
        samples = (
            mails.plain_code(first, account=account),
            mails.plain_code(second, account=account, shop="Heron Mail", host="heron.example"),
        )
        self._practice.fault(status=503)
        sent = [await self._send(sample) for sample in samples]
        await asyncio.sleep(OUTAGE)
        self._practice.fault()
        for number, (sample, one, value) in enumerate(zip(samples, sent, (first, second), strict=True), 1):
            title = f"an outage, retried in order: {number} of {len(samples)}"
            yield await self._report(sample, one, value, expected=State.DELIVERED, title=title)

    async def _send(self, sample: Sample) -> Sent:
        address = self._bridge.smtp_addresses[0]
        content = sample.build(datetime.now(UTC))
        return await asyncio.to_thread(send, address, mail_from=sample.mail_from, rcpt=sample.rcpt, content=content)

    async def _report(self, sample: Sample, sent: Sent, value: str, *, expected: State, title: str = "") -> Stop:
        row = await self._row(sent)
        delivery = await self._final(sent)
        identifier = next(iter(row.identifiers), None)
        found = self._practice.resolve(identifier, workflow_run_id=sample.run) if identifier else None
        is_delivered = delivery is not None and delivery.state is State.DELIVERED
        arrival = self._practice.arrival(value)
        return Stop(
            title=title or sample.title,
            verdict=row.verdict,
            state=str(delivery.state) if delivery else "held",
            identifier=identifier,
            identifier_from=row.identifier_from,
            rule=row.rule,
            code=delivery.draft.content.reveal() if delivery else None,
            found=found,
            attempts=delivery.attempts if delivery else 0,
            milliseconds=round((arrival - sent.at) * 1000, 1) if arrival is not None and is_delivered else None,
            reason=delivery.reason if delivery else row.reason,
            is_as_expected=delivery is not None and delivery.state is expected and delivery.draft.content.reveal() == value,
        )

    async def _row(self, sent: Sent) -> MailRow:
        if sent.mail_id is None:
            raise ConnectionError(f"the listener did not take the mail: {sent.code} {sent.text}")
        row = await self._bridge.engine.store.mails.one(sent.mail_id)
        if row is None:
            raise LookupError(f"mail {sent.mail_id} was acknowledged but is not in the store")
        return row

    async def _attempted(self, sent: Sent) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                delivery = await self._delivery(sent)
                if delivery is None or delivery.attempts > 0:
                    return
                await asyncio.sleep(0.01)

    async def _final(self, sent: Sent) -> Delivery | None:
        async with asyncio.timeout(PATIENCE):
            while True:
                delivery = await self._delivery(sent)
                if delivery is None or delivery.state not in (State.PENDING, State.IN_FLIGHT):
                    return delivery
                await asyncio.sleep(0.005)

    async def _delivery(self, sent: Sent) -> Delivery | None:
        rows = await self._bridge.engine.store.outbox.deliveries(mail_id=sent.mail_id, limit=1)
        return rows[0] if rows else None


def _digits(count: int) -> str:
    """A code as sites make them; no leading zero, so that every reader prints it the same."""
    return str(secrets.randbelow(9 * 10 ** (count - 1)) + 10 ** (count - 1))
