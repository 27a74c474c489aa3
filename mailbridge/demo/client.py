"""A small SMTP client for the tour and for `send-test`: one mail, one honest account of what was answered."""

from __future__ import annotations

import re
import smtplib
import socket
import time
from dataclasses import dataclass

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
    """Whether somebody accepts connections on ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout):
            return True
    except OSError:
        return False


def send(address: str, *, mail_from: str, rcpt: str, content: bytes, timeout: float = 10.0) -> Sent:
    """Send one mail to ``host:port``. A refusal is a value.

    Raises:
        OSError: nobody listens there, or the connection broke.
    """
    host, _, port = address.rpartition(":")
    with smtplib.SMTP(host.strip("[]"), int(port), timeout=timeout, local_hostname="localhost") as client:
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
