"""What happens, as it happens: server-sent events with durable ids, so that a reader who was away misses nothing. No code in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from mailbridge.operator.shown import stamp
from mailbridge.store.lists import Journal, JournalLine
from mailbridge.waiting import Bell, Waiting
from mailbridge.web.auth import Caller, TokenAuth
from mailbridge.web.health import NO_STORE
from mailbridge.web.query import Query

LOOK_SOONEST = 0.02
"""Seconds between two looks of one stream into the journal at the least, however fast it grows."""

KEEP_ALIVE = 15.0
PAGE = 200
MOST_STREAMS = 200
GREATEST_ID = 2**63 - 1
HEADERS = {**NO_STORE, "X-Accel-Buffering": "no"}


class EventsApi:
    """``/api/v1/events`` (HTML standard, 9.2): the journal from now on, or from after ``Last-Event-ID`` (or ``?after=``)."""

    def __init__(self, *, auth: TokenAuth, journal: Journal, waiting: Waiting) -> None:
        self._auth = auth
        self._journal = journal
        self._waiting = waiting
        self._open = 0
        self._looks: dict[int, asyncio.Task[tuple[JournalLine, ...]]] = {}

    def routes(self) -> Sequence[BaseRoute]:
        """The route."""
        return [Route("/api/v1/events", self.stream)]

    async def stream(self, request: Request) -> Response:
        """An endless answer, one event a line of the journal that is about the caller's identifiers."""
        caller = await self._auth.caller(request)
        query = Query(request, known=("after",))
        after = query.whole("after", default=0, least=0, most=GREATEST_ID) if query.text("after") else None
        last = request.headers.get("last-event-id", "")
        if last:
            if not (last.isascii() and last.isdigit() and len(last) < 19):
                raise HTTPException(400, "Last-Event-ID: must be the id of an event")
            after = int(last)
        if self._open >= MOST_STREAMS:
            raise HTTPException(503, "too many streams are open", headers={"Retry-After": "5"})
        start = await self._journal.newest() if after is None else after
        return StreamingResponse(self._events(caller, start), media_type="text/event-stream", headers=HEADERS)

    async def _events(self, caller: Caller, after: int) -> AsyncIterator[str]:
        self._open += 1
        try:
            with self._journal.bell() as bell, self._waiting.until_close(bell):
                yield ": mailbridge\n\n"
                async for text in self._follow(caller, after, bell):
                    yield text
        finally:
            self._open -= 1

    async def _follow(self, caller: Caller, after: int, bell: Bell) -> AsyncIterator[str]:
        """Clear the bell, look, then wait: the bell rings after every commit."""
        loop = asyncio.get_running_loop()
        quiet_since = loop.time()
        while not bell.is_over:
            bell.clear()
            looked_at = loop.time()
            page = await self._look(after)
            for one in page:
                after = one.id
                if _concerns(caller, one):
                    quiet_since = loop.time()
                    yield _event(one, caller)
            if len(page) == PAGE:
                continue
            if loop.time() - quiet_since >= KEEP_ALIVE:
                quiet_since = loop.time()
                yield ": still here\n\n"
            await bell.wait(quiet_since + KEEP_ALIVE - loop.time())
            now = loop.time()
            if now - looked_at < LOOK_SOONEST:
                # All streams that looked a moment ago look again at the same moment, and so together.
                await asyncio.sleep(LOOK_SOONEST - now % LOOK_SOONEST)

    async def _look(self, after: int) -> tuple[JournalLine, ...]:
        """What is new. Streams that are as far as each other, and are woken together, look once for all of them."""
        look = self._looks.get(after)
        if look is None:
            look = self._looks[after] = asyncio.create_task(self._looked(after), name="events-look")
            look.add_done_callback(lambda done: done.cancelled() or done.exception())  # also where everybody has hung up
        return await asyncio.shield(look)

    async def _looked(self, after: int) -> tuple[JournalLine, ...]:
        del self._looks[after]  # whoever comes from now on has cleared a bell since: this look is too early for it
        return await self._journal.after(after, limit=PAGE)


def _concerns(caller: Caller, one: JournalLine) -> bool:
    """Mails whose identifier is not known are only for callers who may read everything."""
    return caller.token is None or any(caller.may_read(identifier) for identifier in one.identifiers)


def _event(one: JournalLine, caller: Caller) -> str:
    data = {
        "id": one.id,
        "at": stamp(one.at),
        "event": one.event,
        "mail": one.mail_id,
        "delivery": one.delivery_id,
        "detail": one.detail,
        "identifiers": [identifier for identifier in one.identifiers if caller.may_read(identifier)],
    }
    return f"id: {one.id}\nevent: {one.event}\ndata: {json.dumps(data)}\n\n"
