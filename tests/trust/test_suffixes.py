"""Who registered a name, by the public suffix list and by the platforms that it has not got."""

from __future__ import annotations

import pytest

from mailbridge.trust.suffixes import is_registered, registrable

LONG = "a." * 121 + "example.com"
"""A name of 253 characters, which is as long as one may be."""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("acme.example", "acme.example"),
        ("app.acme.co.uk", "acme.co.uk"),
        ("APP.Acme.co.uk.", "acme.co.uk"),
        ("x.acme.sharepoint.com", "acme.sharepoint.com"),
        ("x.acme.sharepoint.com.", "acme.sharepoint.com"),
        ("acme.sharepoint.com", "acme.sharepoint.com"),
        ("sharepoint.com", None),
        ("co.uk", None),
        ("example", None),
        ("", None),
        (".", None),
        ("192.0.2.1", None),
        ("2130706433", None),
        ("[::1]", None),
        ("[::ffff:192.0.2.1]", None),
        ("192.0.2.1.acme.example", "acme.example"),
        ("www.食狮.公司.cn", "xn--85x722f.xn--55qx5d.cn"),
        (LONG, "example.com"),
        ("b" + LONG, None),
    ],
)
def test_a_registrable_domain(host: str, expected: str | None) -> None:
    """What somebody registered, in lower case and without a final dot; suffixes, addresses and what is too long are nobody's."""
    assert registrable(host) == expected


@pytest.mark.parametrize(
    ("name", "can_exist"),
    [
        ("acme.example", True),
        ("acme.invalid", True),
        ("acme.localhost", True),
        ("acme.test", True),
        ("acme.com", True),
        ("ACME.com", True),
        ("acme.co.uk", True),
        ("acme.公司.cn", True),
        ("index.html", False),
        ("report.pdf", False),
        ("com", False),
        ("test", False),
        ("", False),
    ],
)
def test_a_name_that_can_exist(name: str, can_exist: bool) -> None:
    """One that is somebody's, below a top-level domain that there is, or that is kept for documents and tests."""
    assert is_registered(name) is can_exist
