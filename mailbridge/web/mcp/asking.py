"""Asks the API for a tool: inside the daemon as the caller of ``/mcp``, or from another process."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

import httpx
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from mailbridge.operator.faults import Fault, Kind, fault_of
from mailbridge.web.codes import SINCE

PATIENCE = 30.0
"""Seconds for an answer that is not waited for."""


class Asker(Protocol):
    """Asks a route of the API. ``is_lasting``: it continues after a restart of the daemon."""

    @property
    def is_lasting(self) -> bool:
        """Whether a stopping daemon is asked again."""
        ...

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        patience: float = PATIENCE,
    ) -> Any:
        """The JSON of an answer, None where it says nothing, or a `Fault`: of kind NO_DAEMON where nothing was asked, since nobody
        listens, and of kind TRY_AGAIN where the answer was lost."""
        ...


class Here:
    """The routes of this daemon, with the credentials of the current request."""

    is_lasting = False

    def __init__(self, request: Request) -> None:
        app, state = request.app, dict(request.scope.get("state", {}))

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        client = (request.client.host, request.client.port) if request.client else ("", 0)
        self._transport = httpx.ASGITransport(app=with_state, raise_app_exceptions=False, client=client)
        self._headers = {name: request.headers[name] for name in ("authorization",) if name in request.headers}

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        patience: float = PATIENCE,
    ) -> Any:
        """See `Asker.ask`."""
        async with httpx.AsyncClient(
            transport=self._transport, base_url="http://mailbridge", headers=self._headers, trust_env=False
        ) as client:
            return found_in(await client.request(method, path, params=query, json=body, timeout=patience))


class Far:
    """The routes of a daemon elsewhere, or by its unix socket; whoever makes the client closes it."""

    is_lasting = True

    def __init__(self, client: httpx.AsyncClient, *, name: str) -> None:
        self._client = client
        self._name = name

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        patience: float = PATIENCE,
    ) -> Any:
        """See `Asker.ask`."""
        try:
            return found_in(await self._client.request(method, path, params=query, json=body, timeout=patience))
        except (httpx.ConnectError, httpx.ConnectTimeout) as trouble:
            what = f"no daemon answers at {self._name} ({type(trouble).__name__}); is `mailbridge serve` running?"
            return Fault(kind=Kind.NO_DAEMON, title=what)
        except httpx.HTTPError as trouble:
            what = f"the answer of {self._name} was lost ({type(trouble).__name__}); try again"
            return Fault(kind=Kind.TRY_AGAIN, title=what)


def found_in(answer: httpx.Response) -> Any:
    """The JSON of a good answer, None where it has none, else a `Fault`. What its head says of a wait stands in it as ``since``."""
    found: Any = None
    with contextlib.suppress(ValueError):
        found = answer.json()
    if SINCE in answer.headers and isinstance(found, dict):
        found["since"] = answer.headers[SINCE]
    return found if answer.status_code < 300 else fault_of(answer.status_code, found)
