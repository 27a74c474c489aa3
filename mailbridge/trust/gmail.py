"""Saying yes to Gmail: the link of a forwarding confirmation is opened and its form sent, and nothing else.

Measured on Google's own pages: opening the link confirms nothing. It leads to a page with a form without fields; an empty POST to
where the link has led confirms, and the page that answers has no form any more. That the answer is 200 says nothing.
"""

from __future__ import annotations

import re

import httpx

from mailbridge.core.confirmation import is_genuine
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.core.url import read
from mailbridge.net.guard import PrivateAddress, PublicOnlyTransport, Resolve, system_addresses

MAX_HOPS = 5
MAX_PAGE = 262_144
TIMEOUT = 10.0
FORM = re.compile(r"(?i)<form\b")
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The forwarding is allowed now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotConfirmed:
    """It is not, and why; no mail address is in the reason."""

    why: str


Answer = Confirmed | NotConfirmed


class _Strange(Exception):  # noqa: N818  (a finding about the other side)
    """Google's pages do not do what they have been seen to do."""


def browser(resolve: Resolve = system_addresses) -> httpx.AsyncClient:
    """A client that follows nothing by itself, uses nobody's proxy, keeps no cookies, and goes to the public internet alone."""
    return httpx.AsyncClient(
        transport=PublicOnlyTransport(resolve),
        follow_redirects=False,
        trust_env=False,
        timeout=TIMEOUT,
        headers={"User-Agent": "mailbridge"},
    )


async def confirm(link: Secret, client: httpx.AsyncClient) -> Answer:
    """Allow the forwarding that a proven confirmation asks for. Never the cancelling link, and no host but Google's.

    Never raises for what the other side does.
    """
    try:
        url, page = await _open(link.reveal(), client)
        if not FORM.search(page):
            return NotConfirmed(why="the page has no form: the link was used already, or is over")
        status, page = await _read(client, "POST", url)
    except _Strange as fault:
        return NotConfirmed(why=str(fault))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as fault:
        if isinstance(fault.__cause__, PrivateAddress):
            return NotConfirmed(why=f"not opened: {fault.__cause__}")
        return NotConfirmed(why=f"Google could not be asked: {type(fault).__name__}")
    if status != 200:
        return NotConfirmed(why=f"the form was answered with {status}")
    if FORM.search(page):
        return NotConfirmed(why="the form is still there after it was sent")
    return Confirmed()


async def _open(url: str, client: httpx.AsyncClient) -> tuple[str, str]:
    """Where the link leads in the end, and the page there."""
    for _ in range(MAX_HOPS):
        if not is_genuine(url):
            raise _Strange("the link leads away from Google's confirmation pages")
        status, text = await _read(client, "GET", url)
        if status == 200:
            return url, text
        if status not in REDIRECTS:
            raise _Strange(f"the link was answered with {status}")
        onward = read(text, base=url)
        url = onward.href if onward is not None else ""
    raise _Strange("the link leads on and on")


async def _read(client: httpx.AsyncClient, method: str, url: str) -> tuple[int, str]:
    """Status, and the page's text; for a redirect where it leads."""
    async with client.stream(method, url) as answer:
        client.cookies.clear()
        if answer.status_code in REDIRECTS:
            return answer.status_code, answer.headers.get("location", "")
        octets = b""
        async for part in answer.aiter_bytes():
            octets += part
            if len(octets) > MAX_PAGE:
                raise _Strange("the page is longer than such a page is")
        return answer.status_code, octets.decode("utf-8", "replace")
