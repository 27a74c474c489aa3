"""The operator's own word: a header that a command writes over a mail, with a key that only this machine has.

`mail release`, `mail replay` and `send-test` send through the running daemon like everybody else; the seal says that it is the
operator who does. It binds the mail's octets, its recipient and the moment at which the mail first came.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HEADER = b"X-Mailbridge-Seal: "
LINE = re.compile(rb"X-Mailbridge-Seal: n=(\d{1,18}); at=(\d{1,18}); made=(\d{1,18}); mac=([0-9a-f]{64})\r\n")
VALID_FOR = timedelta(minutes=2)
"""A seal is made for the moment: one that somebody finds in a backup opens nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """``mail_id`` is the stored mail that is sent anew, 0 for a new one; ``received_at`` is when it first came."""

    mail_id: int
    received_at: datetime


class Sealer:
    """Makes and reads seals with a key derived from the store's."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"mailbridge: the operator's seal", "sha256")

    def make(self, content: bytes, *, rcpt: str, mail_id: int, received_at: datetime, now: datetime) -> bytes:
        """The mail with a seal on top; an older seal is taken off."""
        content = _wired(without(content))
        numbers = (mail_id, _micros(received_at), _micros(now))
        mac = self._mac(content, rcpt, numbers)
        return HEADER + b"n=%d; at=%d; made=%d; mac=%b\r\n" % (*numbers, mac) + content

    def read(self, content: bytes, *, rcpt: str, now: datetime) -> Seal | None:
        """The seal on a mail for a recipient; None where there is none, or none of ours. Costs nothing without one."""
        found = LINE.match(content)
        if found is None:
            return None
        numbers = (int(found[1]), int(found[2]), int(found[3]))
        if not hmac.compare_digest(self._mac(content[found.end() :], rcpt, numbers), found[4]):
            return None
        if abs(_micros(now) - numbers[2]) > VALID_FOR // timedelta(microseconds=1):
            return None
        return Seal(mail_id=numbers[0], received_at=datetime.fromtimestamp(numbers[1] / 1_000_000, UTC))

    def _mac(self, content: bytes, rcpt: str, numbers: tuple[int, int, int]) -> bytes:
        told = b"%d;%d;%d;%b\0" % (*numbers, rcpt.casefold().encode()) + hashlib.sha256(content).digest()
        return hmac.digest(self._key, told, "sha256").hex().encode()


def without(content: bytes) -> bytes:
    """The mail without a seal on top."""
    found = LINE.match(content)
    return content[found.end() :] if found else content


def _wired(content: bytes) -> bytes:
    """The content as it will arrive over SMTP: every line with its CRLF, the last one too."""
    wired = re.sub(rb"(?<!\r)\n", b"\r\n", content)
    return wired if wired.endswith(b"\r\n") else wired + b"\r\n"


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
