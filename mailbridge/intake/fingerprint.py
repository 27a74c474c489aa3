"""By what a mail is told from its own copies: one that comes by two doors is one mail, and one that is handed in again is another."""

from __future__ import annotations

import hashlib

from mailbridge.core.mail import Envelope
from mailbridge.intake.meaning import Understanding


def fingerprint(envelope: Envelope, understood: Understanding, identifiers: tuple[str, ...], *, apart: str = "") -> str:
    """The same for the same mail by whatever door, and for no other; ``apart`` sets copies of one mail apart.

    Message-ID, identifiers and what was found in it; without a Message-ID the octets of the body, the Date and the author, since
    the trace headers above them differ from door to door.
    """
    parts = [",".join(sorted(identifiers or envelope.rcpt_to)), *([apart] if apart else [])]
    if understood.message_id:
        value = understood.extraction.value
        parts += [understood.message_id, value.reveal() if value else ""]
        tail = memoryview(b"")
    else:
        parts += [understood.sender, understood.written_at.isoformat() if understood.written_at else understood.subject]
        tail = memoryview(envelope.content)[envelope.content.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in envelope.content else 0 :]
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
    digest.update(b"\0")
    digest.update(tail)
    return digest.hexdigest()
