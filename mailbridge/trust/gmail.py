"""Confirm a Gmail forwarding: open the link of the confirmation mail and send its form, and nothing else.

Measured on Google's own pages: opening the link confirms nothing. It leads to a page with a form that has no fields. An empty
POST to the URL of that page confirms, and the page that answers has no form any more. A 200 in the answer proves nothing.
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
    """The forwarding is not allowed, and why. The reason contains no mail address."""

    why: str


Answer = Confirmed | NotConfirmed


class _Strange(Exception):  # noqa: N818  (a finding about the other side)
    """Google's pages do not behave as they were seen to behave."""


def browser(resolve: Resolve = system_addresses) -> httpx.AsyncClient:
    """A client that follows no redirect by itself, uses no proxy, keeps no cookies, and connects only to the public internet."""
    return httpx.AsyncClient(
        transport=PublicOnlyTransport(resolve),
        follow_redirects=False,
        trust_env=False,
        timeout=TIMEOUT,
        headers={"User-Agent": "mailbridge"},
    )


async def confirm(link: Secret, client: httpx.AsyncClient) -> Answer:
    """Allow the forwarding that a proven confirmation asks for. It never opens the cancelling link, and no host but Google's.

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
    """The URL to which the link leads in the end, and the text of that page."""
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
    """The status and the text of the page. For a redirect, the text is its destination."""
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
