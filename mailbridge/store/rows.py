"""Converts rows to our types: mails, deliveries and lines of the journal from their columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from mailbridge.clock import MICROSECOND, from_micros, to_micros
from mailbridge.core.delivery import Delivery, Draft, Standing, State
from mailbridge.core.secret import Secret
from mailbridge.store import JournalLine, MailRow
from mailbridge.store.cipher import Cipher, place
from mailbridge.store.lists import Happened
from mailbridge.store.packing import Facts, Private

DELIVERY = (
    "id, target, identifier, sender, kind, workflow_run_id, workflow_id, task_id, lifetime, state, received_at, deadline, due_at,"
    " blocked_until, attempts, is_doubtful, without_run, is_overtaken, token, rule, reason, ref, final_at, mail_id,"
    " standing, domain, written_at, is_late"
)
MAIL = "mail.id, uid, received_at, ingress, verdict, rule, size, facts, private, link"


def read_private(number: int, uid: bytes | None, sealed: bytes | None, cipher: Cipher) -> Private:
    """The part of a mail that may show the code; empty if it is erased or cannot be decrypted."""
    opened = None if sealed is None else cipher.open(sealed, place("mail", uid, number))
    return Private(subject="", rejected=()) if opened is None else msgspec.msgpack.decode(opened, type=Private)


def read_mail(row: Any, cipher: Cipher) -> MailRow:
    """A mail from the columns of MAIL."""
    number, uid, received_at, ingress, verdict, rule, size, facts_octets, sealed, link = row
    facts = msgspec.msgpack.decode(facts_octets, type=Facts)
    private = read_private(number, uid, sealed, cipher)
    confirm = None if link is None else cipher.open(link, place("link", uid, number))
    return MailRow(
        id=number,
        received_at=from_micros(received_at),
        ingress=ingress,
        mail_from=facts.mail_from,
        rcpt_to=facts.rcpt_to,
        sender=facts.sender,
        subject=private.subject,
        verdict=verdict,
        identifiers=facts.identifiers,
        identifier_from=facts.identifier_from,
        rule=rule,
        reason=facts.reason,
        defects=facts.defects,
        size=size,
        rejected=private.rejected,
        confirm_link=None if confirm is None else confirm.decode(),
        clues=facts.clues,
        message_id=facts.message_id,
        peer=facts.peer,
        trust=facts.trust,
        held=facts.held,
        origin=facts.origin,
        shown=private.shown,
    )


def read_delivery(row: Any) -> Delivery:
    """A delivery from the columns of DELIVERY, without its content."""
    return Delivery(
        id=row[0],
        draft=Draft(
            target=row[1],
            identifier=row[2],
            sender=row[3],
            kind=row[4],
            content=Secret(""),
            workflow_run_id=row[5],
            workflow_id=row[6],
            task_id=row[7],
            lifetime=timedelta(microseconds=row[8]),
            standing=Standing(row[24]),
            domain=row[25],
            written_at=moment(row[26]),
        ),
        state=State(row[9]),
        received_at=from_micros(row[10]),
        deadline=from_micros(row[11]),
        due_at=moment(row[12]),
        blocked_until=moment(row[13]),
        attempts=row[14],
        is_doubtful=bool(row[15]),
        without_run=bool(row[16]),
        is_overtaken=bool(row[17]),
        fencing_token=row[18],
        rule=row[19],
        reason=row[20],
        ref=row[21],
        final_at=moment(row[22]),
        mail_id=row[23],
        is_late=bool(row[27]),
    )


def read_happened(row: Any) -> Happened:
    """What statistics count for a line of the journal."""
    number, mail_id, at, event, verdict, is_held, rule, received_at = row
    return Happened(
        id=number,
        mail_id=mail_id,
        at=from_micros(at),
        event=event,
        verdict=verdict or "",
        is_held=bool(is_held),
        rule=rule or "",
        received_at=None if received_at is None else from_micros(received_at),
    )


def read_line(row: Any) -> JournalLine:
    """A line of the journal, with the identifiers that it is about."""
    number, at, event, mail_id, delivery_id, detail, identifier, facts = row
    identifiers: tuple[str, ...] = (identifier,) if identifier else ()
    if not identifiers and facts is not None:
        identifiers = msgspec.msgpack.decode(facts, type=Facts).identifiers
    return JournalLine(
        id=number,
        at=from_micros(at),
        event=event,
        mail_id=mail_id,
        delivery_id=delivery_id,
        detail=detail,
        identifiers=identifiers,
    )


def open_content(number: int, uid: bytes | None, sealed: bytes | None, cipher: Cipher) -> Secret | None:
    """A code; None if it is erased or cannot be decrypted."""
    content = None if sealed is None else cipher.open(sealed, place("delivery", uid, number))
    return None if content is None else Secret(content.decode())


def with_content(delivery: Delivery, uid: bytes | None, sealed: bytes | None, cipher: Cipher) -> Delivery | None:
    """The delivery with its code; None if the code is erased or cannot be decrypted."""
    content = open_content(delivery.id, uid, sealed, cipher)
    return None if content is None else replace(delivery, draft=replace(delivery.draft, content=content))


def moment(micros: int | None) -> datetime | None:
    """A time from microseconds; None stays None."""
    return None if micros is None else from_micros(micros)


def micros(at: datetime | None) -> int | None:
    """Microseconds from a time; None stays None."""
    return None if at is None else to_micros(at)


def span(duration: timedelta) -> int:
    """Microseconds of a duration."""
    return duration // MICROSECOND


def storable(value: Any) -> Any:
    """The value without what PostgreSQL cannot store in a text: NUL and lone surrogates, which mails contain."""
    if isinstance(value, str) and not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) and "\0" in value else value
