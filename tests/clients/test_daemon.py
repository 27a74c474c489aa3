"""The clients against a real daemon: mails go in by SMTP, codes come out of `wait_for_code`."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from mailbridge.web.openapi import openapi
from mailbridge_client import (
    AsyncMailbridge,
    Code,
    CodeTimeout,
    Mailbridge,
    NotAllowed,
    UnknownIdentifier,
    Unreachable,
)
from tests.clients.conftest import Opens
from tests.clients.kinds import PythonClient
from tests.clients.letters import send, until_waited_for
from tests.peers.daemon import free_port
from tests.web.daemon import ADMIN, Daemon, running_daemon

LINK = "https://github.com/login/magic?token=Zm9vYmFyYmF6cXV1eA"


@pytest.fixture
def client(opens: Opens) -> Opens:
    """Makes clients of a daemon."""
    return lambda daemon, token=ADMIN, **options: opens(f"http://{daemon.http}", token, **options)


def token(daemon: Daemon, *identifiers: str) -> str:
    """A new agent's token."""
    return daemon.run("token", "add", *(part for one in identifiers for part in ("--identifier", one))).stdout.strip()


def test_it_serves_what_the_clients_are_held_to(daemon: Daemon) -> None:
    """The document of the contract's tests is the daemon's own."""
    assert httpx.get(f"http://{daemon.http}/openapi.json", trust_env=False).json() == openapi()


def test_a_mail_that_comes_while_somebody_waits(daemon: Daemon, client: Opens) -> None:
    """Its code is given, with where it came from; nothing that is printed of it shows it."""
    one = client(daemon, token(daemon, "*@corp.com"))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(one.wait_for_code, "comes@corp.com", 60)
        until_waited_for(daemon, "comes@corp.com")
        send(daemon, "comes@corp.com", "482913")
        code: Code = waiting.result()
    assert (code.value, code.kind, code.identifier, code.sender) == ("482913", "code", "comes@corp.com", "no-reply@github.com")
    assert code.received_at is not None
    assert code.received_at < code.expires_at
    for text in (repr(code), str(code), f"{code}", repr([code]), f"{code!r}"):
        assert "482913" not in text


def test_an_old_code_is_not_given_again(daemon: Daemon, client: Opens) -> None:
    """Neither to whoever got it, nor to another client that begins to wait after it came; who asks for the newest gets it."""
    one, two = client(daemon), client(daemon)
    one.expect_code("old@corp.com")
    send(daemon, "old@corp.com", "111222")
    assert one.wait_for_code("old@corp.com", 60).value == "111222"
    for each in (one, two):
        with pytest.raises(CodeTimeout):
            each.wait_for_code("old@corp.com", 0.3)
    assert two.latest_code("old@corp.com").value == "111222"
    assert two.wait_for_code("old@corp.com", 0, since=0).value == "111222"
    assert two.latest_code("nobody@corp.com") is None


def test_a_mail_between_the_click_and_the_wait(daemon: Daemon, client: Opens) -> None:
    """It is not missed where the code was expected before, and of two the newest is given."""
    one = client(daemon)
    send(daemon, "fast@corp.com", "100001")
    expectation = one.expect_code("fast@corp.com")
    assert expectation.since < expectation.until
    send(daemon, "fast@corp.com", "100002")
    send(daemon, "fast@corp.com", "100003")
    assert one.wait_for_code("fast@corp.com", 60).value == "100003"


def test_a_link_and_a_code_are_told_apart(daemon: Daemon, client: Opens) -> None:
    """Each wait gives its own kind."""
    one = client(daemon)
    one.expect_code("link@corp.com")
    send(daemon, "link@corp.com", link=LINK)
    assert one.wait_for_link("link@corp.com", 60).value == LINK
    with pytest.raises(CodeTimeout, match=r"no code for link@corp\.com"):
        one.wait_for_code("link@corp.com", 0.2, since=0)


def test_what_is_consumed_is_nobody_elses(daemon: Daemon, client: Opens) -> None:
    """Two that wait for one code: one gets it."""
    one = client(daemon)
    one.expect_code("taken@corp.com")
    send(daemon, "taken@corp.com", "200200")
    assert one.wait_for_code("taken@corp.com", 60, consume=True).is_consumed
    with pytest.raises(CodeTimeout):
        one.wait_for_code("taken@corp.com", 0.2, since=0)


def test_only_of_a_sender(daemon: Daemon, client: Opens) -> None:
    """A newer code of somebody else is left alone."""
    one = client(daemon)
    one.expect_code("from@corp.com")
    send(daemon, "from@corp.com", "300300")
    send(daemon, "from@corp.com", "400400", sender="login@gitlab.com")
    assert one.wait_for_code("from@corp.com", 60, sender="github.com").value == "300300"


def test_an_inbox_for_one_sign_up(daemon: Daemon, client: Opens) -> None:
    """Its code and its link are given although they came before the wait, each once; what is released is waited for no more."""
    one = client(daemon, token(daemon, "inbox-*"))
    inbox = one.create_inbox(["github.com"], "1h")
    assert [each.address for each in one.inboxes()] == [inbox.info.address]
    send(daemon, inbox.info.identifier, "600600", rcpt=inbox.info.address)
    send(daemon, inbox.info.identifier, link=LINK, rcpt=inbox.info.address)
    assert inbox.wait_for_code(60).value == "600600"
    assert inbox.wait_for_link(60).value == LINK
    with pytest.raises(CodeTimeout):
        inbox.wait_for_code(0.3)
    send(daemon, inbox.info.identifier, "700700", rcpt=inbox.info.address)
    assert inbox.wait_for_code(60).value == "700700"
    inbox.release()
    assert one.inboxes() == ()
    with pytest.raises(UnknownIdentifier, match="inbox"):
        inbox.release()
    with pytest.raises(UnknownIdentifier, match="this inbox is over"):
        inbox.wait_for_code(60)


def test_a_token_for_codes_makes_no_inbox(daemon: Daemon, client: Opens) -> None:
    """The refusal says which token does."""
    with pytest.raises(NotAllowed, match=r"--identifier 'inbox-\*'"):
        client(daemon, token(daemon, "ann@corp.com")).create_inbox()


def test_a_timeout_says_why(daemon: Daemon, client: Opens) -> None:
    """To an agent too, of its own identifier; the first cause stands in the message."""
    send(daemon, "why@corp.com")
    for secret in (ADMIN, token(daemon, "*@corp.com")):
        one = client(daemon, secret)
        with pytest.raises(CodeTimeout) as told:
            one.wait_for_code("why@corp.com", 0.3, since=0)
        assert isinstance(told.value, TimeoutError)
        assert told.value.why is not None
        assert str(told.value).startswith("no code for why@corp.com within 0.3 s: ")
        assert told.value.why.causes[0].text in str(told.value)
        assert one.why("why@corp.com").causes[0].kind == told.value.why.causes[0].kind
    with pytest.raises(NotAllowed, match="not for that identifier"):
        client(daemon, token(daemon, "*@corp.com")).why("why@elsewhere.example")


def test_a_wrong_token_and_an_unknown_identifier(daemon: Daemon, client: Opens) -> None:
    """Are told at once, each as what it is; neither message shows the token."""
    with pytest.raises(NotAllowed, match="a bearer token is needed") as wrong:
        client(daemon, "mb_wrong-token").wait_for_code("ann@corp.com", 60)
    assert wrong.value.status == 401
    assert "wrong-token" not in str(wrong.value)
    with pytest.raises(NotAllowed, match="not for that identifier"):
        client(daemon, token(daemon, "ben@corp.com")).wait_for_code("ann@corp.com", 60)
    with pytest.raises(UnknownIdentifier, match=r"\[identity\] known"):
        client(daemon).wait_for_code("ann@elsewhere.example", 60)


def test_a_daemon_that_is_not_there(client: Opens, daemon: Daemon) -> None:
    """Is told as that, after the time that the caller gave."""
    away = Daemon(smtp="", http=f"127.0.0.1:{free_port()}", folder=daemon.folder, pid=0)
    with pytest.raises(Unreachable, match="does not answer"):
        client(away).wait_for_code("ann@corp.com", 0.5)
    with pytest.raises(Unreachable):
        client(away, patience=0.5).latest_code("ann@corp.com")


def test_a_restart_while_somebody_waits(tmp_path: Path, client: Opens) -> None:
    """The daemon is killed in the middle of a wait and comes up again: the code of a mail that came then is given, and one that came
    before the wait is not."""
    listen = {"MAILBRIDGE_HTTP__LISTEN": f"127.0.0.1:{free_port()}"}
    with ThreadPoolExecutor(1) as threads:
        with running_daemon(tmp_path, **listen) as first:
            send(first, "ann@corp.com", "111111")
            waiting = threads.submit(client(first).wait_for_code, "ann@corp.com", 120)
            until_waited_for(first, "ann@corp.com")
        with running_daemon(tmp_path, **listen) as second:
            send(second, "ann@corp.com", "222222")
            assert waiting.result().value == "222222"


@pytest.mark.parametrize("kind", [Mailbridge, AsyncMailbridge])
def test_nothing_logs_a_code(daemon: Daemon, kind: type[Mailbridge | AsyncMailbridge], caplog: pytest.LogCaptureFixture) -> None:
    """With every logger of Python at its most talkative: neither the code nor the token."""
    secret = token(daemon, "*@corp.com")
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "httpx"), caplog.at_level(logging.DEBUG, "httpcore"):
        one = PythonClient(kind, f"http://{daemon.http}", secret)
        one.expect_code("logs@corp.com")
        send(daemon, "logs@corp.com", "739104")
        assert one.wait_for_code("logs@corp.com", 60).value == "739104"
        one.end()
    assert "/api/v1/codes/wait" in caplog.text
    assert "739104" not in caplog.text
    assert secret not in caplog.text


def test_many_wait_at_once(daemon: Daemon) -> None:
    """More than a pool of connections usually holds, each for its own code."""
    people = [f"many{number}@corp.com" for number in range(130)]
    done = threading.Event()

    async def work() -> list[Code]:
        async with AsyncMailbridge(f"http://{daemon.http}", ADMIN) as one:
            tasks = [asyncio.create_task(one.wait_for_code(person, 60)) for person in people]
            await asyncio.to_thread(bring)
            return await asyncio.gather(*tasks)

    def bring() -> None:
        until_waited_for(daemon, *people)
        for number, person in enumerate(people):
            send(daemon, person, f"{500_000 + number}")
        done.set()

    codes = asyncio.run(work())
    assert done.is_set()
    assert [code.value for code in codes] == [f"{500_000 + number}" for number in range(130)]


@pytest.mark.parametrize(
    ("url", "secret", "words"),
    [
        ("http://127.0.0.1:8025", "", "no token"),
        ("http://127.0.0.1:8025", "two words", "has blanks"),
        ("http://127.0.0.1:8025", "mb_ümlaut", "beyond ASCII"),
        ("127.0.0.1:8025", "mb_token", "must be like"),
        ("ftp://host.example", "mb_token", "must be like"),
        ("http://ann:secret@host.example", "mb_token", "must be like"),
        ("http://host.example?x=1", "mb_token", "must be like"),
        ("http://[::1", "mb_token", "cannot be read|must be like"),
    ],
)
def test_what_a_client_is_made_of(url: str, secret: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake is told before anything is sent, and the message repeats neither."""
    monkeypatch.delenv("MAILBRIDGE_TOKEN", raising=False)
    for kind in (Mailbridge, AsyncMailbridge):
        with pytest.raises(ValueError, match=words) as fault:
            kind(url, secret)
        assert not secret or secret not in str(fault.value)
        assert "secret" not in str(fault.value)


def test_a_client_shows_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read from the environment, and shown by nothing."""
    monkeypatch.setenv("MAILBRIDGE_URL", "https://bridge.example/")
    monkeypatch.setenv("MAILBRIDGE_TOKEN", "mb_secret")
    with Mailbridge() as one:
        assert repr(one) == "Mailbridge('https://bridge.example')"
    assert "mb_secret" not in repr(vars(one))
