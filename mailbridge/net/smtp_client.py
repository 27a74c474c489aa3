"""A small SMTP client: sends one mail to one recipient, and returns the answer."""

from __future__ import annotations

import re
import smtplib
import socket
import time
from pathlib import Path

from mailbridge.core.dataclass import dataclass
from mailbridge.net.listening import connect_private

QUEUED_AS = re.compile(r"queued as (\d{1,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the listener answered: the SMTP code and text, the number that it gave the mail, and when the 250 came.

    ``at`` is `time.perf_counter` at the end of DATA, ``seconds`` from there to the reply.
    """

    code: int
    text: str
    mail_id: int | None = None
    at: float = 0.0
    seconds: float = 0.0

    @property
    def is_accepted(self) -> bool:
        """Whether the mail is on the other side's disk."""
        return self.code == 250


def is_answering(address: str, *, timeout: float = 2.0) -> bool:
    """Whether ``host:port`` or ``unix:/path`` accepts connections."""
    host, _, port = address.rpartition(":")
    try:
        if host == "unix":
            connect_private(Path(port), timeout=timeout).close()
            return True
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout):
            return True
    except OSError:
        return False


def send(address: str, *, mail_from: str, rcpt: str, content: bytes, timeout: float = 10.0, is_lmtp: bool = False) -> Sent:
    """Send one mail to ``host:port`` by SMTP, or by LMTP (RFC 2033), there to ``unix:/path`` too. A refusal is a value.

    Raises:
        OSError: nobody listens there, or the connection broke.
    """
    host, _, port = address.rpartition(":")
    if is_lmtp:
        place = (port, 0) if host == "unix" else (host.strip("[]"), int(port))
        connection: smtplib.SMTP = smtplib.LMTP(*place, local_hostname="localhost", timeout=timeout)
    else:
        connection = smtplib.SMTP(host.strip("[]"), int(port), timeout=timeout, local_hostname="localhost")
    with connection as client:
        try:
            client.ehlo_or_helo_if_needed()
            options = () if mail_from.isascii() else ("SMTPUTF8",)
            for command, good in ((client.mail(mail_from, options), (250,)), (client.rcpt(rcpt), (250, 251))):
                if command[0] not in good:
                    return Sent(code=command[0], text=command[1].decode("ascii", "replace"))
            began = time.perf_counter()
            code, answer = client.data(content)
        except smtplib.SMTPResponseException as refusal:
            text = refusal.smtp_error
            return Sent(code=refusal.smtp_code, text=text.decode("ascii", "replace") if isinstance(text, bytes) else text)
        except smtplib.SMTPServerDisconnected as gone:
            raise ConnectionError(str(gone)) from None
    text = answer.decode("ascii", "replace")
    number = QUEUED_AS.search(text)
    return Sent(
        code=code,
        text=text,
        mail_id=int(number.group(1)) if number else None,
        at=began,
        seconds=time.perf_counter() - began,
    )
