"""One HTTP connection: uvicorn's, with limits of time and number, and with refusals of our own.

What stock uvicorn 0.54 leaves open, seen: a request that never comes to its end keeps its connection for ever, octet by octet or in
silence; so does one whose body goes on behind an answer, and one whose answer is not read. Octets that are no HTTP are refused in plain text while the request before
them is still at work, whose answer then fails with a traceback in the log. h11 0.16 reads a request with Content-Length and
Transfer-Encoding by the second alone; a proxy that reads the first sees another request behind it (request smuggling).
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mailbridge.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """``head`` and ``body`` are the seconds in which those of a request must have come in whole, ``mail`` those for the body of a post
    that brings a mail (below ``/ingest/``), ``answer`` those in which a client that has let an answer pile up must read on.

    ``connections`` are open at once, of all clients: the long polls that may be held open, and as many more as anybody needs.
    """

    head: float = 10.0
    body: float = 15.0
    mail: float = 125.0
    answer: float = 30.0
    connections: int = 6_000


BOUNDS = Bounds()

MAILS = "/ingest/"
"""The paths below which bodies are mails."""

MOST_INCOMPLETE = 65_536
"""Octets of an incomplete head; more is refused as not HTTP."""


class StrictReader(h11.Connection):
    """h11's reading of a connection, less the requests whose length two readers may take for different ones (RFC 9112, 6.1 and 6.3).

    h11 itself refuses lengths that differ, lengths that are no number, and every coding but ``chunked``.
    """

    def next_event(self) -> Any:
        """See `h11.Connection.next_event`.

        Raises:
            h11.RemoteProtocolError: also for a request with both framings, and for a coding in HTTP/1.0, which has none.
        """
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if b"transfer-encoding" in names and (b"content-length" in names or event.http_version < b"1.1"):
                raise h11.RemoteProtocolError("the length of the request can be read in two ways")
        return event


class Connection(H11Protocol):
    """What `uvicorn.Config` takes as ``http``, once its first argument is given. Built by uvicorn for each connection."""

    is_operator = False
    """Whether it uses the unix socket, which is always accepted."""

    def __init__(self, bounds: Bounds, **given: Any) -> None:
        super().__init__(**given)
        self.conn = StrictReader(h11.SERVER, MOST_INCOMPLETE)
        self._bounds = bounds
        self._awaited: tuple[object, object] = (None, None)
        self._deadline: asyncio.TimerHandle | None = None
        self._piled_up: asyncio.TimerHandle | None = None
        self._is_silent = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected. If there are too many, close one that waits idle, or refuse this one."""
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections and not self._finds_room() and not self.is_operator:
            self._refuse(503, "too many connections are open", retry_after=b"5")
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._forget_deadline()
        self._forget_pile()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Octets have arrived. After a refusal they are ignored."""
        self._is_silent = False
        if not self.transport.is_closing():
            super().data_received(data)

    def pause_writing(self) -> None:
        """The client does not read, so the answer is buffered."""
        super().pause_writing()
        self._forget_pile()
        self._piled_up = self.loop.call_later(self._bounds.answer, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        self._forget_pile()
        super().resume_writing()

    def handle_events(self) -> None:
        """Process what is complete, and set a deadline for what is not."""
        super().handle_events()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in our own words instead of uvicorn's."""
        del msg
        self._refuse(400, "this is not a valid HTTP/1.1 request")

    @property
    def is_awaiting_request(self) -> bool:
        """Whether something is awaited from the client, who gets no answer at this moment."""
        return self._deadline is not None and self.conn.our_state is not h11.SEND_BODY

    def _finds_room(self) -> bool:
        """Whether another connection was closed to make room."""
        for other in self.connections:
            if isinstance(other, Connection) and other.is_awaiting_request:
                other.give_up()
                return True
        return False

    def _watch(self) -> None:
        """Set a deadline for the head or the body that is awaited now. Octets that trickle in do not move it."""
        awaited = (self.conn.their_state, self.cycle)
        if awaited == self._awaited:
            return
        self._forget_deadline()
        self._awaited = awaited
        seconds = {h11.IDLE: self._bounds.head, h11.SEND_BODY: self._body_time}.get(self.conn.their_state)
        if seconds is not None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(seconds, self.give_up)

    @property
    def _body_time(self) -> float:
        """The seconds for the body of the current request: a mail of 25 MB takes long on a slow line."""
        is_mail = self.scope is not None and self.scope["path"].startswith(MAILS)
        return self._bounds.mail if is_mail else self._bounds.body

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _forget_pile(self) -> None:
        if self._piled_up is not None:
            self._piled_up.cancel()
            self._piled_up = None

    def give_up(self) -> None:
        """The time is over, or somebody else's place is needed. Who has not said a word (browsers open connections in advance) is not told either."""
        if self._is_silent:
            self._forget_deadline()
            self.transport.close()
        else:
            self._refuse(408, "the request did not come in in time")

    def _refuse(self, status: int, title: str, *, retry_after: bytes = b"") -> None:
        """Send our own answer, if one can still be sent, and close. Work in progress for this client is cancelled."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._write(status, title, retry_after)
        self._forget_deadline()
        self.transport.close()

    def _write(self, status: int, title: str, retry_after: bytes) -> None:
        """Problem+json (RFC 9457), as the routes give it."""
        body = json.dumps({"type": "about:blank", "title": title, "status": status}).encode()
        fields = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"connection", b"close"),
            *([(b"retry-after", retry_after)] if retry_after else []),
        ]
        head = h11.Response(status_code=status, headers=fields, reason=HTTPStatus(status).phrase.encode())
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
