"""Codes that a mail binds to a site itself: each of the three forms, and what is none."""

from __future__ import annotations

import pytest

from mailbridge.core.bound import bound_codes
from mailbridge.core.parse import parse


def found(headers: str = "", body: str = "Welcome.") -> list[tuple[str, str, str]]:
    """Code, host and place of everything that a mail binds."""
    content = f"From: a@acme.example\r\n{headers}Content-Type: text/plain\r\n\r\n{body}\r\n".encode()
    return [(one.code.reveal(), one.host, one.place) for one in bound_codes(parse(content))]


@pytest.mark.parametrize(
    ("headers", "body", "wanted"),
    [
        ('OTP-Token: "123456"; origin="https://acme.example"\r\n', "", [("123456", "acme.example", "otp-token")]),
        (
            'otp-token: "AB-12";v=1; origin="https://Login.Acme.example:8443"\r\n',
            "",
            [("AB-12", "login.acme.example", "otp-token")],
        ),
        ("One-Time-Code: code=123456; origin=https://acme.example\r\n", "", [("123456", "acme.example", "one-time-code")]),
        ("", "Your code is 123456.\r\n\r\n@acme.example #123456", [("123456", "acme.example", "body")]),
        ("", "x\r\n@acme.example #123456 @login.acme.example\r\n\r\n", [("123456", "acme.example", "body")]),
        ('OTP-Token: "123456"; origin="http://acme.example"\r\n', "", []),
        ('OTP-Token: "123456"\r\n', "", []),
        ('OTP-Token: "1"; origin="https://acme.example"\r\n', "", []),
        ('OTP-Token: "123456"; origin="https://acme.example/path"\r\n', "", []),
        ('OTP-Token: "123456"; origin="https://acme.example"\r\nOTP-Token: "654321"; origin="https://acme.example"\r\n', "", []),
        ("", "@acme.example #123456\r\nThank you.", []),
        ("", "@acme #123456", []),
        ("", "ann@acme.example #123456", []),
    ],
)
def test_what_a_mail_binds(headers: str, body: str, wanted: list[tuple[str, str, str]]) -> None:
    """A form that is not kept to the letter binds nothing, nor does a header that is there twice."""
    assert found(headers, body) == wanted


def test_the_surest_comes_first() -> None:
    """The header goes before the line."""
    header = 'OTP-Token: "111111"; origin="https://acme.example"\r\n'
    assert [one[0] for one in found(header, "@acme.example #222222")] == ["111111", "222222"]
