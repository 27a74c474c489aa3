"""Where a link leads, in every spelling of a host: the rules of `mailbridge.trust.hosts` one by one."""

from __future__ import annotations

import pytest

from mailbridge.trust.hosts import is_authors, registrable


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("APP.Acme.Example", "acme.example"),
        ("app.acme.example.", "acme.example"),
        ("example", None),
        ("acmé.example", None),
        ("app.acmé.example", None),
        (".", None),
        ("192.0.2.1", None),
        ("192.0.2.1.", None),
        ("2001:db8::1", None),
    ],
)
def test_a_host_is_registered_by_the_same_whoever_spells_it(host: str, expected: str | None) -> None:
    """Case and a final dot change nothing; an address and what is not ASCII are registered by nobody."""
    assert registrable(host) == expected


@pytest.mark.parametrize(
    ("url", "sender", "is_good"),
    [
        ("https://app.acme.example./x", "a@acme.example", True),
        ("https://acme.example/x", "a@ACME.Example", True),
        ("https://APP.Acme.Example/x", "a@acme.example", True),
        ("HTTPS://acme.example/x", "a@acme.example", True),
        ("https://user@acme.example/x", "a@acme.example", False),
        ("https://user:word@acme.example/x", "a@acme.example", False),
        ("https://:word@acme.example/x", "a@acme.example", False),
        ("https:///x", "a@", False),
        ("https:///x", "", False),
        ("https:x", "a@", False),
        ("https://acmé.example/x", "a@acmé.example", False),
        ("https://acme.example:444/x", "a@acme.example", False),
        ("https://acme.example:/x", "a@acme.example", True),
        ("https://bücher.co.uk/x", "a@bücher.co.uk", False),
    ],
)
def test_a_link_is_the_authors_in_every_spelling_or_in_none(url: str, sender: str, is_good: bool) -> None:
    """Case and a final dot change nothing; a user, another port, no host, and what is not ASCII make it nobody's."""
    assert is_authors(url, sender, ()) is is_good
