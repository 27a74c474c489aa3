"""Postmark's inbound webhook: JSON with the raw mail in ``RawEmail``, and a password in the URL."""

from __future__ import annotations

from datetime import datetime

import msgspec

from mailbridge.core.addresses import parse_return_path_header
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.ingress.http.jsontext import octets_of
from mailbridge.ingress.http.posted import Brought, Delivery, Posted, Refused
from mailbridge.ingress.http.proofs import basic


class _Header(msgspec.Struct):
    Name: str = ""
    Value: str = ""


class _Inbound(msgspec.Struct):
    OriginalRecipient: str = ""
    RawEmail: msgspec.Raw = msgspec.Raw(b'""')
    RecordType: str = "Inbound"
    Headers: list[_Header] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmark:
    """``password`` is the one in the URL of the webhook."""

    password: Secret
    name: str = "postmark"
    unknown_recipient: int = 403

    def take(self, posted: Posted, *, now: datetime) -> Delivery:
        """See `Adapter.take`."""
        del now
        basic(posted.headers, self.password, setting="[ingest] postmark_password")
        try:
            told = msgspec.json.decode(posted.body, type=_Inbound)
            content = octets_of(told.RawEmail)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused(
                403, "this is not an inbound message of Postmark", "let only the inbound stream's webhook post here"
            ) from None
        if told.RecordType != "Inbound":
            raise Refused(403, f"this is {told.RecordType[:40]}, not Inbound", "let only the inbound stream's webhook post here")
        if not content:
            raise Refused(403, "the raw mail is missing", 'switch on "Include raw email content in JSON payload" at Postmark')
        path = next((one.Value for one in told.Headers[:1] if one.Name.casefold() == "return-path"), "")
        mail_from = parse_return_path_header(path)
        return Delivery(
            mails=(Brought(mail_from=mail_from, rcpt_to=(told.OriginalRecipient,), content=content, is_exact=content.isascii()),)
        )
