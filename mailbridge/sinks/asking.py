"""One request of a sink, and its answer (read up to a limit) or its failure."""

from __future__ import annotations

import email.utils
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from mailbridge.core.dataclass import dataclass

MAX_ANSWER = 1_048_576
"""Octets of an answer that are read. A row of Skyvern repeats the content that was pushed: up to 400 kB where whole bodies are."""

RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Statuses of temporary errors."""

ALARMING = frozenset({401, 403})

BEFORE_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
"""What httpx raises before an octet of the request has left."""

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status and the first octets of the body."""

    status: int
    headers: httpx.Headers
    body: bytes


def unreachable(fault: Exception) -> str:
    """Why nothing could be sent, in words, with the library's name of the fault for a search. No address and no key is in it."""
    match fault:
        case httpx.ConnectTimeout():
            what = "no connection in time"
        case httpx.PoolTimeout():
            what = "every connection is busy"
        case _:
            what = "no connection"
    return f"not reachable: {what} ({type(fault).__name__})"


async def ask(
    transport: httpx.AsyncHTTPTransport,
    method: str,
    url: httpx.URL,
    *,
    headers: Headers,
    body: bytes | None,
    extensions: Mapping[str, Any],
) -> Answer:
    """One request, its redirects not followed.

    Raises:
        httpx.TransportError, TimeoutError, OSError: there is no whole answer; one of BEFORE_SENT where nothing was sent.
    """
    request = httpx.Request(method, url, headers=list(headers), content=body, extensions=dict(extensions))
    response = await transport.handle_async_request(request)
    try:
        parts, size = [], 0
        async for part in response.stream:  # type: ignore[union-attr]
            parts.append(part)
            size += len(part)
            if size >= MAX_ANSWER:
                break
    finally:
        await response.aclose()
    return Answer(
        status=response.status_code,
        headers=response.headers,
        body=decoded(b"".join(parts)[:MAX_ANSWER], response.headers),
    )


def decoded(body: bytes, headers: httpx.Headers) -> bytes:
    """The body without the compression that nobody asked for, but that a proxy may add; never more than is read of any answer."""
    if headers.get("Content-Encoding", "").strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, MAX_ANSWER)
    except zlib.error:
        return b""


def retry_after(headers: httpx.Headers, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110 10.2.3), nothing below zero."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 8:
        return timedelta(seconds=int(text))
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(moment - now, timedelta())
