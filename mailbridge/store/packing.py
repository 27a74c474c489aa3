"""The stored octets of a mail: the facts in clear, and separately what may show the code, which is sealed later."""

from __future__ import annotations

import msgspec

from mailbridge.core.dataclass import dataclass
from mailbridge.core.extraction import Verdict
from mailbridge.core.identification import Clue
from mailbridge.store import Arrival


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a mail and is not secret."""

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
    trust: str = ""
    held: tuple[str, ...] = ()
    origin: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Private:
    """What may show the code. It is stored sealed, and erased when the code is erased. ``shown`` is the code if it is in the
    subject as letters alone, because nothing else distinguishes it from a word there; "" for none."""

    subject: str
    rejected: tuple[tuple[str, str], ...]
    shown: str = ""


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
        trust=arrival.trust,
        held=arrival.held,
        origin=arrival.origin,
    )
    return msgspec.msgpack.encode(facts)


def reason_of(arrival: Arrival) -> str:
    """Why a mail was pushed or held, in one sentence."""
    if arrival.held:
        return f"held: {arrival.held[0]}"
    if arrival.extraction.verdict.is_pushed and not arrival.identification.identifiers:
        return arrival.identification.reason
    return arrival.extraction.reason


def private_of(arrival: Arrival) -> bytes:
    """The private part as octets, not sealed yet."""
    extraction = arrival.extraction
    rejected = tuple((one.value.reveal(), one.why) for one in extraction.rejected)
    values = [one.reveal() for one in (extraction.displayed, extraction.value) if one is not None]
    shown = next((one for one in values if one in arrival.subject and not any(letter.isdigit() for letter in one)), "")
    return msgspec.msgpack.encode(Private(subject=arrival.subject, rejected=rejected, shown=shown))


def link_of(arrival: Arrival) -> bytes | None:
    """The link of a confirmation, not sealed yet."""
    extraction = arrival.extraction
    if extraction.verdict is not Verdict.CONFIRMATION or extraction.value is None:
        return None
    return extraction.value.reveal().encode()
