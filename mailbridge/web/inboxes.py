"""Throw-away inboxes for agents: made, listed and released, each by who made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mailbridge.core.complaints import plainly
from mailbridge.operator.asks import GREATEST, asked
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.inboxes import CreateInbox, InboxVerbs, Owner
from mailbridge.web.auth import Caller, TokenAuth
from mailbridge.web.health import NO_STORE
from mailbridge.web.limits import body_of
from mailbridge.web.operator import faulty
from mailbridge.web.query import Query

MOST_BODY = 16_384


class InboxesApi:
    """``/api/v1/inboxes`` and ``/api/v1/inboxes/{id}``."""

    def __init__(self, *, auth: TokenAuth, verbs: InboxVerbs) -> None:
        self._auth = auth
        self._verbs = verbs

    def routes(self) -> Sequence[BaseRoute]:
        """The routes."""
        return [
            Route("/api/v1/inboxes", self._inboxes, methods=["GET", "POST"]),
            Route("/api/v1/inboxes/{id:int}", self.release, methods=["DELETE"]),
        ]

    async def _inboxes(self, request: Request) -> Response:
        """One route for both methods, so that a wrong method is answered with the list of both."""
        return await (self.create if request.method == "POST" else self.listing)(request)

    async def create(self, request: Request) -> Response:
        """Make an inbox, 201; 409 if the caller has as many as it may have at once."""
        caller = await self._auth.caller(request)
        _must_read_codes(caller)
        if request.query_params:
            raise HTTPException(400, "the query: there is none here; what is asked stands in the body")
        body = await body_of(request, most=MOST_BODY)
        try:
            ask = asked(CreateInbox, _members(body), is_text=False)
        except ValueError as fault:
            return faulty(Fault(kind=Kind.BAD_REQUEST, title=plainly(fault)))
        made = await self._verbs.create(ask, _owner(caller))
        if isinstance(made, Fault):
            return faulty(made)
        return Response(msgspec.json.encode(made), status_code=201, media_type="application/json", headers=NO_STORE)

    async def listing(self, request: Request) -> Response:
        """The inboxes that have not ended, oldest first: the caller's own, or all for a viewer or an operator."""
        caller = await self._auth.caller(request)
        Query(request, known=())
        found = await self._verbs.find(_owner(caller))
        return Response(msgspec.json.encode(found), media_type="application/json", headers=NO_STORE)

    async def release(self, request: Request) -> Response:
        """It is over, and everything in it is erased when this is answered, with 204."""
        caller = await self._auth.caller(request)
        _must_read_codes(caller)
        Query(request, known=())
        number = request.path_params["id"]
        fault = await self._verbs.release(number, _owner(caller)) if number <= GREATEST else _nothing()
        return Response(status_code=204, headers=NO_STORE) if fault is None else faulty(fault)


def _members(body: bytes) -> dict[str, Any]:
    """The members of a body; an empty body has none. Raises ValueError."""
    found = msgspec.json.decode(body) if body else {}
    if not isinstance(found, dict):
        raise ValueError("the body: must be a JSON object")
    return found


def _must_read_codes(caller: Caller) -> None:
    """Raises 403 for a viewer, who only looks on."""
    if not caller.reads_codes:
        raise HTTPException(
            403, "a viewer only looks on; `mailbridge token add --identifier 'inbox-*'` makes a token for inboxes"
        )


def _owner(caller: Caller) -> Owner:
    sees_all = caller.is_local or (caller.token is not None and caller.may("viewer"))
    return Owner(key=caller.key, name=caller.name, may_read=caller.may_read, sees_all=sees_all)


def _nothing() -> Fault:
    return Fault(kind=Kind.NOT_FOUND, title="there is no such inbox")
