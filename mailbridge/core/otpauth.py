"""How authenticator secrets are written: Base32, ``otpauth://``, Steam's forms, and Google Authenticator's export.

The export (``otpauth-migration://``) is a protobuf of one message in another; the few lines that read it are here, since no field
of it needs more than the wire format. Faults never repeat what was given.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import cast
from urllib.parse import parse_qs, unquote, urlsplit

from mailbridge.core.secret import Secret
from mailbridge.core.totp import DIGESTS, DIGITS, LEAST_BITS, STEAM_DIGITS, STRONG_BITS, Algorithm, Authenticator, decode

LONGEST = 100_000
"""Characters that are looked at: an export of ten secrets has about 1,000."""

LONGEST_PERIOD = 86_400

EXPORT_ALGORITHMS: Mapping[int, str] = MappingProxyType({0: "SHA1", 1: "SHA1", 2: "SHA256", 3: "SHA512"})
EXPORT_DIGITS: Mapping[int, int] = MappingProxyType({0: 6, 1: 6, 2: 8})
EXPORT_TOTP = 2

Fields = dict[int, list[int | bytes]]


class SecretError(ValueError):
    """What was given is not an authenticator secret; the message says what is wrong with it, and does not repeat it."""


def read_secrets(text: str) -> tuple[Authenticator, ...]:
    """Every authenticator that a text holds: one, or those of an export.

    Raises:
        SecretError: it holds none, or one that cannot make codes.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise SecretError(f"longer than {LONGEST} characters")
    scheme = text.partition(":")[0].casefold()
    if scheme == "otpauth-migration":
        return tuple(_export(text))
    if scheme == "otpauth":
        return (_uri(text),)
    if scheme == "steam":
        return (_checked(text.partition("://")[2], is_steam=True),)
    return (_checked(text),)


def warnings(authenticator: Authenticator) -> tuple[str, ...]:
    """What is odd about a secret that nevertheless works."""
    if authenticator.bits < STRONG_BITS:
        short = f"the secret has {authenticator.bits} bits, RFC 4226 wants {STRONG_BITS}"
        return (f"{short}: it works here, but Skyvern's own credential tool may refuse it (pyotp 2.12 wants 112)",)
    return ()


def uri(authenticator: Authenticator) -> Secret:
    """The ``otpauth://totp/`` URI of a secret, as Skyvern takes it. Raises SecretError for Steam, which has none."""
    if authenticator.is_steam:
        raise SecretError("Steam's codes have no standard otpauth URI, and Skyvern refuses them")
    one = authenticator
    return Secret(
        f"otpauth://totp/mailbridge?secret={one.secret.reveal()}&algorithm={one.algorithm}&digits={one.digits}&period={one.period}"
    )


def _checked(
    written: str,
    *,
    algorithm: str = "SHA1",
    digits: int = 6,
    period: int = 30,
    is_steam: bool = False,
    label: tuple[str, str] = ("", ""),
) -> Authenticator:
    bare = re.sub(r"[\s-]", "", written).rstrip("=").upper()
    if not bare:
        raise SecretError("the secret is missing: Base32 such as JBSWY3DPEHPK3PXP, or an otpauth:// address")
    try:
        octets = decode(bare)
    except ValueError as fault:
        raise SecretError(str(fault)) from None
    if len(octets) * 8 < LEAST_BITS:
        raise SecretError(f"{len(octets) * 8} bits are too few for a secret; is some of it missing?")
    if algorithm not in DIGESTS:
        raise SecretError("its algorithm is not one of SHA1, SHA256 and SHA512")
    if not is_steam and digits not in DIGITS:
        raise SecretError(f"its codes would have {digits} digits; known are 6 to 10")
    if not 1 <= period <= LONGEST_PERIOD:
        raise SecretError(f"its period of {period} s is not between 1 and {LONGEST_PERIOD}")
    issuer, account = label
    return Authenticator(
        secret=Secret(bare),
        algorithm=cast("Algorithm", algorithm),
        digits=STEAM_DIGITS if is_steam else digits,
        period=period,
        is_steam=is_steam,
        issuer=issuer,
        account=account,
    )


def _uri(text: str) -> Authenticator:
    """``otpauth://totp/Issuer:account?secret=…`` (Key URI Format), and the three ways in which apps write Steam's."""
    try:
        parts = urlsplit(text)
        given = {
            name.casefold(): values[-1]
            for name, values in parse_qs(parts.query, keep_blank_values=True, max_num_fields=30).items()
        }
    except ValueError:
        raise SecretError("not a URI") from None
    kind = parts.netloc.casefold()
    if kind == "hotp":
        raise SecretError("it counts logins (hotp), not time; such codes cannot be made without the site's own counter")
    if kind not in ("totp", "steam"):
        raise SecretError("neither otpauth://totp/ nor otpauth://steam/")
    before, colon, after = unquote(parts.path.lstrip("/")).partition(":")
    label = (given.get("issuer") or (before if colon else ""), (after if colon else before).strip())
    is_steam = kind == "steam" or given.get("encoder", "").casefold() == "steam"
    return _checked(
        given.get("secret", ""),
        algorithm=given.get("algorithm", "SHA1").upper().replace("-", "").removeprefix("HMAC"),
        digits=_number(given.get("digits", "6"), "digits"),
        period=_number(given.get("period", "30"), "period"),
        is_steam=is_steam,
        label=label,
    )


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise SecretError(f"its {what} is no number")
    return int(text)


def _export(text: str) -> Iterator[Authenticator]:
    """Google Authenticator's "Transfer accounts": field 1 of the payload is one account each."""
    data = re.search(r"[?&]data=([^&#]+)", text)
    if data is None:
        raise SecretError("an export without data; scan the QR code again")
    try:
        octets = base64.b64decode(unquote(data[1]).replace(" ", "+").replace("-", "+").replace("_", "/") + "==", validate=False)
        accounts = [one for one in _fields(octets).get(1, []) if isinstance(one, bytes)]
    except (binascii.Error, ValueError):
        raise SecretError("an export that cannot be read; is some of it missing?") from None
    if not accounts:
        raise SecretError("an export without accounts")
    for account in accounts:
        yield _account(account)


def _account(octets: bytes) -> Authenticator:
    try:
        fields = _fields(octets)
    except ValueError:
        raise SecretError("an export that cannot be read; is some of it missing?") from None
    if _int(fields, 6, EXPORT_TOTP) not in (0, EXPORT_TOTP):
        raise SecretError(f"account {_text(fields, 2)!r} counts logins (hotp), not time; export it without that one")
    account, issuer = _text(fields, 2), _text(fields, 3)
    return _checked(
        base64.b32encode(_bytes(fields, 1)).decode(),
        algorithm=EXPORT_ALGORITHMS.get(_int(fields, 4, 1), ""),
        digits=EXPORT_DIGITS.get(_int(fields, 5, 1), 0),
        label=(issuer, account.removeprefix(f"{issuer}:").strip()),
    )


def _fields(octets: bytes) -> Fields:
    """A protobuf message by field number: varints as int, what has a length as bytes. Raises ValueError."""
    found: Fields = {}
    at = 0
    while at < len(octets):
        key, at = _varint(octets, at)
        match key & 7:
            case 0:
                value, at = _varint(octets, at)
                found.setdefault(key >> 3, []).append(value)
            case 2:
                length, at = _varint(octets, at)
                if length > len(octets) - at:
                    raise ValueError("cut short")
                found.setdefault(key >> 3, []).append(octets[at : at + length])
                at += length
            case 1 | 5 as kind:
                at += 8 if kind == 1 else 4
            case _:
                raise ValueError("no such wire type")
    return found


def _varint(octets: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(octets):
            break
        octet = octets[at]
        at += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
    raise ValueError("cut short")


def _int(fields: Fields, number: int, default: int) -> int:
    value = fields.get(number, [default])[-1]
    return value if isinstance(value, int) else default


def _bytes(fields: Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def _text(fields: Fields, number: int) -> str:
    return _bytes(fields, number).decode("utf-8", "replace")
