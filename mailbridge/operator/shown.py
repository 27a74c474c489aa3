"""Rows of the store as what is shown of them: codes are masked here, unless somebody asked for them by name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from mailbridge.core.delivery import Delivery
from mailbridge.core.secret import MASK
from mailbridge.dispatch.routing import PRACTICE
from mailbridge.operator.shapes import (
    AuthenticatorSecret,
    AuthenticatorShape,
    ClearCode,
    DeliveryDetail,
    DeliveryShape,
    GivenShape,
    Line,
    LiveCode,
    MailDetail,
    MailShape,
    NewToken,
    Rejected,
    TokenShape,
    WaitShape,
)
from mailbridge.store import JournalLine, MailRow
from mailbridge.store.entries import Token
from mailbridge.store.reading import Code, Given, StoredTotp
from mailbridge.waiting import Wait

MOST_PASSED = 200
"""Candidates that a subject is looked through for."""

CODED = ("code", "ambiguous", "expired", "link")
"""Verdicts of mails whose subject may hold the code."""


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC with a ``Z``, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def maybe_stamp(moment: datetime | None) -> str | None:
    """The same for a moment that may not be set."""
    return None if moment is None else stamp(moment)


def mail_shape(row: MailRow, *, is_clear: bool = False) -> MailShape:
    """A mail; values that may be codes are masked unless ``is_clear``."""
    return MailShape(**_mail(row, is_clear=is_clear))


def mail_detail(
    row: MailRow, deliveries: Sequence[Delivery], history: Sequence[JournalLine], *, is_clear: bool = False
) -> MailDetail:
    """A mail with what became of it."""
    return MailDetail(
        **_mail(row, is_clear=is_clear),
        deliveries=[delivery_shape(one) for one in deliveries],
        history=[line_shape(one) for one in history],
    )


def _mail(row: MailRow, *, is_clear: bool) -> dict[str, Any]:
    return {
        "id": row.id,
        "received_at": stamp(row.received_at),
        "ingress": row.ingress,
        "from_": row.sender,
        "subject": row.subject if is_clear else subject_of(row),
        "rcpt_to": list(row.rcpt_to),
        "mail_from": row.mail_from,
        "verdict": row.verdict,
        "identifiers": list(row.identifiers),
        "identifier_from": row.identifier_from,
        "rule": row.rule,
        "reason": row.reason,
        "trust": row.trust,
        "held": list(row.held),
        "rejected": [Rejected(value=value if is_clear else MASK, why=why) for value, why in row.rejected],
        "clues": [f"{clue.source}: {clue.address} ({clue.verdict})" for clue in row.clues],
        "defects": list(row.defects),
        "size": row.size,
        "origin": row.origin or None,
        "confirm_link": row.confirm_link,
    }


def subject_of(row: MailRow) -> str:
    """A subject without its code: of a mail that has one, each word that holds a digit is a mask; the code and what was passed over are in any."""
    subject = " ".join(row.subject.split()) if row.verdict in CODED else row.subject
    values = {one for one, _ in row.rejected[:MOST_PASSED] if one in subject} | ({row.shown} if row.shown else set())
    for value in sorted(values, key=len, reverse=True):
        subject = subject.replace(value, MASK) if value.strip() else subject
    if row.verdict not in CODED:
        return subject
    return " ".join(MASK if any(letter.isdigit() for letter in word) else word for word in subject.split(" "))


def delivery_shape(row: Delivery) -> DeliveryShape:
    """A delivery; never its code."""
    return DeliveryShape(**_delivery(row))


def delivery_detail(row: Delivery, mail: MailRow | None, history: Sequence[JournalLine]) -> DeliveryDetail:
    """A delivery with its mail."""
    own = [line_shape(one) for one in history if one.delivery_id == row.id]
    return DeliveryDetail(**_delivery(row), of=None if mail is None else mail_shape(mail), history=own)


def _delivery(row: Delivery) -> dict[str, Any]:
    return {
        "id": row.id,
        "mail": row.mail_id,
        "state": str(row.state),
        "target": row.draft.target,
        "is_practice": row.draft.target == PRACTICE,
        "identifier": row.draft.identifier,
        "kind": row.draft.kind,
        "sender": row.draft.sender,
        "attempts": row.attempts,
        "rule": row.rule,
        "received_at": stamp(row.received_at),
        "deadline": stamp(row.deadline),
        "due_at": maybe_stamp(row.due_at),
        "final_at": maybe_stamp(row.final_at),
        "reason": row.reason,
        "ref": row.ref,
    }


def line_shape(one: JournalLine) -> Line:
    """A line of the journal."""
    return Line(
        id=one.id,
        at=stamp(one.at),
        event=one.event,
        mail=one.mail_id,
        delivery=one.delivery_id,
        detail=one.detail,
        identifiers=list(one.identifiers),
    )


def _code(code: Code) -> dict[str, Any]:
    return {
        "identifier": code.identifier,
        "kind": code.kind,
        "from_": code.sender,
        "rule": code.rule,
        "received_at": stamp(code.received_at),
        "expires_at": stamp(code.expires_at),
        "run": code.run,
        "mail": code.mail_id,
        "is_consumed": code.is_consumed,
    }


def live_code(code: Code) -> LiveCode:
    """A live code, masked."""
    return LiveCode(code=MASK, **_code(code))


def clear_code(code: Code) -> ClearCode:
    """A live code in clear, for whoever asked for it by name."""
    return ClearCode(code=code.value.reveal(), **_code(code))


def clear_totp(identifier: str, code: str, expires_at: datetime, *, is_consumed: bool = False) -> ClearCode:
    """The code of an authenticator, in the same shape."""
    return ClearCode(
        identifier=identifier,
        code=code,
        kind="totp",
        from_=None,
        rule=None,
        received_at=None,
        expires_at=stamp(expires_at),
        run=None,
        mail=None,
        is_consumed=is_consumed,
    )


def given_shape(one: Given) -> GivenShape:
    """A record of what was given."""
    return GivenShape(
        identifier=one.identifier,
        way=one.way,
        who=one.reader,
        what=one.what,
        first_at=stamp(one.first_at),
        last_at=stamp(one.last_at),
        times=one.times,
        is_consumed=one.is_consumed,
    )


def wait_shape(one: Wait) -> WaitShape:
    """Somebody who waits."""
    return WaitShape(
        identifier=one.identifier,
        who=one.who,
        way=one.way,
        since=stamp(one.since),
        until=stamp(one.until),
        asked=one.asked,
    )


def token_shape(one: Token, now: datetime) -> TokenShape:
    """A token without its text."""
    return TokenShape(**_token(one, now))


def new_token(one: Token, text: str, now: datetime) -> NewToken:
    """A token with its text."""
    return NewToken(**_token(one, now), token=text)


def _token(one: Token, now: datetime) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "role": one.role,
        "identifiers": list(one.identifiers),
        "created_at": stamp(one.created_at),
        "expires_at": maybe_stamp(one.expires_at),
        "is_expired": one.expires_at is not None and one.expires_at <= now,
    }


def authenticator_shape(one: StoredTotp) -> AuthenticatorShape:
    """An authenticator without its secret."""
    return AuthenticatorShape(**_authenticator(one))


def authenticator_secret(one: StoredTotp) -> AuthenticatorSecret:
    """An authenticator with its secret."""
    return AuthenticatorSecret(**_authenticator(one), secret=one.authenticator.secret.reveal())


def _authenticator(one: StoredTotp) -> dict[str, Any]:
    made = one.authenticator
    return {
        "name": one.name,
        "identifier": one.identifier,
        "issuer": made.issuer,
        "account": made.account,
        "algorithm": made.algorithm,
        "digits": made.digits,
        "period": made.period,
        "is_steam": made.is_steam,
        "bits": made.bits,
    }
