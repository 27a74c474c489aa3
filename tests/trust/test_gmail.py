"""Saying yes to Gmail, against pages that behave as Google's were seen to, and against pages that do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from mailbridge.core.secret import Secret
from mailbridge.trust.gmail import Answer, Confirmed, NotConfirmed, confirm
from mailbridge.web.server import serve_app

LINK = "https://mail-settings.google.com/mail/vf-%5BANGjdJ-x%5D-abc"
LANDED = "https://mail.google.com/mail/vf-%5BANGjdJ-x%5D-abc"
FORM = '<html><form action="" method="post"><input type="submit"></form></html>'
DONE = "<html>Confirmation successful</html>"


@dataclass
class Google:
    """Google's two pages: what a GET leads to, what the page holds, and what a POST is answered with."""

    leads_to: str = LANDED
    page: str = FORM
    answer: str = DONE
    status: int = 200
    asked: list[str] = field(default_factory=list)

    async def reply(self, request: Request) -> Response:
        """One request, whatever host it is for."""
        host = request.headers["x-for"]
        self.asked.append(
            f"{request.method} {host}{request.scope['raw_path'].decode()} {len(await request.body())} {request.headers.get('cookie', '')}".strip()
        )
        if request.method == "POST":
            return HTMLResponse(self.answer, status_code=self.status)
        if host == "mail-settings.google.com" and self.leads_to:
            return RedirectResponse(self.leads_to, status_code=302, headers={"set-cookie": "a=b"})
        return HTMLResponse(self.page, headers={"set-cookie": "c=d"})


class ToUs(httpx.AsyncHTTPTransport):
    """Takes what is meant for Google to the server of the test, which is told the host that was meant."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host, _, port = self._address.rpartition(":")
        request.headers["x-for"] = request.url.host
        request.url = request.url.copy_with(scheme="http", host=host, port=int(port))
        return await super().handle_async_request(request)


@asynccontextmanager
async def pages(google: Google) -> AsyncIterator[httpx.AsyncClient]:
    """A client for whom the world is these pages."""
    async with served(google) as address, httpx.AsyncClient(transport=ToUs(address), timeout=5) as client:
        yield client


@asynccontextmanager
async def served(google: Google) -> AsyncIterator[str]:
    """The pages on loopback, and where."""
    app = Starlette(routes=[Route("/{path:path}", google.reply, methods=["GET", "POST"])])
    async with serve_app(app, listen="127.0.0.1:0") as bound:
        yield bound.address


def answered(google: Google, link: str = LINK) -> Answer:
    """What comes of a link."""

    async def go() -> Answer:
        async with pages(google) as client:
            return await confirm(Secret(link), client)

    return asyncio.run(go())


def test_the_link_is_opened_and_its_form_sent_empty() -> None:
    """A GET, where it leads, and an empty POST to there without cookies: the form is gone, and it is confirmed."""
    google = Google()
    assert isinstance(answered(google), Confirmed)
    path = "/mail/vf-%5BANGjdJ-x%5D-abc"
    assert google.asked == [
        f"GET mail-settings.google.com{path} 0",
        f"GET mail.google.com{path} 0",
        f"POST mail.google.com{path} 0",
    ]


@pytest.mark.parametrize(
    ("google", "why", "count"),
    [
        (Google(page=DONE), "no form", 2),
        (Google(answer=FORM), "still there", 3),
        (Google(status=500), "500", 3),
        (Google(leads_to="https://evil.example/mail/vf-x"), "leads away", 1),
        (Google(leads_to="http://mail.google.com/mail/vf-x"), "leads away", 1),
        (Google(leads_to="https://mail.google.com/mail/uf-x"), "leads away", 1),
        (Google(leads_to="https://mail.google.com/accounts"), "leads away", 1),
        (Google(leads_to="https://mail.google.com:444/mail/vf-x"), "leads away", 1),
        (Google(leads_to="https://x@mail.google.com/mail/vf-x"), "leads away", 1),
        (Google(leads_to=LINK), "on and on", 5),
        (Google(page="x" * 300_000), "longer", 2),
    ],
)
def test_what_is_not_confirmed(google: Google, why: str, count: int) -> None:
    """Another host, another path, no form, a form that stays: not confirmed, with the reason, and nothing else is opened."""
    found = answered(google)
    assert isinstance(found, NotConfirmed)
    assert why in found.why
    assert len(google.asked) == count


@pytest.mark.parametrize(
    "link",
    [
        LINK.replace("vf-", "uf-"),
        LINK.replace("mail-settings.google.com", "evil.example"),
        "",
        "https://[bad",
        LINK.replace("https", "http"),
    ],
)
def test_a_link_that_is_not_googles_is_not_opened(link: str) -> None:
    """The cancelling link, another host, or no link at all: nobody is asked."""
    google = Google()
    assert isinstance(answered(google, link), NotConfirmed)
    assert google.asked == []


def test_a_google_that_cannot_be_reached_is_a_reason() -> None:
    """A connection that fails is told as such."""

    async def go() -> Answer:
        async with httpx.AsyncClient(transport=ToUs("127.0.0.1:1"), timeout=5) as client:
            return await confirm(Secret(LINK), client)

    found = asyncio.run(go())
    assert isinstance(found, NotConfirmed)
    assert "could not be asked" in found.why
