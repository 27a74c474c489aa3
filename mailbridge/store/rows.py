"""Rows and our types: what is written of a mail and a delivery, sealed where it is secret, and read back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import apsw
import msgspec

from mailbridge.clock import from_micros
from mailbridge.core.delivery import Delivery, Draft, State
from mailbridge.core.extraction import Verdict
from mailbridge.core.identity import Clue
from mailbridge.core.secret import Secret
from mailbridge.store import Arrival, MailRow
from mailbridge.store.cipher import Cipher

DELIVERY = (
    "id, target, identifier, sender, kind, content, workflow_run_id, workflow_id, task_id, lifetime, state, received_at,"
    " deadline, due_at, blocked_until, attempts, is_doubtful, without_run, rule, reason, token, mail_id"
)
MAIL = "id, received_at, ingress, verdict, rule, size, facts, private, link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a mail and no secret."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    peer: str
    sender: str
    message_id: str
    identifiers: tuple[str, ...]
    identifier_from: str | None
    reason: str
    defects: tuple[str, ...]
    clues: tuple[Clue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Private:
    """What may show the code: kept sealed, and erased when the code is."""

    subject: str
    rejected: tuple[tuple[str, str], ...]


def facts_of(arrival: Arrival) -> bytes:
    """The facts as octets."""
    envelope, identification = arrival.envelope, arrival.identification
    facts = Facts(
        mail_from=envelope.mail_from,
        rcpt_to=envelope.rcpt_to,
        peer=envelope.peer,
        sender=arrival.sender,
        message_id=arrival.message_id,
        identifiers=identification.identifiers,
        identifier_from=identification.source,
        reason=reason_of(arrival),
        defects=arrival.defects,
        clues=identification.clues,
    )
    return msgspec.msgpack.encode(facts)


def reason_of(arrival: Arrival) -> str:
    """Why a mail was pushed or held, in one sentence."""
    if arrival.extraction.verdict.is_pushed and not arrival.identification.identifiers:
        return arrival.identification.reason
    return arrival.extraction.reason


def private_of(arrival: Arrival) -> bytes:
    """The private part as octets, still to be sealed."""
    rejected = tuple((one.value.reveal(), one.why) for one in arrival.extraction.rejected)
    return msgspec.msgpack.encode(Private(subject=arrival.subject, rejected=rejected))


def link_of(arrival: Arrival) -> bytes | None:
    """The link of a confirmation, still to be sealed."""
    extraction = arrival.extraction
    if extraction.verdict is not Verdict.CONFIRMATION or extraction.value is None:
        return None
    return extraction.value.reveal().encode()


def read_mail(row: Any, cipher: Cipher) -> MailRow:
    """A mail from the columns of MAIL."""
    number, received_at, ingress, verdict, rule, size, facts_octets, private_octets, link = row
    facts = msgspec.msgpack.decode(facts_octets, type=Facts)
    private = Private(subject="", rejected=())
    opened = None if private_octets is None else cipher.open(private_octets, f"mail {number}")
    if opened is not None:
        private = msgspec.msgpack.decode(opened, type=Private)
    confirm = None if link is None else cipher.open(link, f"link {number}")
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
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A delivery as it lies in its line. Its content stays sealed, so ``delivery`` has an empty one, until `unsealed`.

    ``is_behind``: it has no due time of its own, since another one of its line comes first.
    """

    delivery: Delivery
    mail_id: int
    token: int
    is_behind: bool
    sealed: bytes | None

    def unsealed(self, cipher: Cipher) -> Delivery | None:
        """The delivery with its content; None where that is erased or cannot be decrypted."""
        content = None if self.sealed is None else cipher.open(self.sealed, f"delivery {self.delivery.id}")
        if content is None:
            return None
        return replace(self.delivery, draft=replace(self.delivery.draft, content=Secret(content.decode())))


def read_entry(row: Any) -> Entry:
    """An entry from the columns of DELIVERY. A due time that it does not have reads as its deadline."""
    delivery = Delivery(
        id=row[0],
        draft=Draft(
            target=row[1],
            identifier=row[2],
            sender=row[3],
            kind=row[4],
            content=Secret(""),
            workflow_run_id=row[6],
            workflow_id=row[7],
            task_id=row[8],
            lifetime=timedelta(microseconds=row[9]),
        ),
        state=State(row[10]),
        received_at=from_micros(row[11]),
        deadline=from_micros(row[12]),
        due_at=from_micros(row[13] if row[13] is not None else row[12]),
        blocked_until=None if row[14] is None else from_micros(row[14]),
        attempts=row[15],
        is_doubtful=bool(row[16]),
        without_run=bool(row[17]),
        rule=row[18],
        reason=row[19],
    )
    return Entry(delivery=delivery, mail_id=row[21], token=row[20], is_behind=row[13] is None, sealed=row[5])


def read_delivery(row: Any, cipher: Cipher) -> Delivery:
    """A delivery from the columns of DELIVERY; an erased or damaged content is an empty Secret."""
    entry = read_entry(row)
    return entry.unsealed(cipher) or entry.delivery


def journal(
    connection: apsw.Connection, at: int, event: str, mail_id: int, delivery_id: int | None = None, detail: str = ""
) -> None:
    """Write one line of what happened."""
    connection.execute(
        "INSERT INTO journal (at, event, mail_id, delivery_id, detail) VALUES (?, ?, ?, ?, ?)",
        (at, event, mail_id, delivery_id, detail),
    )
