"""The attack set against a whole daemon with a real target: nothing of it gets out. Each class has an honest mail that does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from mailbridge.config import settings as s
from mailbridge.core.addresses import canonical
from tests.attacks import dialogues, forgeries, misnamed
from tests.attacks.forgeries import ANN, BOUND, CODES, STRICT, TOKEN, TOKEN_BOUND, Attack, by_acme, code, confirm, link, sealed
from tests.peers import signer
from tests.peers.house import House, house
from tests.trust.mails import mail

ATTACKS = forgeries.every()
DIALOGUES = dialogues.every()
MISNAMED = dict(misnamed.every())

opened: list[str] = []


def no_google() -> httpx.AsyncClient:
    """A browser that notes what it is asked to open, and finds nothing."""

    def answer(request: httpx.Request) -> httpx.Response:
        opened.append(str(request.url))
        return httpx.Response(404)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the whole set: what one attack breaks, the next ones show. Links of strangers pass there, or nearly every attack
    would be held for that alone; `test_strangers` has theirs."""
    sections: dict[str, Any] = {
        "address": (
            s.AddressSettings(rcpt=TOKEN),
            s.AddressSettings(rcpt=TOKEN_BOUND, identifier=ANN),
            s.AddressSettings(rcpt=BOUND, identifier=ANN),
            s.AddressSettings(rcpt=STRICT, accept_from=("*@acme.example",)),
        ),
        "trust": s.TrustSettings(
            accounts=("ann@gmail.com",), authserv_ids=("mx.mailbox.example",), alarm_held=0, strangers="all"
        ),
    }
    with house(tmp_path_factory.mktemp("attacks"), browser=no_google, **sections) as one:
        publish(one)
        yield one


def publish(one: House) -> None:
    """Keys of everybody: the attacker's domains have good ones too."""
    one.dns.txt("s1._domainkey.acme.example", signer.record(signer.key()))
    one.dns.txt("s1._domainkey.google.com", signer.record(signer.key("google")))
    one.dns.txt("arc._domainkey.google.com", signer.record(signer.key("google")))
    for domain in (
        "evil.example",
        "acme-example.evil.example",
        "acme.example.evil.example",
        "xn--cme-6cd.example",
        "acrne.example",
    ):
        one.dns.txt(f"s1._domainkey.{domain}", signer.record(signer.key("evil")))
        one.dns.txt(f"arc._domainkey.{domain}", signer.record(signer.key("evil")))
    for domain in ("acme.examp1e", "notacme.example", "mail.acme.example", "example"):
        one.dns.txt(f"s1._domainkey.{domain}", signer.record(signer.key("evil")))
    one.dns.txt(
        "s1._domainkey.weak.example",
        "v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALxcqn+zK7PtrlZdFRnUtGQX8AuIn3OXkSUw6k5ITjYK7FMtClqaXFNFACu+6pl4t3uMPVsnRtroFhLQqudxPs8CAwEAAQ==",
    )
    one.dns.txt("s1._domainkey.huge.example", "v=DKIM1; p=" + "A" * 9_000)
    one.dns.txt("s1._domainkey.junk.example", "v=DKIM1; p=AAAABBBBCCCCDDDD")
    one.dns.txt("gmail.com", "v=spf1 redirect=_spf.google.com")
    one.dns.txt("_spf.google.com", "v=spf1 ip4:127.0.0.9 ~all")


def test_the_set_is_as_large_as_it_says() -> None:
    """At least 200 cases, each under a name of its own; the rows of `tests/attacks/test_rows.py` come to these."""
    assert len(ATTACKS) + len(DIALOGUES) >= 200


@pytest.mark.parametrize("name", ATTACKS)
def test_no_forged_mail_is_pushed(home: House, name: str) -> None:
    """The mail may be taken, refused or put off: no delivery is made of it, the target gets nothing, no link is opened or kept."""
    attack: Attack = ATTACKS[name]
    content, before = attack.build(), home.pushed()
    reply = home.send(content, rcpt=attack.rcpt, mail_from=attack.mail_from)
    assert reply.code in (250, 451, 550, 552), reply.text
    if reply.mail_id is not None:
        assert home.deliveries(reply.mail_id) == ()
        assert home.row(reply.mail_id).confirm_link is None
    assert home.pushed() == before
    assert opened == []


@pytest.mark.parametrize("name", MISNAMED)
def test_no_genuine_mail_is_pushed_for_somebody_whom_it_only_shows(home: House, name: str) -> None:
    """What a site has sent to somebody else is pushed for him or for nobody, however he calls himself: never for whom his name shows."""
    attack = MISNAMED[name]
    reply = home.send(attack.build(), rcpt=attack.rcpt, mail_from=attack.mail_from)
    assert reply.code == 250, reply.text
    pushed = [row.draft.identifier for row in home.deliveries(reply.mail_id)]
    assert canonical(ANN) not in map(canonical, pushed)
    assert pushed in ([], ["m@evil.example"], ["m@gmail.com"])
    assert home.row(reply.mail_id).verdict in ("code", "link"), "it is held for another reason than the one that is tested"


@pytest.mark.parametrize("name", misnamed.CONFIRMATIONS)
def test_googles_question_about_another_account_waits_for_a_person(home: House, name: str) -> None:
    """Google's own question about an account that shows the listed one is kept with its link, and not answered."""
    row = home.row(home.send(misnamed.question(name), rcpt=CODES).mail_id)
    assert row.verdict == "confirmation"
    assert row.confirm_link is not None
    assert opened == []


@pytest.mark.parametrize("name", DIALOGUES)
def test_no_dialogue_smuggles_a_mail(home: House, name: str) -> None:
    """However a dialogue is written, no more mails come of it than the honest reading has, and none of them is pushed."""
    case, before = DIALOGUES[name], home.pushed()
    stored = home.do(lambda: home.running.engine.store.mails.page(limit=1))
    last = stored[0].id if stored else 0
    heard = home.talk(*case.parts)
    taken = home.do(lambda: home.running.engine.store.mails.page(limit=50))
    mails = [row for row in taken if row.id > last]
    assert len(mails) <= case.mails, heard
    for pattern in case.heard:
        assert re.search(pattern, heard), (pattern, heard)
    for row in mails:
        assert home.deliveries(row.id) == ()
    assert home.pushed() == before


HONEST: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "signed code": (lambda: by_acme(code()), CODES, ANN),
    "signed code, bound address": (lambda: by_acme(mail("Your verification code is 713222.")), BOUND, ANN),
    "signed code, address with senders": (lambda: by_acme(code(to="s@corp.example")), STRICT, "s@corp.example"),
    "signed link": (lambda: by_acme(link()), CODES, ANN),
    "signed link to a subdomain": (lambda: by_acme(link("app.acme.example")), TOKEN, ANN),
    "unsigned code, unguessable address": (lambda: mail("Your verification code is 713111."), TOKEN, ANN),
    "signed code, to a quoted name": (
        lambda: by_acme(mail("Your verification code is 713333.", to=f'"Smith, Ann" <{ANN}>')),
        BOUND,
        ANN,
    ),
    "signed code, to a name that should be quoted": (
        lambda: by_acme(mail("Your verification code is 713444.", to=f"Smith, Ann <{ANN}>")),
        BOUND,
        ANN,
    ),
    "signed code, to a group": (
        lambda: by_acme(mail("Your verification code is 713555.", to=f"Team: Bob <bob@corp.example>, {ANN};")),
        BOUND,
        ANN,
    ),
    "signed code, from a name that should be quoted": (
        lambda: by_acme(mail("Your verification code is 713666.", sender="Acme, Inc. [x] <no-reply@acme.example>")),
        STRICT,
        ANN,
    ),
    "sealed by Google": (
        lambda: sealed(
            b"Delivered-To: b@corp.example\r\n" + sealed(code(to="undisclosed:;"), "google.com", private="google"),
            "google.com",
            private="google",
            instance=2,
            darn="bridge.example",
        ),
        BOUND.replace("otp", "codes"),
        "b@corp.example",
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_the_honest_mail_of_each_class_is_pushed(home: House, name: str) -> None:
    """The same mails without the forgery get out, so that the set fails for the reason that it names."""
    build, rcpt, identifier = HONEST[name]
    before = home.pushed()
    reply = home.send(build(), rcpt=rcpt)
    rows = home.deliveries(reply.mail_id)
    assert [row.draft.identifier for row in rows] == [identifier], home.row(reply.mail_id).held
    assert home.pushed() == before + 1


def test_googles_own_confirmation_keeps_its_link(home: House) -> None:
    """Signed by google.com and written to the address that it came to, the confirmation has its link; for a listed account it is opened.

    It is opened behind all that were kept for a person before, and is the only one.
    """
    reply = home.send(signer.dkim(confirm(), "google.com", private=signer.key("google")), rcpt=CODES)
    row = home.row(reply.mail_id)
    assert row.verdict == "confirmation"
    assert row.confirm_link is not None
    deadline = time.monotonic() + 5
    while not opened and time.monotonic() < deadline:
        time.sleep(0.01)
    assert opened == [row.confirm_link]
    opened.clear()
