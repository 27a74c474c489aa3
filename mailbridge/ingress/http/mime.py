"""``/ingest/mime``: a raw mail as the body (``message/rfc822``), its envelope in the query. For a program of your own."""

from __future__ import annotations

from datetime import datetime

from mailbridge.core.addresses import parse_mailbox, parse_return_path
from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.http.posted import Brought, Delivery, Posted, Refused

KNOWN = frozenset({"rcpt", "from"})
TYPES = frozenset({"message/rfc822", "message/global"})
HINT = "POST /ingest/mime?rcpt=codes@bridge.example&from=sender@example.com with Content-Type: message/rfc822"


@dataclass(frozen=True, slots=True)
class Mime:
    """Reads only the envelope. The caller is already known, by token or signature."""

    name: str = "mime"
    unknown_recipient: int = 404

    def take(self, posted: Posted, *, now: datetime) -> Delivery:
        """See `Adapter.take`. The recipient is never taken from the To header, which anybody can write."""
        del now
        if posted.content_type not in TYPES:
            raise Refused(415, "the body must be a mail: Content-Type: message/rfc822", HINT)
        unknown = sorted(set(posted.query) - KNOWN)
        if unknown:
            raise Refused(400, f"{unknown[0][:50]}: no such parameter here", HINT)
        given = posted.query.get("rcpt", ())
        recipients = tuple(mailbox for one in given if (mailbox := parse_mailbox(one)) is not None)
        if not given or len(recipients) != len(given):
            raise Refused(400, "rcpt must be given, and be a mail address (write + as %2B)", HINT)
        senders = posted.query.get("from", ("",))
        if len(senders) != 1 or (senders[0] and parse_return_path(senders[0]) is None):
            raise Refused(400, "from must be one mail address, or left out for the null sender", HINT)
        if not posted.body.strip():
            raise Refused(400, "the body is empty; a mail was expected", HINT)
        return Delivery(mails=(Brought(mail_from=senders[0], rcpt_to=recipients, content=posted.body, is_exact=True),))
