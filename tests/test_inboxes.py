"""Throw-away inboxes before a whole daemon with a real target: made, written to by every way in, waited for, and gone without a trace."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mailbridge.config import settings as s
from mailbridge.core.delivery import State
from mailbridge.core.inbox import looks_like_inbox
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.core.token import token_digest
from mailbridge.store import Filter
from tests.peers import signer
from tests.peers.house import House, house
from tests.trust.mails import mail

ADMIN = "the-token-that-reads-everything"
NUMBERS = itertools.count(100_000)
TOKENS = itertools.count(1)
LINK = "Confirm your account with this link:\n\nhttps://{host}/confirm?token=hZ4tqPw81LxV0rBn7sYd2KcQ\n\nIt works once."
SIGNERS = ("acme.example", "evil.example")


def sections(**more: Any) -> dict[str, Any]:
    """What an operator has: one domain, and a token."""
    return {
        "http": s.HttpSettings(listen="127.0.0.1:0", token=Secret(ADMIN)),
        "inboxes": s.InboxesSettings(most=3),
        "trust": s.TrustSettings(alarm_held=0),
        **more,
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for tests of the default; each has a token of its own."""
    with house(tmp_path_factory.mktemp("inboxes"), **sections()) as one:
        yield published(one)


def published(one: House) -> House:
    """With the keys of everybody."""
    for domain in SIGNERS:
        one.dns.txt(f"s1._domainkey.{domain}", signer.record(signer.key()))
    return one


def token(home: House, *identifiers: str, role: Any = "agent") -> str:
    """A new bearer token."""
    text = f"mbt_{next(TOKENS)}"
    home.do(
        lambda: home.running.engine.store.entries.add_token(
            token_digest(text), name=text, identifiers=identifiers or ("inbox-*",), expires_at=None, role=role
        )
    )
    return text


@pytest.fixture
def agent(home: House) -> Iterator[httpx.Client]:
    """An agent with a token for inboxes."""
    with client(home, token(home)) as one:
        yield one


def client(home: House, bearer: str) -> httpx.Client:
    """Somebody with a token."""
    headers = {"Authorization": f"Bearer {bearer}"}
    return httpx.Client(base_url=f"http://{home.running.http_address}", headers=headers, trust_env=False, timeout=30)


def create(agent: httpx.Client, **asked: Any) -> dict[str, Any]:
    """A new inbox."""
    answer = agent.post("/api/v1/inboxes", json={name.rstrip("_"): value for name, value in asked.items()})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def code(domain: str = "acme.example", *, is_signed: bool = True, to: str = "somebody@else.example") -> tuple[str, bytes]:
    """A new code and the mail that holds it."""
    number = str(next(NUMBERS))
    content = mail(f"Your code is {number}.", sender=f"no-reply@{domain}", to=to)
    return number, signer.dkim(content, domain) if is_signed else content


def link(host: str, domain: str = "acme.example") -> bytes:
    """A signed mail with a link to this host."""
    content = mail(LINK.format(host=host), subject="Confirm your account", sender=f"a@{domain}", to="x@else.example")
    return signer.dkim(content, domain)


def wait(agent: httpx.Client, inbox: dict[str, Any], **asked: Any) -> Any:
    """What a long poll of an inbox gives."""
    params = {"identifier": inbox["identifier"], "timeout": 0, **asked}
    answer = agent.get("/api/v1/codes/wait", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["code"]


def test_an_inbox_is_what_the_contract_says(agent: httpx.Client) -> None:
    """An identifier, an address that nobody guesses, and when it ends; lifetimes are durations or seconds, and bounded."""
    found = create(agent, from_=["Acme.com", "no-reply@other.example"], lifetime="90s")
    assert {"id", "identifier", "address", "from", "expires_at"} <= set(found)
    assert looks_like_inbox(found["address"])
    assert found["address"].endswith("@bridge.example")
    assert found["identifier"] == found["address"]
    assert found["from"] == ["acme.com", "no-reply@other.example"]
    assert found["push"] is False
    for lifetime in ("365d", 1e9):
        assert create(agent, lifetime=lifetime)["expires_at"] > found["expires_at"]


def test_what_is_wrong_is_said(agent: httpx.Client) -> None:
    """A wrong member, domain or duration: 400, and what."""
    for wrong in ({"form": ["a.example"]}, {"from": "acme.com"}, {"from": ["*"]}, {"lifetime": "soon"}, {"lifetime": -1}, ["x"]):
        answer = agent.post("/api/v1/inboxes", json=wrong)
        assert answer.status_code == 400, wrong
        assert answer.headers["content-type"] == "application/problem+json"


def test_whoever_proves_himself_brings_a_code_and_a_link_to_his_own_host(home: House, agent: httpx.Client) -> None:
    """Without ``from``, whatever its To says; nothing of it goes to Skyvern."""
    inbox, before = create(agent), home.pushed()
    number, content = code()
    assert home.send(content, rcpt=inbox["address"]).code == 250
    assert wait(agent, inbox, kind="code") == number
    reply = home.send(link("login.acme.example"), rcpt=inbox["address"])
    assert wait(agent, inbox, kind="link").startswith("https://login.acme.example/confirm")
    assert [one.state for one in home.deliveries(reply.mail_id)] == [State.DELIVERED]
    assert home.pushed() == before


def test_what_proves_nothing_or_leads_elsewhere_is_held(home: House, agent: httpx.Client) -> None:
    """A mail without a signature, with a broken one, and a link to another's host: stored, shown with why, and given to nobody."""
    inbox = create(agent)
    unsigned, broken = code(is_signed=False)[1], code()[1].replace(b"Your code", b"Our code")
    for content in (unsigned, broken, link("evil.example")):
        reply = home.send(content, rcpt=inbox["address"])
        assert home.row(reply.mail_id).held, content
        assert home.deliveries(reply.mail_id) == ()
    assert wait(agent, inbox) is None


def test_with_from_only_those_domains(home: House, agent: httpx.Client) -> None:
    """Another sender is held, however well it proves itself; a subdomain is the domain's."""
    inbox = create(agent, from_=["acme.example"])
    _, other = code("evil.example")
    assert "inbox" in home.row(home.send(other, rcpt=inbox["address"]).mail_id).held[0]
    assert wait(agent, inbox) is None
    number, content = code()
    home.send(content, rcpt=inbox["address"])
    assert wait(agent, inbox) == number


def test_a_sender_that_was_forbidden_stays_so(home: House, agent: httpx.Client) -> None:
    """A person's word counts for inboxes too."""
    inbox = create(agent)
    add = {"kind": "sender", "name": "evil.example", "settings": {"sender": "evil.example", "allow": False}}
    with client(home, token(home, "*", role="operator")) as operator:
        assert operator.post("/api/v1/entries/add", json=add).status_code == 200
        _, content = code("evil.example")
        assert "forbidden" in home.row(home.send(content, rcpt=inbox["address"]).mail_id).held[0]
        assert operator.post("/api/v1/entries/remove", json={"kind": "sender", "name": "evil.example"}).status_code == 200


def test_an_inbox_that_is_pushed_goes_to_skyvern_too(home: House, agent: httpx.Client) -> None:
    """Asked for with ``push``, under its own identifier."""
    inbox = create(agent, push=True)
    number, content = code()
    home.deliveries(home.send(content, rcpt=inbox["address"]).mail_id)
    assert [row.content for row in home.receiver.rows(inbox["identifier"], limit=10)] == [number]
    assert wait(agent, inbox) == number


def test_it_takes_mail_by_every_way_in(home: House, agent: httpx.Client) -> None:
    """By SMTP with a plus tag, by a raw mail over HTTP, out of a mailbox that takes all of a domain, by a text that a token brings."""
    inbox = create(agent)
    local, _, domain = inbox["address"].partition("@")
    number, content = code()
    home.send(content, rcpt=f"{local.upper()}+signup@{domain}")
    assert wait(agent, inbox, consume="true") == number
    bringer = {"Authorization": f"Bearer {token(home, 'inbox-*', role='ingest')}"}
    number, content = code()
    posted = agent.post(
        "/ingest/mime", params={"rcpt": inbox["address"]}, content=content, headers={**bringer, "Content-Type": "message/rfc822"}
    )
    assert posted.status_code == 204, posted.text
    assert wait(agent, inbox, consume="true") == number
    assert home.do(lambda: home.running.door.way.bring(_fetched(home, code()[1])))
    assert wait(agent, inbox) is None
    number, content = code(to=f"Ann <{inbox['address']}>")
    home.do(lambda: home.running.door.way.bring(_fetched(home, content)))
    assert wait(agent, inbox, consume="true") == number
    inbox, before = create(agent), home.pushed()
    text = {"identifier": inbox["identifier"], "text": "Your code is 730164"}
    assert agent.post("/ingest/text", json=text, headers=bringer).status_code == 200
    assert wait(agent, inbox) == "730164"
    assert home.pushed() == before


def _fetched(home: House, content: bytes) -> Envelope:
    """A mail as it comes out of a mailbox that takes everything of a domain."""
    return Envelope(
        mail_from="",
        rcpt_to=("catchall@corp.example",),
        content=content,
        received_at=home.running.engine.clock.now(),
        ingress="imap",
        is_fetched=True,
        can_wait=False,
    )


def test_a_mail_for_an_inbox_and_for_somebody_else_is_both(home: House, agent: httpx.Client) -> None:
    """The inbox's end leaves the other what is his."""
    inbox = create(agent)
    number, content = code(to="ann@corp.example")
    reply = _to_both(home, content, inbox["address"], "codes@bridge.example")
    assert {one.draft.target for one in home.deliveries(reply)} == {"inbox", "skyvern"}
    assert agent.delete(f"/api/v1/inboxes/{inbox['id']}").status_code == 204
    assert [one.draft.identifier for one in home.deliveries(reply) if one.draft.identifier] == ["ann@corp.example"]
    assert [row.content for row in home.receiver.rows("ann@corp.example", limit=1)] == [number]


def _to_both(home: House, content: bytes, *rcpts: str) -> int:
    import smtplib

    with smtplib.SMTP(*home.smtp, timeout=30, local_hostname="localhost") as one:
        one.sendmail("bounces@acme.example", list(rcpts), content)
    (newest,) = home.do(lambda: home.running.engine.store.mails.page(limit=1))
    return newest.id


def test_an_owner_has_as_many_as_he_may_and_hears_why_not_more(home: House, agent: httpx.Client) -> None:
    """The limit is per token, says what it is and what frees one; releasing one does."""
    first = create(agent)
    for _ in range(2):
        create(agent)
    refused = agent.post("/api/v1/inboxes")
    assert (refused.status_code, refused.json()["kind"]) == (409, "too-many")
    assert "3 inboxes" in refused.json()["title"]
    assert "release one" in refused.json()["title"]
    with client(home, token(home)) as other:
        create(other)
    assert agent.delete(f"/api/v1/inboxes/{first['id']}").status_code == 204
    create(agent)


def test_each_sees_and_releases_his_own(home: House, agent: httpx.Client) -> None:
    """An operator and a viewer see all; a viewer makes and releases none; a token that is not for inboxes makes none."""
    mine = create(agent)
    numbers = [one["id"] for one in agent.get("/api/v1/inboxes").json()["inboxes"]]
    assert numbers == [mine["id"]]
    with client(home, token(home)) as other:
        assert other.get("/api/v1/inboxes").json() == {"inboxes": []}
        assert other.delete(f"/api/v1/inboxes/{mine['id']}").status_code == 404
    with client(home, token(home, role="viewer")) as viewer:
        assert mine["id"] in [one["id"] for one in viewer.get("/api/v1/inboxes").json()["inboxes"]]
        assert viewer.post("/api/v1/inboxes").status_code == 403
        assert viewer.delete(f"/api/v1/inboxes/{mine['id']}").status_code == 403
    with client(home, token(home, "ann@corp.example")) as narrow:
        refused = narrow.post("/api/v1/inboxes")
        assert refused.status_code == 403
        assert "mailbridge token add" in refused.json()["title"]
    with client(home, token(home, "*", role="operator")) as operator:
        assert operator.delete(f"/api/v1/inboxes/{mine['id']}").status_code == 204
        assert operator.delete(f"/api/v1/inboxes/{2**80}").status_code == 404


def test_a_released_inbox_is_gone(home: House, agent: httpx.Client) -> None:
    """Mail for it is refused though its domain takes everything; nothing is left; who waits for it hears so, and so does who comes."""
    inbox = create(agent)
    number, content = code()
    reply = home.send(content, rcpt=inbox["address"])
    assert wait(agent, inbox, consume="true") == number
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(agent.get, "/api/v1/codes/wait", params={"identifier": inbox["identifier"], "timeout": 30})
        until = time.monotonic() + 10
        while not home.do(_waits(home)) and time.monotonic() < until:
            time.sleep(0.01)
        assert agent.delete(f"/api/v1/inboxes/{inbox['id']}").status_code == 204
        assert waiting.result().status_code == 404
    assert agent.delete(f"/api/v1/inboxes/{inbox['id']}").status_code == 404
    assert home.send(code()[1], rcpt=inbox["address"]).code == 550
    again = agent.get("/api/v1/codes/wait", params={"identifier": inbox["identifier"]})
    assert again.status_code == 404
    assert "inbox is over" in again.json()["title"]
    store = home.running.engine.store
    wanted = Filter(identifier=inbox["identifier"])
    assert list(home.do(lambda: store.mails.page(wanted))) == []
    assert list(home.do(lambda: store.outbox.deliveries(wanted))) == []
    assert home.do(lambda: store.mails.raw(reply.mail_id or 0)) is None


def _waits(home: House) -> Any:
    async def look() -> bool:
        return any(looks_like_inbox(one.identifier) for one in home.running.engine.waiting.everybody())

    return look


def test_its_lifetime_ends_it(home: House, agent: httpx.Client) -> None:
    """It is erased at its time, without anybody's doing."""
    inbox = create(agent, lifetime=1)
    reply = home.send(code()[1], rcpt=inbox["address"])
    until = time.monotonic() + 20
    store = home.running.engine.store
    while home.do(lambda: store.mails.raw(reply.mail_id or 0)) is not None:
        assert time.monotonic() < until, "it is not erased"
        time.sleep(0.05)
    assert home.send(code()[1], rcpt=inbox["address"]).code == 550
    assert agent.get("/api/v1/inboxes").json() == {"inboxes": []}


def test_an_inbox_outlives_a_restart_of_the_daemon(tmp_path: Path) -> None:
    """It takes mail as before, and what came before is there."""
    with house(tmp_path, **sections()) as one:
        published(one)
        with client(one, ADMIN) as agent:
            inbox = create(agent, from_=["acme.example"])
            number, content = code()
            one.send(content, rcpt=inbox["address"])
    with house(tmp_path, **sections()) as one:
        published(one)
        with client(one, ADMIN) as agent:
            assert wait(agent, inbox, consume="true") == number
            assert one.send(code("evil.example")[1], rcpt=inbox["address"]).code == 250
            assert wait(agent, inbox) is None
            number, content = code()
            one.send(content, rcpt=inbox["address"])
            assert wait(agent, inbox) == number
