"""The table of platforms: where others write, whose customer a host is, and what its keys mean."""

from __future__ import annotations

from typing import Any

import pytest

from mailbridge.core.url import read
from mailbridge.trust.platforms import Pages, Platforms, platforms


def has(entry: dict[str, Any], text: str) -> bool:
    """Whether a table of the file has a URL."""
    url = read(text)
    assert url is not None
    return Pages.read({"why": "x", **entry}).has(url)


WHOLE = {"hosts": ["a.example", "*.b.example", "s3.*.c.example"], "own": ["login.b.example"]}
SOME = {"hosts": ["a.example"], "paths": ["/u/*/pages", "/go.php"]}
MOST = {"hosts": ["a.example"], "but": ["/login", "/u/*/confirm"]}


@pytest.mark.parametrize(
    ("entry", "url", "expected"),
    [
        (WHOLE, "https://a.example/x", True),
        (WHOLE, "https://x.a.example/x", False),
        (WHOLE, "https://a.example.evil.example/x", False),
        (WHOLE, "https://aXexample/x", False),
        (WHOLE, "https://x.y.b.example/x", True),
        (WHOLE, "https://b.example/x", False),
        (WHOLE, "https://login.b.example/x", False),
        (WHOLE, "https://s3.eu-west-9.c.example/x", True),
        (WHOLE, "https://s3.c.example/x", False),
        (SOME, "https://a.example/u/ann/pages", True),
        (SOME, "https://a.example/U/Ann/PAGES/1", True),
        (SOME, "https://a.example/go.php?x=1", True),
        (SOME, "https://a.example/u/ann/pages2", False),
        (SOME, "https://a.example/x/go.php", False),
        (SOME, "https://a.example/", False),
        (MOST, "https://a.example/login", False),
        (MOST, "https://a.example/login/x", False),
        (MOST, "https://a.example/LOGIN", False),
        (MOST, "https://a.example/u/ann/confirm", False),
        (MOST, "https://a.example/login2", True),
        (MOST, "https://a.example/u/ann", True),
        (MOST, "https://b.example/u/ann", False),
    ],
)
def test_which_urls_a_table_has(entry: dict[str, Any], url: str, expected: bool) -> None:
    """Those of its hosts but the owner's own: under its paths only, or under all but some, each with all that is below it."""
    assert has(entry, url) is expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://sites.google.com/view/x", "pages, files and forms that any Google account publishes"),
        ("https://www.facebook.com/dialog/x", "leads on to whatever its address names, or shows what its users publish"),
        ("https://www.facebook.com/confirmemail.php", ""),
        ("https://acme.example/dialog", ""),
    ],
)
def test_why_what_stands_there_is_not_the_owners(url: str, why: str) -> None:
    """In the words of the first table that has it; nothing for what is in none."""
    found = read(url)
    assert found is not None
    assert platforms().why(found) == why


@pytest.mark.parametrize(
    ("host", "customer"),
    [
        ("acme.sharepoint.com", "acme.sharepoint.com"),
        ("x.y.acme.sharepoint.com", "acme.sharepoint.com"),
        ("sharepoint.com", ""),
        ("notsharepoint.com", None),
        ("sharepoint.com.evil.example", None),
        ("acme.example", None),
        ("com", None),
        ("", None),
    ],
)
def test_whose_customer_a_host_is(host: str, customer: str | None) -> None:
    """The name right below the suffix; "" for the suffix itself, and None for what is below none."""
    assert platforms().customer(host) == customer


@pytest.mark.parametrize(
    ("host", "tenant"),
    [
        ("acme.okta.com", "acme.okta.com"),
        ("x.y.acme.okta.com", "acme.okta.com"),
        ("acme.my.salesforce.com", "acme.my.salesforce.com"),
        ("my.salesforce.com", ""),
        ("okta.com", ""),
        ("login.okta.com", ""),
        ("x.login.okta.com", ""),
        ("okta.com.acme.example", ""),
        ("acme.notokta.com", ""),
        ("acme.example", ""),
        ("com", ""),
    ],
)
def test_whose_tenant_a_host_is(host: str, tenant: str) -> None:
    """The customer's subdomain; nothing for the platform's own ones and for what is below no platform."""
    assert platforms().tenant(host) == tenant


@pytest.mark.parametrize(
    ("host", "is_signing"),
    [
        ("sendgrid.net", True),
        ("u1.wl2.sendgrid.net", True),
        ("net", False),
        ("notsendgrid.net", False),
        ("sendgrid.net.acme.example", False),
        ("acme.example", False),
        ("", False),
    ],
)
def test_whose_key_signs_what_anybody_writes(host: str, is_signing: bool) -> None:
    """A service that sends for others, and every host below it."""
    assert platforms().signs_for_anybody(host) is is_signing


def test_the_table_is_read_whole() -> None:
    """Each of its kinds has entries."""
    table: Platforms = platforms()
    assert {"sharepoint.com", "weeblysite.com"} <= table.suffixes
    assert {"gmail.com", "outlook.com", "qq.com"} <= table.mailboxes
    assert {"okta.com", "my.salesforce.com"} <= table.tenants
    assert {"login", "www"} <= table.owners
    assert len(table.pages) > 10
