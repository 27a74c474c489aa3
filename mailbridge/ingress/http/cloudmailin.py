"""CloudMailin in its raw format: a form whose field ``message`` is the mail. The HTTP answer becomes the SMTP answer."""

from __future__ import annotations

from datetime import datetime

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.ingress.http.forms import read_form
from mailbridge.ingress.http.posted import Brought, Delivery, Posted, Refused
from mailbridge.ingress.http.proofs import basic


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudMailin:
    """``password`` is the one in the target's URL. A 4xx bounces the mail to its sender; after a 5xx the sender tries again."""

    password: Secret
    name: str = "cloudmailin"
    unknown_recipient: int = 404

    def take(self, posted: Posted, *, now: datetime) -> Delivery:
        """See `Adapter.take`."""
        del now
        basic(posted.headers, self.password, setting="[ingest] cloudmailin_password")
        if posted.content_type == "application/json":
            raise Refused(422, "the mail came taken apart", "choose the format Raw for the target at CloudMailin")
        fields = read_form(posted)
        content = fields.get("message", b"")
        if not content:
            raise Refused(422, "the raw mail is missing", "choose the format Raw for the target at CloudMailin")
        rcpt = fields.get("envelope[to]", fields.get("to", b"")).decode("utf-8", "replace")
        mail_from = fields.get("envelope[from]", fields.get("from", b"")).decode("utf-8", "replace")
        return Delivery(mails=(Brought(mail_from=mail_from, rcpt_to=(rcpt,), content=content, is_exact=content.isascii()),))
