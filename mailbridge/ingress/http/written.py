"""``/ingest/text``: one flat JSON or form from something that is not a mail service (a phone that forwards SMS, n8n, Make,
Zapier), made into a mail."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import msgspec

from mailbridge.core.addresses import parse_mailbox
from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.http.forms import read_form
from mailbridge.ingress.http.posted import Posted, Refused

HINT = 'send JSON such as {"identifier": "ann@corp.com", "text": "Your code is 482913"}'
OTHER_NAMES = {
    "to": "rcpt",
    "totp_identifier": "identifier",
    "content": "text",
    "message": "text",
    "body": "text",
    "sender": "from",
    "title": "subject",
}
"""Other names for the same fields: Skyvern's, those of SMS forwarders for Android, and Twilio's (which begin with a capital
letter)."""

LONGEST_LINE = 900
UNSAFE = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A posted text. ``rcpt`` or ``identifier`` is given. ``content`` is a mail, made of the text or as posted (``is_raw``)."""

    rcpt: str
    identifier: str
    sender: str
    content: bytes
    is_raw: bool
    received_at: datetime | None


def read_written(posted: Posted, *, now: datetime) -> Written:
    """Read a posted text. Unknown keys are ignored, so that a whole record may be sent.

    Raises:
        Refused: it is no JSON object or form, has neither ``identifier`` nor ``rcpt``, no text, or a value of the wrong type.
    """
    fields = _fields(posted)
    rcpt, identifier = fields.get("rcpt", "").strip(), fields.get("identifier", "").strip()
    if not rcpt and not identifier:
        raise Refused(400, "identifier (or rcpt) must be given: for whom the code is", HINT)
    if rcpt and parse_mailbox(rcpt) is None:
        raise Refused(400, "rcpt must be a mail address", HINT)
    if not any(fields.get(name, "").strip() for name in ("text", "html", "raw")):
        raise Refused(400, "text (or html, or raw) must be given: what was received", HINT)
    sender = UNSAFE.sub(" ", fields.get("from", "")).strip()
    received_at = _moment(fields["received_at"], now) if fields.get("received_at", "").strip() else None
    raw = fields.get("raw", "")
    content = (
        raw.encode("utf-8", "surrogatepass") if raw.strip() else _mail(fields, sender, identifier or rcpt, received_at or now)
    )
    return Written(
        rcpt=rcpt, identifier=identifier, sender=sender, content=content, is_raw=bool(raw.strip()), received_at=received_at
    )


def _fields(posted: Posted) -> dict[str, str]:
    if posted.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        given: dict[str, Any] = {name: value.decode("utf-8", "replace") for name, value in read_form(posted).items()}
    else:
        try:
            told = msgspec.json.decode(posted.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused(400, "the body is not JSON", HINT) from None
        if not isinstance(told, dict):
            raise Refused(400, "the body must be one JSON object", HINT)
        given = told
    fields: dict[str, str] = {}
    for name, value in given.items():
        key = name.casefold()
        key = OTHER_NAMES.get(key, key)
        if value is None or key in fields or key not in KNOWN:
            continue
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise Refused(400, f"{name[:50]} must be text", HINT)
        fields[key] = str(value)
    return fields


KNOWN = frozenset({"identifier", "rcpt", "from", "subject", "text", "html", "raw", "received_at"})


def _moment(text: str, now: datetime) -> datetime:
    """A time from RFC 3339, or from seconds or milliseconds since 1970. Never later than now."""
    try:
        seconds = float(text)
        at = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, now.tzinfo)
    except (ValueError, OverflowError, OSError):
        try:
            at = datetime.fromisoformat(text.strip())
        except ValueError:
            raise Refused(400, "received_at must be a moment such as 2026-01-31T12:00:00Z, or seconds since 1970", HINT) from None
    if at.tzinfo is None:
        raise Refused(400, "received_at needs a time zone, such as 2026-01-31T12:00:00Z", HINT)
    return min(at, now)


def _mail(fields: dict[str, str], sender: str, to: str, at: datetime) -> bytes:
    """A mail with the posted text, so that one reader works for all. The library writes line ends and headers. The same text
    always makes the same mail."""
    mail = EmailMessage(policy=SMTP)
    mail["Date"] = at
    mail["Subject"] = UNSAFE.sub(" ", fields.get("subject", ""))[:LONGEST_LINE]
    address = parse_mailbox(sender)
    if address is not None:
        mail["From"] = address
    recipient = parse_mailbox(to)
    if recipient is not None:
        mail["To"] = recipient
    text = fields.get("text", "")
    if text.strip() or not fields.get("html", "").strip():
        mail.set_content(text.replace("\0", ""), cte="base64")
    if fields.get("html", "").strip():
        html = fields["html"].replace("\0", "")
        if mail.get_content_type() == "text/plain" and text.strip():
            mail.add_alternative(html, subtype="html", cte="base64")
        else:
            mail.set_content(html, subtype="html", cte="base64")
    if mail.is_multipart():
        mail.set_boundary(hashlib.sha256(f"{text}\0{fields['html']}".encode("utf-8", "surrogatepass")).hexdigest()[:32])
    return mail.as_bytes()
