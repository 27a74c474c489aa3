"""SendGrid's Inbound Parse with "send raw" on: a form with the mail in ``email``, signed by a security policy, or with a password."""

from __future__ import annotations

from datetime import datetime

import msgspec

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.ingress.http.forms import read_form
from mailbridge.ingress.http.posted import Brought, Delivery, Posted, Refused
from mailbridge.ingress.http.proofs import basic, ecdsa_p256, must_be_fresh

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"


class _Envelope(msgspec.Struct):
    to: list[str] = []
    sender: str = msgspec.field(default="", name="from")


@dataclass(frozen=True, slots=True, kw_only=True)
class SendGrid:
    """``key`` is the public key of the security policy ("" if there is none), ``password`` the one in the URL."""

    key: str = ""
    password: Secret | None = None
    name: str = "sendgrid"
    unknown_recipient: int = 200

    def take(self, posted: Posted, *, now: datetime) -> Delivery:
        """See `Adapter.take`. If both proofs are configured, both must hold."""
        once = ""
        if self.key:
            stamp, signature = posted.headers.get(TIMESTAMP, ""), posted.headers.get(SIGNATURE, "")
            if not ecdsa_p256(self.key, signature, stamp.encode(), posted.body):
                raise Refused(
                    401, "the signature is not SendGrid's", "compare [ingest] sendgrid_key with the security policy's public key"
                )
            must_be_fresh(stamp, now, provider="SendGrid")
            once = f"sendgrid {signature[:200]}"
        if self.password is not None:
            basic(posted.headers, self.password, setting="[ingest] sendgrid_password")
        fields = read_form(posted)
        if "email" not in fields:
            raise Refused(400, "the raw mail is missing", 'switch on "POST the raw, full MIME message" in Inbound Parse')
        try:
            envelope = msgspec.json.decode(fields.get("envelope", b""), type=_Envelope)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refused(400, "the envelope is missing or no JSON") from None
        content = fields["email"]
        mail = Brought(mail_from=envelope.sender, rcpt_to=tuple(envelope.to), content=content, is_exact=content.isascii())
        return Delivery(mails=(mail,), once=once)
