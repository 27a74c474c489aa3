"""*Now*: what needs a person, the last day in figures, and the mails as they come."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from mailbridge.core.dataclass import dataclass
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.deliveries import DeliveryList
from mailbridge.operator.faults import Fault
from mailbridge.operator.journal import TailAsk
from mailbridge.operator.mails import MailList, OneMail
from mailbridge.operator.shapes import Day, MailShape, Status, WaitShape, Why
from mailbridge.operator.why import WhyAsk
from mailbridge.web.pages.asking import Answer, Asked, Page
from mailbridge.web.pages.look import Row, rows_of

FEED = 30
HELD = 20
CARDS = 6
MOST_DELIVERIES = 20
"""Most deliveries of a mail that decide its state in a list."""

YOUNG = timedelta(minutes=30)
"""How long a held mail has a card; after that its code is over, and the mail is only in the list."""

PATIENT = timedelta(seconds=15)
"""How long somebody waits before there is a card: most codes have come by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What needs a person. ``stopped``: what stops mail from being taken or pushed, by name. ``is_empty``: nothing is set up
    yet."""

    stopped: Sequence[tuple[str, str]] = ()
    warned: Sequence[tuple[str, str]] = ()
    confirmations: Sequence[MailShape] = ()
    held: Sequence[MailShape] = ()
    waits: Sequence[tuple[WaitShape, Why]] = ()
    is_practice: bool = False
    is_empty: bool = False

    @property
    def count(self) -> int:
        """How many cards there are; practice is not counted."""
        return len(self.stopped) + len(self.warned) + len(self.confirmations) + len(self.held) + len(self.waits)


async def now(asked: Asked) -> Answer:
    """The first page. Asked for a part, the cards alone."""
    status = await asked.attempt(verbs.STATUS, Nothing())
    day = await asked.do(verbs.DAY, Nothing())
    needs = await _needs(asked, None if isinstance(status, Fault) else status, day)
    values = {"status": None if isinstance(status, Fault) else status, "needs": needs}
    if asked.query.get("part") == "needs":
        return Page(template="_needs.html", values=values)
    # The line first and the mails after it: what comes in between is told twice, and shown once.
    newest = await asked.do(verbs.JOURNAL_TAIL, TailAsk())
    page = await asked.do(verbs.MAIL_LIST, MailList(limit=FEED))
    found = await rows(asked, page.mails)
    last = page.mails[0].received_at if page.mails else None
    return Page(template="now.html", values={**values, "rows": found, "after": newest.next, "last": last, "day": day})


async def rows(asked: Asked, mails: Sequence[MailShape]) -> list[Row]:
    """Mails with their states; all deliveries are read at once."""
    if not mails:
        return []
    ask = DeliveryList(mails=tuple(one.id for one in mails), limit=min(MOST_DELIVERIES * len(mails), 1000))
    return rows_of(mails, (await asked.do(verbs.DELIVERY_LIST, ask)).deliveries)


async def _needs(asked: Asked, status: Status | None, day: Day) -> Needs:
    since = asked.now - YOUNG
    held = await asked.do(verbs.MAIL_LIST, MailList(held=True, since=since, limit=HELD))
    waiting = await asked.operator.codes.waiting(Nothing())
    waits = [] if isinstance(waiting, Fault) else [one for one in waiting.waiting if _since(one) <= asked.now - PATIENT]
    reasons = await asyncio.gather(*(asked.attempt(verbs.WHY, WhyAsk(identifier=one.identifier)) for one in waits[:CARDS]))
    checks = {} if status is None else status.checks
    is_practice = status is not None and status.is_practice
    is_bare = is_practice and status is not None and not status.mailboxes
    return Needs(
        stopped=tuple(_stopped(checks, status)),
        warned=tuple((name, why) for name, why in checks.items() if name.startswith("canary") or name == "trust"),
        confirmations=await _confirmations(asked, day),
        held=[one for one in held.mails if not await _is_released(asked, one)][:CARDS],
        waits=[(wait, why) for wait, why in zip(waits, reasons, strict=False) if not isinstance(why, Fault)],
        is_practice=is_practice,
        is_empty=is_bare and not (await asked.do(verbs.MAIL_LIST, MailList(limit=1))).mails,
    )


def _stopped(checks: dict[str, str], status: Status | None) -> Iterator[tuple[str, str]]:
    if status is None:
        yield "daemon", ""
    for name, why in checks.items():
        if name != "practice" and name != "trust" and not name.startswith("canary"):
            yield name, why


def _since(one: WaitShape) -> datetime:
    return datetime.fromisoformat(one.since)


async def _is_released(asked: Asked, mail: MailShape) -> bool:
    detail = await asked.attempt(verbs.MAIL_SHOW, OneMail(id=mail.id))
    return isinstance(detail, Fault) or any(line.event == "released" for line in detail.history)


ASKS = re.compile(r"; (\S+@\S+) asks$")


async def _confirmations(asked: Asked, day: Day) -> list[MailShape]:
    """Forwardings that Google asks about and nobody has confirmed, of accounts that have sent nothing since; one card for each
    account."""
    found: dict[str, MailShape] = {}
    allowed: set[str] = set()
    for number in day.confirmations:
        mail = await asked.attempt(verbs.MAIL_SHOW, OneMail(id=number))
        if isinstance(mail, Fault):
            continue
        account = ASKS.search(mail.trust)
        name = account.group(1) if account else ""
        since = datetime.fromisoformat(mail.received_at)
        if any(line.event == "confirmed" for line in mail.history):
            allowed.add(name or str(number))
        elif (
            name not in found
            and name not in allowed
            and not (name and (await asked.do(verbs.MAIL_LIST, MailList(identifier=name, since=since, limit=1))).mails)
        ):
            found[name] = mail
    return list(found.values())[:CARDS]
