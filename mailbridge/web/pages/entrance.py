"""The paths of the page. What answers them is loaded at the first request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mailbridge.core.dataclass import dataclass
from mailbridge.operator.verbs import Operator

if TYPE_CHECKING:
    from mailbridge.web.pages.site import Site

PATHS: Sequence[tuple[str, str, str]] = (
    ("now", "GET", "/"),
    ("static", "GET", "/static/{name}"),
    ("login", "GET", "/login"),
    ("login.enter", "POST", "/login"),
    ("logout", "POST", "/logout"),
    ("again", "GET", "/again"),
    ("again.send", "POST", "/again"),
    ("again.forget", "POST", "/again/forget"),
    ("feed", "GET", "/feed"),
    ("mail.list", "GET", "/mail"),
    ("mail.show", "GET", "/mail/{id:int}"),
    ("mail.text", "GET", "/mail/{id:int}/text"),
    ("mail.reveal", "POST", "/mail/{id:int}/reveal"),
    ("mail.release", "POST", "/mail/{id:int}/release"),
    ("mail.replay", "POST", "/mail/{id:int}/replay"),
    ("mail.confirm", "POST", "/mail/{id:int}/confirm"),
    ("mail.raw", "POST", "/mail/{id:int}/raw"),
    ("code.list", "GET", "/codes"),
    ("code.reveal", "POST", "/codes/reveal"),
    ("waiting", "GET", "/waiting"),
    ("delivery.list", "GET", "/deliveries"),
    ("delivery.show", "GET", "/deliveries/{id:int}"),
    ("delivery.retry", "POST", "/deliveries/retry"),
    ("target.test", "POST", "/targets/test"),
    ("why", "GET", "/why"),
    ("setup", "GET", "/setup"),
    ("setup.look", "POST", "/setup/look"),
    ("setup.answer", "POST", "/setup/answer"),
    ("setup.test", "POST", "/setup/test"),
    ("setup.filter", "POST", "/setup/filter"),
    ("setup.reveal", "POST", "/setup/reveal"),
    ("setup.forget", "POST", "/setup/forget"),
    ("doctor", "GET", "/doctor"),
    ("doctor.run", "POST", "/doctor"),
    ("mailbox.list", "GET", "/mailboxes"),
    ("mailbox.add", "POST", "/mailboxes/add"),
    ("mailbox.test", "POST", "/mailboxes/test"),
    ("mailbox.remove", "POST", "/mailboxes/remove"),
    ("sender.list", "GET", "/senders"),
    ("sender.add", "POST", "/senders/add"),
    ("sender.remove", "POST", "/senders/remove"),
    ("totp.list", "GET", "/authenticators"),
    ("totp.add", "POST", "/authenticators/add"),
    ("totp.code", "POST", "/authenticators/code"),
    ("totp.bind", "POST", "/authenticators/bind"),
    ("totp.remove", "POST", "/authenticators/remove"),
    ("rule.list", "GET", "/rules"),
    ("rule.try", "POST", "/rules"),
    ("rule.add", "POST", "/rules/add"),
    ("rule.remove", "POST", "/rules/remove"),
    ("search", "GET", "/search"),
    ("session.list", "GET", "/sessions"),
    ("session.remove", "POST", "/sessions/remove"),
)
"""A name, a method and a path for everything that a browser asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageParts:
    """What the page is made of: the verbs, where it is reached from outside ("" for this machine alone), and the time."""

    operator: Operator
    public_url: str
    now: Callable[[], datetime]


def page_routes(parts: PageParts) -> Sequence[BaseRoute]:
    """The routes; twice where ``public_url`` has a path, since some proxies take it off before they ask and some do not."""
    entrance = _Entrance(parts)
    prefix = urlsplit(parts.public_url).path.rstrip("/")
    below = [prefix] if prefix else []
    return [
        Route(before + path, entrance.serves(name), methods=[method], name=f"page.{name}")
        for before in ("", *below)
        for name, method, path in PATHS
    ]


class _Entrance:
    """Loads the site once, beside the loop: the templates' library takes some 50 ms."""

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts
        self._site: asyncio.Task[Site] | None = None

    def serves(self, name: str) -> Callable[[Request], object]:
        """The endpoint of one path."""

        async def serve(request: Request) -> Response:
            if self._site is None or (self._site.done() and self._site.exception() is not None):
                self._site = asyncio.create_task(asyncio.to_thread(_load, self._parts), name="page-load")
            site = await asyncio.shield(self._site)
            return await site.answer(name, request)

        return serve


def _load(parts: PageParts) -> Site:
    from mailbridge.web.pages.site import Site

    return Site(parts)
