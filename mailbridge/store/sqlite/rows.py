"""Rows and our types: mails and deliveries read back out of their columns, and the lines of the journal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import apsw
import msgspec

from mailbridge.clock import from_micros
from mailbridge.core.delivery import Delivery, Draft, State
from mailbridge.core.secret import Secret
from mailbridge.store import MailRow
from mailbridge.store.cipher import Cipher
from mailbridge.store.packing import Facts, Private

DELIVERY = (
    "id, target, identifier, sender, kind, content, workflow_run_id, workflow_id, task_id, lifetime, state, received_at,"
    " deadline, due_at, blocked_until, attempts, is_doubtful, without_run, rule, reason, token, mail_id"
)
MAIL = "id, received_at, ingress, verdict, rule, size, facts, private, link"


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
        trust=facts.trust,
        held=facts.held,
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
