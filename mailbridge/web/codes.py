"""Codes for callers with a token: list the valid ones, wait for the next one, and show who waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal, assert_never

from msgspec import to_builtins
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.core.inbox import looks_like_inbox
from mailbridge.operator.fresh import LEAST, Fresh, fresh
from mailbridge.operator.shown import clear_code, clear_totp, given_shape, live_code, stamp
from mailbridge.store import StoreUnavailable
from mailbridge.store.reading import ANYTHING, Code, Given, Kind, StoredTotp, Wanted, literal
from mailbridge.waiting import Bell, Wait, Waiting
from mailbridge.web.auth import Caller, TokenAuth
from mailbridge.web.health import NO_STORE
from mailbridge.web.pull import Kept
from mailbridge.web.query import Query

log = logging.getLogger("mailbridge.web.codes")

LONGEST_WAIT = 60.0
DEFAULT_WAIT = 30.0
DEFAULT_EXPECTED = 120.0
LONGEST_EXPECTED = 600.0
SINCE = "Mailbridge-Since"
"""The header of an answer without a code: the time from which mails counted. The next request sends it, so that it misses no
code."""

AGAIN = {"Retry-After": "1"}
"""Set in an answer without a code that ended early because the daemon stops: ask again, another daemon answers."""

MOST_WAITS = 5_000
"""Requests held open, or codes expected, at once; beyond it 503."""

Asked = Literal["", "code", "link", "totp"]
KINDS: tuple[Asked, ...] = ("", "code", "link", "totp")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitRequest:
    """What a caller waits for, how long, and whether the code is consumed."""

    wanted: Wanted
    kind: Asked
    timeout: float
    is_consumed: bool

    @property
    def takes_totp(self) -> bool:
        """Whether the code of an authenticator may be given: not if the caller asks for a link or for a certain sender."""
        return self.kind in ("", "code", "totp") and not self.wanted.sender

    @property
    def takes_mail(self) -> bool:
        """Whether a mail's code or link will do."""
        return self.kind != "totp"


class CodesApi:
    """``/api/v1/codes``, ``/api/v1/codes/wait``, ``/api/v1/expect``, ``/api/v1/waiting`` and ``/api/v1/given``."""

    def __init__(
        self,
        *,
        auth: TokenAuth,
        store: Kept,
        waiting: Waiting,
        now: Callable[[], datetime],
        since: Callable[[str], datetime],
        is_known: Callable[[str], bool],
        totp_left: Callable[[], timedelta] = lambda: timedelta(seconds=LEAST),
    ) -> None:
        self._totp_left = totp_left
        self._auth = auth
        self._codes = store.codes
        self._vault = store.vault
        self._waiting = waiting
        self._now = now
        self._since = since
        self._is_known = is_known
        self._open = 0

    def routes(self) -> Sequence[BaseRoute]:
        """The routes."""
        return [
            Route("/api/v1/codes", self.listing),
            Route("/api/v1/codes/wait", self.wait),
            Route("/api/v1/expect", self.expect, methods=["POST"]),
            Route("/api/v1/waiting", self.waiting),
            Route("/api/v1/given", self.given),
        ]

    async def listing(self, request: Request) -> Response:
        """The valid codes of the caller's identifiers, newest first; masked for viewers and operators, who have another verb to
        reveal one."""
        caller = await self._auth.caller(request)
        query = Query(request, known=("identifier", "since", "limit"))
        since, limit = query.moment("since"), query.whole("limit", default=20, least=1, most=200)
        identifier = query.text("identifier")
        if identifier:
            caller.must_read(identifier)
            await self._must_be_known(identifier)
        patterns = (literal(identifier),) if identifier else caller.identifiers
        found = await self._codes.live(identifiers=patterns, since=since, limit=limit)
        shape = live_code if not caller.reads_codes or (caller.token is not None and caller.may("operator")) else clear_code
        return JSONResponse({"codes": to_builtins([shape(code) for code in found])}, headers=NO_STORE)

    async def wait(self, request: Request) -> Response:
        """The newest code that is wanted, at once or when it comes; ``"code": null`` when the time is over."""
        if request.method != "GET":  # a HEAD would consume what nobody sees
            raise HTTPException(405, "only GET", headers={"Allow": "GET"})
        caller = await self._auth.caller(request)
        wish = self._expected(self._wait_request(request), caller)
        caller.must_read(wish.wanted.identifier)
        await self._must_be_known(wish.wanted.identifier)
        if self._open >= MOST_WAITS:
            raise HTTPException(503, "too many requests are held open", headers={"Retry-After": "5"})
        self._open += 1
        noted = self._waiting.begin(
            wish.wanted.identifier,
            who=caller.name,
            until=self._now() + timedelta(seconds=wish.timeout + 1),
            sender=wish.wanted.sender,
            is_for_link=wish.kind == "link",
        )
        try:
            found = await self._found(request, wish, caller)
        finally:
            self._open -= 1
            self._waiting.end(noted)
        return self._told(found, wish, caller)

    def _expected(self, wish: WaitRequest, caller: Caller) -> WaitRequest:
        """The request with the senders that the caller has announced before (`expect`); they are known for this caller."""
        waits = self._waiting.all_for(wish.wanted.identifier)
        senders = tuple(
            one.sender for one in waits if one.sender and one.way == "api" and one.key == caller.key and not one.serial
        )
        return replace(wish, wanted=replace(wish.wanted, expected=senders)) if senders else wish

    async def expect(self, request: Request) -> Response:
        """Somebody will want a code soon: until then mailboxes are asked often, as while a request waits, and a code ``from`` a
        sender that he names is one of a known sender for him. ``since`` is the moment of this request: who hands it to a wait
        gets no older code."""
        caller = await self._auth.caller(request)
        query = Query(request, known=("identifier", "seconds", "from"))
        identifier = query.needed("identifier")
        seconds = query.seconds("seconds", default=DEFAULT_EXPECTED, most=LONGEST_EXPECTED)
        caller.must_read(identifier)
        await self._must_be_known(identifier)
        if self._waiting.count >= MOST_WAITS:
            raise HTTPException(503, "too many codes are expected", headers={"Retry-After": "5"})
        now = self._now()
        noted = self._waiting.expect(
            identifier, now + timedelta(seconds=seconds), who=caller.name, way="api", sender=query.text("from"), key=caller.key
        )
        answer = {"identifier": identifier, "since": stamp(now), "until": stamp(noted.until)}
        return JSONResponse(answer, headers=NO_STORE)

    async def waiting(self, request: Request) -> Response:
        """Who waits now, and what each was given."""
        caller = await self._auth.caller(request)
        Query(request, known=())
        given = await self._codes.given(limit=1_000)
        waits = [self._wait_json(wait, given) for wait in self._waiting.everybody() if caller.may_read(wait.identifier)]
        return JSONResponse({"waiting": waits}, headers=NO_STORE)

    async def given(self, request: Request) -> Response:
        """What was given to whom and when, newest first; never the code."""
        caller = await self._auth.caller(request)
        limit = Query(request, known=("limit",)).whole("limit", default=50, least=1, most=1_000)
        found = [to_builtins(given_shape(one)) for one in await self._codes.given(limit=limit) if caller.may_read(one.identifier)]
        return JSONResponse({"given": found}, headers=NO_STORE)

    def _told(self, found: Code | Fresh | None, wish: WaitRequest, caller: Caller) -> Response:
        """The answer. A read that consumes nothing is recorded after the answer is sent, so that the caller does not wait for
        it."""
        identifier = wish.wanted.identifier
        match found:
            case None:
                since = {SINCE: stamp(wish.wanted.since)} if wish.wanted.since else {}
                again = AGAIN if self._waiting.is_over else {}
                return JSONResponse({"identifier": identifier, "code": None}, headers={**NO_STORE, **since, **again})
            case Fresh():
                answer = clear_totp(identifier, found.code.reveal(), found.expires_at, is_consumed=wish.is_consumed)
                return JSONResponse(to_builtins(answer), headers=NO_STORE)
            case Code() if wish.is_consumed:
                return JSONResponse(to_builtins(clear_code(replace(found, is_consumed=True))), headers=NO_STORE)
            case Code():
                noting = BackgroundTask(self._note, found, caller)
                return JSONResponse(to_builtins(clear_code(found)), headers=NO_STORE, background=noting)
            case _:
                assert_never(found)

    async def _note(self, code: Code, caller: Caller) -> None:
        try:
            await self._codes.note(code.identifier, way="api", reader=caller.name, what=code.what, is_consumed=False)
        except StoreUnavailable as fault:
            log.warning(
                "a code was read without a record: the store is %s",
                fault.kind,
                extra={"event": log_events.STORE_UNAVAILABLE},
            )

    def _wait_request(self, request: Request) -> WaitRequest:
        query = Query(request, known=("identifier", "timeout", "since", "from", "kind", "run", "consume"))
        kind = query.choice("kind", KINDS, default="")
        kinds: tuple[Kind, ...] = ("code",) if kind == "code" else ("link",) if kind == "link" else ANYTHING
        run, identifier = query.text("run"), query.needed("identifier")
        wanted = Wanted(
            identifier=identifier,
            kinds=kinds,
            since=query.moment("since") or self._since(identifier),
            sender=query.text("from"),
            runs=(run,) if run else (),
        )
        timeout = query.seconds("timeout", default=DEFAULT_WAIT, most=LONGEST_WAIT)
        return WaitRequest(wanted=wanted, kind=kind, timeout=timeout, is_consumed=query.flag("consume"))

    async def _must_be_known(self, identifier: str) -> None:
        if not self._is_known(identifier) and await self._vault.bound(identifier) is None:
            if looks_like_inbox(identifier):
                raise HTTPException(404, "this inbox is over: it was released, or its lifetime has passed")
            raise HTTPException(404, "no code can ever come for this identifier: it is not in [identity] known")

    async def _found(self, request: Request, wish: WaitRequest, caller: Caller) -> Code | Fresh | None:
        stored = await self._vault.bound(wish.wanted.identifier) if wish.takes_totp else None
        if stored is not None:
            return await self._from_authenticator(stored, wish, caller)
        if not wish.takes_mail:
            raise HTTPException(404, "no authenticator answers for this identifier: `mailbridge totp add NAME --for IDENTIFIER`")
        with self._waiting.bell(wish.wanted.identifier) as bell:
            async with _hung_up(request, bell):
                return await self._from_mail(wish, caller, bell)

    async def _from_mail(self, wish: WaitRequest, caller: Caller, bell: Bell) -> Code | None:
        """Clear the bell, look, and only then wait. Nothing is taken for a caller who has hung up."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wish.timeout
        while not bell.is_over:
            bell.clear()
            if wish.is_consumed:
                code = await self._codes.consume(wish.wanted, reader=caller.name)
            else:
                code = await self._codes.newest(wish.wanted)
            if code is not None:
                return code
            await self._must_be_known(wish.wanted.identifier)  # an inbox that was released meanwhile is not waited for
            if bell.is_over or not await bell.wait(until - loop.time()):
                return None
        return None

    async def _from_authenticator(self, stored: StoredTotp, wish: WaitRequest, caller: Caller) -> Fresh | None:
        """A new code. After one is consumed nobody else gets it; the next caller gets the code of the next period."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wish.timeout
        after = -1
        while True:
            least = self._totp_left().total_seconds()
            made = await fresh(stored, after=after, patience=until - loop.time(), least=least)
            if made is None:
                return None
            if await self._codes.note(
                wish.wanted.identifier, way="api", reader=caller.name, what=made.what, is_consumed=wish.is_consumed
            ):
                return made
            after = made.counter

    def _wait_json(self, wait: Wait, given: Sequence[Given]) -> dict[str, object]:
        line = wait.identifier.casefold()
        mine = [one for one in given if one.identifier.casefold() == line and (one.way, one.reader) == (wait.way, wait.who)]
        return {
            "identifier": wait.identifier,
            "way": wait.way,
            "who": wait.who,
            "since": stamp(wait.since),
            "until": stamp(wait.until),
            "asked": wait.asked,
            "is_known": self._is_known(wait.identifier),
            "given": [to_builtins(given_shape(one)) for one in mine],
        }


@asynccontextmanager
async def _hung_up(request: Request, bell: Bell) -> AsyncIterator[None]:
    """Ring the bell for the last time when the caller is gone."""

    async def listen() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        bell.is_over = True
        bell.ring()

    listening = asyncio.create_task(listen())
    try:
        yield
    finally:
        listening.cancel()
