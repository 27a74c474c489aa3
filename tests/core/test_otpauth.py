"""Authenticator secrets are read in every form in which sites and apps write them."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from mailbridge.core.otpauth import SecretError, read_secrets, uri, warnings
from mailbridge.core.totp import Authenticator

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
SHORT = "JBSWY3DPEHPK3PXP"


def only(text: str) -> Authenticator:
    """The one that a text holds."""
    (one,) = read_secrets(text)
    return one


@pytest.mark.parametrize(
    "text", [SECRET, SECRET.lower(), " gezd gnbv gy3t qojq gezd gnbv gy3t qojq\n", "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV-GY3T-QOJQ==="]
)
def test_base32_is_read_as_sites_print_it(text: str) -> None:
    """Case, blanks, hyphens and padding make no difference."""
    assert only(text).secret.reveal() == SECRET


@pytest.mark.parametrize(
    ("text", "algorithm", "digits", "period", "is_steam", "issuer", "account"),
    [
        (f"otpauth://totp/Acme:ann%40corp.com?secret={SECRET}", "SHA1", 6, 30, False, "Acme", "ann@corp.com"),
        (
            f"otpauth://totp/ann?secret={SECRET.lower()}&issuer=Acme&algorithm=SHA256&digits=8&period=60",
            "SHA256",
            8,
            60,
            False,
            "Acme",
            "ann",
        ),
        (f"OTPAUTH://TOTP/x?SECRET={SECRET}&algorithm=sha512&digits=10&period=300", "SHA512", 10, 300, False, "", "x"),
        (f"otpauth://totp/x?secret={SECRET}&algorithm=HMAC-SHA-256", "SHA256", 6, 30, False, "", "x"),
        (f"otpauth://totp/Steam:ann?secret={SECRET}&issuer=Steam&encoder=steam", "SHA1", 5, 30, True, "Steam", "ann"),
        (f"otpauth://steam/Steam:ann?secret={SECRET}&digits=5", "SHA1", 5, 30, True, "Steam", "ann"),
        (f"steam://{SECRET}", "SHA1", 5, 30, True, "", ""),
    ],
)
def test_a_uri_is_read_with_all_it_says(
    text: str, algorithm: str, digits: int, period: int, is_steam: bool, issuer: str, account: str
) -> None:
    """Algorithm, digits, period, issuer and account, and Steam in its three spellings."""
    one = only(text)
    assert (one.algorithm, one.digits, one.period, one.is_steam, one.issuer, one.account) == (
        algorithm,
        digits,
        period,
        is_steam,
        issuer,
        account,
    )
    assert one.secret.reveal() == SECRET


def field(number: int, value: int | bytes) -> bytes:
    """One protobuf field, written by hand."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def export(*accounts: bytes) -> str:
    """What Google Authenticator's QR code says for these accounts."""
    payload = b"".join(field(1, account) for account in accounts) + field(2, 1) + field(3, 1) + field(4, 0)
    return f"otpauth-migration://offline?data={quote(base64.b64encode(payload).decode(), safe='')}"


def account(name: str, *, secret: bytes = b"12345678901234567890", algorithm: int = 1, digits: int = 1, kind: int = 2) -> bytes:
    """One account of an export."""
    return (
        field(1, secret) + field(2, name.encode()) + field(3, b"Acme") + field(4, algorithm) + field(5, digits) + field(6, kind)
    )


def test_an_export_gives_every_account() -> None:
    """Google Authenticator's export of two accounts: names, secrets, algorithms and digits."""
    first, second = read_secrets(export(account("Acme:ann"), account("ben", secret=b"abcdefghij", algorithm=2, digits=2)))
    assert (first.account, first.issuer, first.secret.reveal(), first.digits) == ("ann", "Acme", SECRET, 6)
    assert (second.account, second.algorithm, second.digits, second.bits) == ("ben", "SHA256", 8, 80)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the secret is missing"),
        ("AB", "too few"),
        ("this is not a secret!", "not Base32"),
        (f"otpauth://hotp/x?secret={SECRET}&counter=1", "hotp"),
        ("otpauth://totp/x", "the secret is missing"),
        (f"otpauth://totp/x?secret={SECRET}&digits=5", "5 digits"),
        (f"otpauth://totp/x?secret={SECRET}&digits=six", "no number"),
        (f"otpauth://totp/x?secret={SECRET}&period=0", "period"),
        (f"otpauth://totp/x?secret={SECRET}&algorithm=MD5", "algorithm"),
        (f"otpauth://push/x?secret={SECRET}", "neither"),
        ("otpauth-migration://offline", "without data"),
        ("otpauth-migration://offline?data=CiE", "cannot be read"),
        (export(), "without accounts"),
        (export(account("x", kind=1)), "hotp"),
        (export(account("x", secret=b"")), "the secret is missing"),
        ("A" * 100_001, "longer"),
    ],
)
def test_what_cannot_make_codes_is_refused_unseen(text: str, what: str) -> None:
    """The complaint names the fault and does not repeat the secret."""
    with pytest.raises(SecretError, match=what) as caught:
        read_secrets(text)
    assert SECRET not in str(caught.value)


def test_a_short_secret_is_read_with_a_warning() -> None:
    """80 bits work, and the warning tells that Skyvern's own tool may refuse them."""
    assert "80 bits" in warnings(only(SHORT))[0]
    assert len(only(SHORT).code(1).reveal()) == 6
    assert warnings(only(SECRET)) == ()


def test_the_uri_holds_everything_that_makes_the_code() -> None:
    """What is written for Skyvern reads back as the same authenticator."""
    one = only(f"otpauth://totp/ann?secret={SECRET}&algorithm=SHA512&digits=8&period=60")
    again = only(uri(one).reveal())
    assert (again.secret, again.algorithm, again.digits, again.period) == (one.secret, one.algorithm, one.digits, one.period)
    with pytest.raises(SecretError, match="Steam"):
        uri(only(f"steam://{SECRET}"))
