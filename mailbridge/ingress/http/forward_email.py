"""Forward Email's webhook: JSON with the mail in ``raw``, signed with the domain's webhook key."""

from __future__ import annotations

from datetime import datetime

import msgspec

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.ingress.http.jsontext import octets_of
from mailbridge.ingress.http.posted import Brought, Delivery, Posted, Refused
from mailbridge.ingress.http.proofs import hex_matches, hmac_sha256


class _Session(msgspec.Struct):
    recipient: str = ""
    sender: str = ""


class _Inbound(msgspec.Struct):
    raw: msgspec.Raw = msgspec.Raw(b'""')
    recipients: list[str] = []
    session: _Session = msgspec.field(default_factory=_Session)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardEmail:
    """``key`` is the domain's webhook signature payload verification key."""

    key: Secret
    name: str = "forwardemail"
    unknown_recipient: int = 200

    def take(self, posted: Posted, *, now: datetime) -> Delivery:
        """See `Adapter.take`. The signature covers no timestamp. A copy of the same mail is one mail in the store."""
        del now
        if not hex_matches(posted.headers.get("x-webhook-signature", ""), hmac_sha256(self.key, posted.body)):
            raise Refused(
                401, "the signature is not Forward Email's", "compare [ingest] forwardemail_key with the domain's webhook key"
            )
        try:
            told = msgspec.json.decode(posted.body, type=_Inbound)
            content = octets_of(told.raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused(400, "this is not a mail of Forward Email") from None
        if not content:
            raise Refused(400, "the raw mail is missing", "take ?raw=false out of the webhook's URL")
        recipients = tuple(told.recipients) or (told.session.recipient,)
        return Delivery(
            mails=(Brought(mail_from=told.session.sender, rcpt_to=recipients, content=content, is_exact=content.isascii()),)
        )
