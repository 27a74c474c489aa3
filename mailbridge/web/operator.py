"""The operator API: every verb of `mailbridge.operator` as a route, with roles, problem+json and idempotent changes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import field
from typing import Annotated, Any, get_args, get_origin

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mailbridge.core.complaints import plainly
from mailbridge.core.dataclass import dataclass
from mailbridge.operator.asks import Ask, asked
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.shapes import Shape
from mailbridge.operator.verbs import VERBS, By, Operator, Verb
from mailbridge.store.answers import Answers
from mailbridge.web.auth import Caller, TokenAuth
from mailbridge.web.health import NO_STORE
from mailbridge.web.limits import body_of

KEY = "idempotency-key"
LONGEST_KEY = 255
"""Characters of a complaint: it names an unknown member, which the caller chose."""


@dataclass(slots=True)
class _Turn:
    """Requests of one key: one is at work, ``count`` are there."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    count: int = 0


class OperatorApi:
    """The routes. ``answers`` keeps what changing requests with an Idempotency-Key were answered."""

    def __init__(self, *, auth: TokenAuth, operator: Operator, answers: Answers) -> None:
        self._auth = auth
        self._operator = operator
        self._answers = answers
        self._turns: dict[bytes, _Turn] = {}
        self._deeds: set[asyncio.Task[Response]] = set()

    def routes(self) -> Sequence[BaseRoute]:
        """One for each verb."""
        return [self._route(verb) for verb in VERBS]

    def _route(self, verb: Verb[Any, Any]) -> Route:
        async def serve(request: Request) -> Response:
            return await self._serve(verb, request)

        path = verb.path.replace("{id}", "{id:int}")
        return Route(path, serve, methods=[verb.method], name=verb.name)

    async def _serve(self, verb: Verb[Any, Any], request: Request) -> Response:
        caller = await self._auth.caller(request)
        is_agent = caller.role == "agent" and verb.for_agents is not None and bool(request.query_params.get("identifier"))
        if not caller.may(verb.role) and not is_agent:
            what = f"it needs a token of role {verb.role}; `mailbridge token add --role {verb.role}` makes one"
            return faulty(Fault(kind=Kind.FORBIDDEN, title=what))
        if verb.is_local and not caller.is_local:
            return faulty(Fault(kind=Kind.FORBIDDEN, title="it is answered over the unix socket alone"))
        body = await body_of(request, most=verb.most_body) if verb.method == "POST" else b""
        try:
            ask: Any = _asked(verb, request, body)
        except ValueError as fault:
            return faulty(Fault(kind=Kind.BAD_REQUEST, title=plainly(fault)))
        if verb.for_agents is not None and is_agent:
            caller.must_read(ask.identifier.strip())
            found = await verb.run(self._operator, ask, By(name=caller.name))
            return _answer(found if isinstance(found, Fault) else verb.for_agents(found))
        key = request.headers.get(KEY)
        if key is None or not verb.is_change:
            return _answer(await verb.run(self._operator, ask, By(name=caller.name)))
        if not 0 < len(key) <= LONGEST_KEY or not all("!" <= letter <= "~" for letter in key):
            what = f"Idempotency-Key: must be up to {LONGEST_KEY} printable ASCII characters without a blank"
            return faulty(Fault(kind=Kind.BAD_REQUEST, title=what))
        # Shielded: a caller who hangs up in the middle asks again, and is to find what was done.
        deed = asyncio.create_task(self._once(verb, ask, caller, key), name=f"operator-{verb.name}")
        self._deeds.add(deed)
        deed.add_done_callback(self._deeds.discard)
        return await asyncio.shield(deed)

    async def _once(self, verb: Verb[Any, Any], ask: Ask, caller: Caller, key: str) -> Response:
        """Do it once for a key: a request that repeats the key gets the first answer, also while the first one is running."""
        name = _digest(caller.key, verb.name, key)
        request = _digest(verb.name, msgspec.json.encode(ask))
        async with self._turn(name):
            known = await self._answers.find(name)
            if known is not None and known.request != request:
                what = "Idempotency-Key: it was used for another request; take a new one for each thing that is done"
                return faulty(Fault(kind=Kind.KEY_REUSED, title=what))
            if known is not None and known.answer is None:
                return faulty(Fault(kind=Kind.REFUSED, title="it was done; its answer has been removed since"))
            if known is not None and known.answer is not None:
                return _replayed(known.answer)
            return await self._done(verb, ask, caller, name, request)

    async def _done(self, verb: Verb[Any, Any], ask: Ask, caller: Caller, name: bytes, request: bytes) -> Response:
        response = _answer(await verb.run(self._operator, ask, By(name=caller.name, request=name.hex())))
        if response.status_code < 500:
            kept = json.dumps([response.status_code, bytes(response.body).decode()]).encode()
            await self._answers.keep(name, request=request, answer=kept)
        return response

    @contextlib.asynccontextmanager
    async def _turn(self, name: bytes) -> AsyncIterator[None]:
        """One request of a key at a time."""
        turn = self._turns.setdefault(name, _Turn())
        turn.count += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.count -= 1
            if not turn.count:
                del self._turns[name]


def faulty(fault: Fault) -> Response:
    """A fault as problem+json (RFC 9457)."""
    headers = {**NO_STORE, **({"Retry-After": "1"} if fault.kind is Kind.TRY_AGAIN else {})}
    body = msgspec.json.encode(fault.as_problem())
    return Response(body, status_code=fault.meaning.status, media_type="application/problem+json", headers=headers)


def _answer(found: Shape | Fault) -> Response:
    if isinstance(found, Fault):
        return faulty(found)
    return Response(msgspec.json.encode(found), media_type="application/json", headers=NO_STORE)


def _replayed(kept: bytes) -> Response:
    """The stored answer of the first request."""
    status, body = json.loads(kept)
    kind = "application/json" if status < 400 else "application/problem+json"
    return Response(body, status_code=status, media_type=kind, headers={**NO_STORE, "Idempotency-Replayed": "true"})


def _asked(verb: Verb[Any, Any], request: Request, body: bytes) -> Ask:
    """What a request asks, from its path and its query or body. Raises ValueError."""
    if verb.method == "GET":
        values: dict[str, Any] = _query(verb, request)
    else:
        if request.query_params:
            raise ValueError("the query: there is none here; what is asked stands in the body")
        found = msgspec.json.decode(body) if body else {}
        if not isinstance(found, dict):
            raise ValueError("the body: must be a JSON object")
        values = found
    for name, value in request.path_params.items():
        if name in values:
            raise ValueError(f"{name}: stands in the path")
        values[name] = value
    kind: type[Ask] = verb.asks
    return asked(kind, values, is_text=verb.method == "GET")


def _query(verb: Verb[Any, Any], request: Request) -> dict[str, Any]:
    """The query by name: a list if the member takes several values, else one value."""
    several = {one.name for one in msgspec.structs.fields(verb.asks) if _is_several(one.type)}
    values: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in several:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise ValueError(f"{name[:50]}: given twice")
        else:
            values[name] = value
    return values


def _is_several(kind: Any) -> bool:
    """Whether a member is a list, with or without bounds."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return get_origin(bare) in (tuple, list)


def _digest(*parts: str | bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        octets = part.encode() if isinstance(part, str) else part
        digest.update(len(octets).to_bytes(8, "big") + octets)
    return digest.digest()
