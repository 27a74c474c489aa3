"""Genuine mails of a site whose link somebody else chose: whatever its spelling, a whole daemon keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mailbridge.config import settings as s
from tests.attacks.forgeries import ANN, CODES, TOKEN, by_acme
from tests.peers import signer
from tests.peers.house import House, house
from tests.trust.mails import mail

PATH = "/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ"
LINKS = [
    f"https://evil.example\\.acme.example{PATH}",
    f"https://evil.example\\@acme.example{PATH}",
    f"https://acme.example\\.evil.example{PATH}",
    f"https://acme.example\\@evil.example{PATH}",
    f"https:/\\evil.example{PATH}",
    f"https://evil.example/\\acme.example{PATH}",
    f"https://evil.example%2f.acme.example{PATH}",
    f"https://evil.example%5c.acme.example{PATH}",
    f"https://evil.example%23.acme.example{PATH}",
    f"https://evil.example%3f.acme.example{PATH}",
    f"https://evil.example;.acme.example{PATH}",
    f"https://evil.example;@acme.example{PATH}",
    f"https://evil.example&amp;.acme.example{PATH}",
    f"https://ac\tme.example{PATH}",
    f"https://evil.example\t.acme.example{PATH}",
    f"https://acme.example\u200b{PATH}",
    f"https://evil.example\u3002acme.example{PATH}",
    f"https://evil.example\uff0facme.example{PATH}",
    f"https://evil.example\u2571.acme.example{PATH}",
    f"https://user@acme.example{PATH}",
    f"https://acme.example@evil.example{PATH}",
    f"https://a:b@acme.example:443@evil.example{PATH}",
    f"https://acme.example:8443{PATH}",
    f"https://acme.example:{PATH}",
    f"https://acme.example.{PATH}",
    f"https://login..acme.example{PATH}",
    f"https://аcme.example{PATH}",
    f"https://xn--cme-5cd.example{PATH}",
    f"https://127.0.0.1{PATH}",
    f"https://2130706433{PATH}",
    f"https://0x7f.1{PATH}",
    f"https://[::1]{PATH}",
    f"http://acme.example{PATH}",
    f"https://acme.example/a/../..{PATH}",
    f"https://acme.example{PATH}&redirect_to=https://evil.example/in",
    f"https://acme.example{PATH}&next=%2F%2Fevil.example%2F",
    f"https://acme.example{PATH}#https://evil.example/",
    f"https://acme.example/redirect/https%3A%2F%2Fevil.example{PATH}",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for all, with the site's key."""
    addresses = (s.AddressSettings(rcpt=TOKEN),)
    with house(tmp_path_factory.mktemp("links"), address=addresses, trust=s.TrustSettings(alarm_held=0)) as one:
        one.dns.txt("s1._domainkey.acme.example", signer.record(signer.key()))
        yield one


def plain(url: str) -> bytes:
    """The link in a plain text."""
    return mail(f"Sign in to Acme with this link:\n\n{url}\n\nIt works once.", subject="Sign in to Acme")


def html(url: str) -> bytes:
    """The link behind a button."""
    body = f'<p>Sign in to Acme with this button.</p><a class="btn" href="{url}">Sign in to Acme</a><p>It works once.</p>'
    return mail(body, subject="Sign in to Acme").replace(b"text/plain", b"text/html")


@pytest.mark.parametrize("rcpt", [CODES, TOKEN])
@pytest.mark.parametrize("build", [plain, html])
@pytest.mark.parametrize("url", LINKS)
def test_no_link_of_somebody_elses_is_pushed(home: House, url: str, build: Callable[[str], bytes], rcpt: str) -> None:
    """Signed by the site, in text or behind a button: it is kept, nothing reaches the target."""
    before = home.pushed()
    reply = home.send(by_acme(build(url)), rcpt=rcpt)
    assert reply.code == 250
    assert home.deliveries(reply.mail_id) == ()
    assert home.pushed() == before


@pytest.mark.parametrize("build", [plain, html])
@pytest.mark.parametrize(
    "url",
    [
        f"https://acme.example{PATH}",
        f"https://Login.ACME.example{PATH}",
        f"https://acme.example:443{PATH}",
        f"https://acme.example{PATH}&redirect_to=https%3A%2F%2Fapp.acme.example%2Fwelcome",
    ],
)
def test_the_sites_own_link_is_pushed_as_it_is_written(home: House, url: str, build: Callable[[str], bytes]) -> None:
    """So that the others are kept for the reason that they name. What is pushed is the link, octet for octet."""
    reply = home.send(by_acme(build(url)), rcpt=CODES)
    (delivery,) = home.deliveries(reply.mail_id)
    assert delivery.draft.identifier == ANN
    assert delivery.draft.content.reveal() == url


def test_the_reason_is_stored(home: House) -> None:
    """A person sees what was odd about the link."""
    reply = home.send(by_acme(plain(LINKS[0])), rcpt=CODES)
    assert "backslash" in home.row(reply.mail_id).reason
