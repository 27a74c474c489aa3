"""Codes of authenticator secrets: RFC 6238 over RFC 4226, Steam's alphabet too. Pure: the time is an argument.

pyotp does the arithmetic. It refuses secrets under 112 bits and periods over two minutes, which sites nevertheless hand out, so
its classes are used by counter and below that check.
"""

from __future__ import annotations

import base64
import hashlib
from types import MappingProxyType
from typing import Literal

from pyotp import OTP
from pyotp.contrib import Steam

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret

Algorithm = Literal["SHA1", "SHA256", "SHA512"]

DIGESTS = MappingProxyType({"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512})
DIGITS = range(6, 11)
STEAM_DIGITS = 5
STRONG_BITS = 128
"""RFC 4226 R6: a shared secret must be at least so long. A shorter one works, with a warning."""

LEAST_BITS = 40
"""Below it nothing is a secret that a site hands out, but a slip of the hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticator:
    """One authenticator secret. ``secret`` is Base32 (RFC 4648) in capitals without padding; ``period`` is in seconds.

    ``is_steam``: five letters of Steam's alphabet in place of ``digits`` digits.
    """

    secret: Secret
    algorithm: Algorithm = "SHA1"
    digits: int = 6
    period: int = 30
    is_steam: bool = False
    issuer: str = ""
    account: str = ""

    @property
    def bits(self) -> int:
        """How long the secret is."""
        return len(decode(self.secret.reveal())) * 8

    def counter(self, at: float) -> int:
        """The number of the period that ``at`` (seconds since 1970) is in."""
        return int(at // self.period)

    def remaining(self, at: float) -> float:
        """Seconds until the next code."""
        return self.period - at % self.period

    def code(self, counter: int) -> Secret:
        """The code of a period. RFC 6238 4.2 with ``T`` given."""
        return Secret(hotp(self, counter))


class _Plain(OTP):
    """pyotp's HOTP truncation without its least length of a secret."""

    def byte_secret(self) -> bytes:
        """The octets, however few."""
        return decode(self.secret)


class _Steam(Steam):
    """pyotp's Steam codes without its least length of a secret."""

    def byte_secret(self) -> bytes:
        """The octets, however few."""
        return decode(self.secret)


def hotp(authenticator: Authenticator, counter: int) -> str:
    """RFC 4226 5.3: the code of a counter."""
    secret = authenticator.secret.reveal()
    if authenticator.is_steam:
        return _Steam(secret).generate_otp(counter)
    return _Plain(secret, digits=authenticator.digits, digest=DIGESTS[authenticator.algorithm]).generate_otp(counter)


def decode(secret: str) -> bytes:
    """The octets of a Base32 text, in any case, padded or not. Raises ValueError (without the text)."""
    bare = secret.rstrip("=").upper()
    if len(bare) % 8 in (1, 3, 6):
        raise ValueError("not Base32: a letter is missing, or one too many")
    try:
        return base64.b32decode(bare + "=" * (-len(bare) % 8))
    except ValueError:
        raise ValueError("not Base32: it has the letters A to Z and the digits 2 to 7") from None
