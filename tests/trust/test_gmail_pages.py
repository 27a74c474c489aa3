"""Saying yes to Gmail, answer by answer: every status, size, redirect and fault that Google's side may have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from mailbridge.core.secret import Secret
from mailbridge.net.guard import PrivateAddress
from mailbridge.trust.gmail import Answer, Confirmed, NotConfirmed, browser, confirm

LINK = "https://mail-settings.google.com/mail/vf-%5BANGjdJ-x%5D-abc"
FORM = '<html><form action="" method="post"><input type="submit"></form></html>'
DONE = "<html>Confirmation successful</html>"


def told(reply: Callable[[httpx.Request], httpx.Response], link: str = LINK) -> Answer:
    """What comes of a link where each request is answered so."""

    async def go() -> Answer:
        async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client:
            return await confirm(Secret(link), client)

    return asyncio.run(go())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_redirect_is_followed(status: int) -> None:
    """Whatever status it has, and where its address is a relative one."""
    asked: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url} {request.headers.get('content-length', '')}".strip())
        if request.method == "POST":
            return httpx.Response(200, text=DONE)
        if request.url.path.endswith("abc"):
            return httpx.Response(status, headers={"location": "/mail/vf-landed"})
        return httpx.Response(200, text=FORM)

    assert told(reply) == Confirmed()
    host = "https://mail-settings.google.com"
    assert asked == [f"GET {LINK}", f"GET {host}/mail/vf-landed", f"POST {host}/mail/vf-landed 0"]


@pytest.mark.parametrize(("hops", "is_followed"), [(4, True), (5, False)])
def test_how_far_a_link_is_followed(hops: int, is_followed: bool) -> None:
    """Five pages are opened at most."""

    def reply(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, text=DONE)
        number = int(request.url.path.rpartition("-")[2]) if request.url.path[-1].isdigit() else 0
        if number < hops:
            return httpx.Response(302, headers={"location": f"/mail/vf-{number + 1}"})
        return httpx.Response(200, text=FORM)

    found = told(reply)
    assert found == Confirmed() if is_followed else found == NotConfirmed(why="the link leads on and on")


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_another_answer_than_a_page(status: int) -> None:
    """Neither a page nor a redirect: it is said which status."""
    assert told(lambda _: httpx.Response(status, text=FORM)) == NotConfirmed(why=f"the link was answered with {status}")


@pytest.mark.parametrize(("size", "is_read"), [(262_144, True), (262_145, False)])
def test_how_long_a_page_may_be(size: int, is_read: bool) -> None:
    """A page of 256 kB is read, and one octet more is not."""

    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=DONE if request.method == "POST" else FORM.upper().ljust(size))

    found = told(reply)
    assert found == Confirmed() if is_read else found == NotConfirmed(why="the page is longer than such a page is")


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ReadTimeout("x"),
        httpx.ConnectError("x"),
        httpx.InvalidURL("x"),
        UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
        ValueError("x"),
    ],
)
def test_whatever_happens_on_the_way_is_a_reason(fault: Exception) -> None:
    """It is told by its kind, and nothing of what was asked for is in it."""

    def reply(_: httpx.Request) -> httpx.Response:
        raise fault

    assert told(reply) == NotConfirmed(why=f"Google could not be asked: {type(fault).__name__}")


def test_a_redirect_to_nowhere_leads_away() -> None:
    """Without an address, or with one that is none, it is not followed."""
    for headers in ({}, {"location": ""}, {"location": "https://["}):
        found = told(lambda _, headers=headers: httpx.Response(302, headers=headers))  # type: ignore[misc]
        assert isinstance(found, NotConfirmed)
        assert "leads" in found.why


def test_the_client_follows_nothing_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """No redirect, nobody's proxy, ten seconds for each step, and a name by which Google may know us."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    client = browser()
    assert not client.follow_redirects
    assert not client.trust_env
    assert client.timeout == httpx.Timeout(10.0)
    assert client.headers["user-agent"] == "mailbridge"


def test_a_form_that_is_not_taken() -> None:
    """An answer to the form that is no page, or that holds the form again, confirms nothing."""
    for answer, why in (
        (httpx.Response(500, text=DONE), "the form was answered with 500"),
        (httpx.Response(302, headers={"location": "/mail/vf-x"}), "the form was answered with 302"),
        (httpx.Response(200, text=FORM), "the form is still there after it was sent"),
    ):
        found = told(lambda request, answer=answer: answer if request.method == "POST" else httpx.Response(200, text=FORM))  # type: ignore[misc]
        assert found == NotConfirmed(why=why)


def test_a_page_without_a_form() -> None:
    """The link was used already: nothing is sent."""
    methods: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        methods.append(request.method)
        return httpx.Response(200, text=DONE)

    assert told(reply) == NotConfirmed(why="the page has no form: the link was used already, or is over")
    assert methods == ["GET"]


def test_a_host_that_leads_inwards_is_named_as_the_reason() -> None:
    """What was refused before it was connected to says where it would have led."""

    def reply(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("x") from PrivateAddress("mail.google.com leads to 10.0.0.1")

    assert told(reply) == NotConfirmed(why="not opened: mail.google.com leads to 10.0.0.1")


def test_no_cookie_is_kept() -> None:
    """What a page sets is not sent with the form."""
    cookies: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        cookies.append(request.headers.get("cookie", ""))
        return httpx.Response(200, text=DONE if request.method == "POST" else FORM, headers={"set-cookie": "a=b"})

    assert told(reply) == Confirmed()
    assert cookies == ["", ""]


@pytest.mark.parametrize("link", [LINK.replace("vf-", "uf-"), LINK.replace("mail-settings.google.com", "evil.example"), ""])
def test_another_link_is_not_opened(link: str) -> None:
    """The cancelling one, another host's, or none: nobody is asked."""
    asked: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        return httpx.Response(200, text=FORM)

    assert told(reply, link) == NotConfirmed(why="the link leads away from Google's confirmation pages")
    assert asked == []
