"""The live feed: rows of mails as server-sent events, each with the id of the journal's line, so that nobody misses one.

A browser that was away, or whose bridge was restarted, says which event it had last, and gets what came since. Streams that stand at
the same line share one look and one rendering.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mailbridge.core.dataclass import dataclass
from mailbridge.operator import verbs
from mailbridge.operator.faults import Fault
from mailbridge.operator.journal import TailAsk
from mailbridge.operator.mails import OneMail
from mailbridge.operator.shapes import Line
from mailbridge.operator.verbs import By, Operator
from mailbridge.store import StoreUnavailable
from mailbridge.store.sessions import Session
from mailbridge.web.pages.look import Row, mail_state
from mailbridge.web.pages.rendering import Rendering

MOST_STREAMS = 100
KEEP_ALIVE = 15.0
LINES = 200
SOONEST = 0.02
"""Seconds between two looks of one stream at the least, however fast the journal grows."""

READER = By(name="page")


@dataclass(frozen=True, slots=True)
class _News:
    """Rendered rows, and the line to continue from; ``is_over``: the daemon is stopping."""

    text: str
    next: int
    is_over: bool = False


class Feed:
    """Streams for the page *Now*."""

    def __init__(self, *, operator: Operator, rendering: Rendering, now: Callable[[], datetime]) -> None:
        self._operator = operator
        self._rendering = rendering
        self._now = now
        self._open = 0
        self._looks: dict[int, asyncio.Task[_News]] = {}

    async def answer(self, request: Request, who: Callable[[], Awaitable[Session | None]]) -> Response:
        """An endless answer. It ends with its session: ``who`` checks the session at every event."""
        given = request.headers.get("last-event-id") or request.query_params.get("after", "")
        if not (given.isascii() and given.isdigit() and len(given) < 19):
            raise HTTPException(400, "after: must be the id of an event")
        if self._open >= MOST_STREAMS:
            raise HTTPException(503, "too many streams are open", headers={"Retry-After": "5"})
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(int(given), who), media_type="text/event-stream", headers=headers)

    async def _events(self, after: int, who: Callable[[], Awaitable[Session | None]]) -> AsyncIterator[str]:
        self._open += 1
        try:
            yield ": mailbridge\n\n"
            while True:
                news = await self._news(after)
                if news.is_over or await who() is None:
                    return
                after = news.next
                if news.text:
                    lines = "".join(f"data: {line}\n" for line in news.text.splitlines() if line.strip())
                    yield f"id: {after}\n{lines}\n"
                    await asyncio.sleep(SOONEST)
                else:
                    yield f"id: {after}\n\n"
        except StoreUnavailable:
            return
        finally:
            self._open -= 1

    async def _news(self, after: int) -> _News:
        """What came after a line. Streams at the same line share one look."""
        look = self._looks.get(after)
        if look is None or look.done():
            look = self._looks[after] = asyncio.create_task(self._look(after), name="page-feed")
            look.add_done_callback(lambda _: self._looks.pop(after, None))
        return await asyncio.shield(look)

    async def _look(self, after: int) -> _News:
        began = asyncio.get_running_loop().time()
        tail = await self._operator.journal.tail(TailAsk(after=after, limit=LINES, timeout=KEEP_ALIVE))
        if isinstance(tail, Fault):
            return _News("", after, is_over=True)
        if not tail.lines:
            is_early = asyncio.get_running_loop().time() - began < KEEP_ALIVE - 1
            return _News("", after, is_over=is_early)
        return _News(await self._rendered(tail.lines), tail.next)

    async def _rendered(self, lines: list[Line]) -> str:
        """The row of every mail that something happened to, as it is now: a new one on top, another in its place."""
        new = {line.mail for line in lines if line.event == "stored"}
        parts = []
        for number in sorted({line.mail for line in lines}):
            detail = await verbs.MAIL_SHOW.run(self._operator, OneMail(id=number), READER) if number else None
            if detail is None or isinstance(detail, Fault):
                continue
            is_released = any(line.event == "released" for line in detail.history)
            row = Row(mail=detail, state=mail_state(detail, detail.deliveries, is_released=is_released))
            parts.append(self._rendering.part("_news.html", row=row, is_new=number in new))
        return "\n".join(parts)
