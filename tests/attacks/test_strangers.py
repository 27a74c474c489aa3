"""What strangers try who sign for domains of their own, by default: no link, no run, nothing in the place of a known site's code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mailbridge.config import settings as s
from mailbridge.core.delivery import State
from mailbridge.sinks.skyvern_pages import Login
from tests.peers import signer
from tests.peers.house import House, house
from tests.trust.mails import mail

TOKEN, BOUND, CODES, OPEN = "otp-7m3k9q2wxy8vhtnc@b.example", "bound@b.example", "codes@b.example", "open@b.example"
ANN = "ann@corp.example"
STRANGERS = ("evil.example", "acme.test", "acme-example.test", "login.evil.example", "acme.example.evil.example", "a.github.io")
NUMBERS = itertools.count(200_000)
LINK = "Sign in with this link:\n\nhttps://{host}/session/magic?token=hZ4tqPw81LxV0rBn7sYd2KcQ\n\nIt works once."
CODE = "Your code is {number}."

Build = Callable[[], bytes]


def code(domain: str, *, name: str = "Acme", is_signed: bool = True, **more: Any) -> Build:
    """A code of this domain's; ``name`` is what its From shows."""

    def build() -> bytes:
        content = mail(CODE.format(number=next(NUMBERS)), sender=f"{name} <no-reply@{domain}>", to=ANN, **more)
        return signer.dkim(content, domain) if is_signed else content

    return build


def link(domain: str, host: str = "", **more: Any) -> Build:
    """A link of this domain's, to its own host."""
    return lambda: signer.dkim(
        mail(LINK.format(host=host or domain), subject="Sign in", sender=f"Acme <a@{domain}>", to=ANN, **more), domain
    )


def attacks() -> Iterator[tuple[str, Build, str]]:
    """Name, mail, and where it is sent."""
    for domain in STRANGERS:
        for where, rcpt in (("anywhere", CODES), ("a bound address", BOUND), ("an unguessable address", TOKEN)):
            yield f"code of {domain} to {where}", code(domain), rcpt
            yield f"link of {domain} to {where}", link(domain), rcpt
    for tag in ("wr_1", "w_1", "tsk_1"):
        yield f"code for {tag}", code("evil.example"), f"bound+{tag}@b.example"
        yield f"link for {tag}", link("evil.example"), f"bound+{tag}@b.example"
    yield "code under the site's name", code("evil.example", name="acme.example"), CODES
    yield "unsigned code of the site, unguessable address", code("acme.example", is_signed=False), TOKEN
    yield "unsigned code of the site, where nothing is asked", code("acme.example", is_signed=False), OPEN
    yield "code of a stranger where nothing is asked", code("evil.example"), OPEN
    yield (
        "bound to the site by a stranger",
        code("evil.example", below='OTP-Token: "999999"; origin="https://acme.example"'),
        CODES,
    )
    yield (
        "bound by a stranger to himself",
        code("evil.example", below='OTP-Token: "999999"; origin="https://evil.example"'),
        CODES,
    )
    yield "dated in the future", lambda: code("evil.example")().replace(b"25 Nov 2026", b"25 Nov 2036"), TOKEN
    for name, below in (
        ("a list", "List-Id: team/repo <repo.team.acme.example>"),
        ("a comment", "Reply-To: reply+AAFK7Q2PZ@reply.acme.example"),
        ("somebody's answer address", "Reply-To: Mallory <m@evil.example>"),
    ):
        yield f"the site's notice by {name}", code("acme.example", below=below), CODES
        yield f"the site's link in a notice by {name}", link("acme.example", below=below), CODES
    for subject in ("Mallory shared a document with you", "[team/repo] Your code (#12)", "Mallory sent you $1.00 USD"):
        yield f"the site's notice: {subject}", code("acme.example", subject=subject), CODES
    yield "the site's notice by its From", code("acme.example", name='"Mallory (via Acme)"'), CODES


ATTACKS = {name: (build, rcpt) for name, build, rcpt in attacks()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house by default; Skyvern knows the site, and its code lives."""
    sections: dict[str, Any] = {
        "domains": s.DomainSettings(accept=("b.example",)),
        "address": (
            s.AddressSettings(rcpt=TOKEN, identifier=ANN),
            s.AddressSettings(rcpt=BOUND, identifier=ANN),
            s.AddressSettings(rcpt=OPEN, trust="none"),
        ),
        "trust": s.TrustSettings(alarm_held=0),
    }
    with house(tmp_path_factory.mktemp("strangers"), **sections) as one:
        for domain in (*STRANGERS, "acme.example"):
            one.dns.txt(f"s1._domainkey.{domain}", signer.record(signer.key()))
        one.do(lambda: one.running.engine.contacts.learn([Login(identifier=ANN, page="https://acme.example/login")]))
        yield one


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_of_it_is_at_the_target(home: House, name: str) -> None:
    """Behind the site's own code, none of these is pushed, and the site's code stays what a reader is given."""
    genuine = str(next(NUMBERS))
    reply = home.send(signer.dkim(mail(CODE.format(number=genuine), to=ANN), "acme.example"), rcpt=CODES)
    assert [row.state for row in home.deliveries(reply.mail_id)] == [State.DELIVERED]
    before = home.pushed()
    build, rcpt = ATTACKS[name]
    reply = home.send(build(), rcpt=rcpt)
    assert all(row.state is State.SUPERSEDED for row in home.deliveries(reply.mail_id))
    assert home.row(reply.mail_id).held
    assert home.pushed() == before
    assert home.receiver.rows(ANN)[0].content == genuine
