"""Mailgun's routes, ``forward("https://…/ingest/mailgun/mime")``: a form with the raw mail in ``body-mime``.

The signature covers only timestamp and token, not the mail, so each token counts once. It is spent when the mail is stored. If
the store is not available, Mailgun may post the same mail again.
"""

from __future__ import annotations

from datetime import datetime

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.ingress.http.forms import read_form
from mailbridge.ingress.http.posted import Brought, Delivery, Posted, Refused
from mailbridge.ingress.http.proofs import hex_matches, hmac_sha256, must_be_fresh


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailgun:
    """``key`` is the HTTP webhook signing key of the account."""

    key: Secret
    name: str = "mailgun"
    unknown_recipient: int = 406

    def take(self, posted: Posted, *, now: datetime) -> Delivery:
        """See `Adapter.take`."""
        fields = read_form(posted)
        stamp, token = fields.get("timestamp", b""), fields.get("token", b"")
        signature = fields.get("signature", b"").decode("ascii", "replace")
        if not token or not hex_matches(signature, hmac_sha256(self.key, stamp, token)):
            raise Refused(401, "the signature is not Mailgun's", "compare [ingest] mailgun_key with the HTTP webhook signing key")
        must_be_fresh(stamp.decode("ascii", "replace"), now, provider="Mailgun")
        if "message-url" in fields:
            raise Refused(
                406, "the route stores the mail instead of sending it", "use forward(), not store(), in Mailgun's route"
            )
        if "body-mime" not in fields:
            raise Refused(406, "the raw mail is missing", "let the URL of Mailgun's route end in /mime")
        return Delivery(
            mails=(
                Brought(
                    mail_from=fields.get("sender", b"").decode("utf-8", "replace"),
                    rcpt_to=(fields.get("recipient", b"").decode("utf-8", "replace"),),
                    content=fields["body-mime"],
                    is_exact=False,
                ),
            ),
            once=f"mailgun {token.decode('ascii', 'replace')[:100]}",
        )
