"""Limits for one client: how many requests, and how much of a body is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from mailbridge.core.buckets import TokenBuckets

MOST_BODY = 65_536
"""Octets of a request's body; Skyvern's polls have less than 300."""

MOST_DRAINED = 1_048_576
BODY_PATIENCE = 10.0
"""Seconds within which a body must arrive."""


class RateLimit:
    """``burst`` requests of a client at once, ``rate`` a second in the long run."""

    MOST_CLIENTS = 10_000
    """Clients that are remembered; above this the one that was silent longest is forgotten."""

    def __init__(self, *, rate: float, burst: int, now: Callable[[], float]) -> None:
        self._now = now
        self._buckets = TokenBuckets(rate=rate, burst=burst, most_keys=self.MOST_CLIENTS)

    def take(self, client: str) -> float:
        """Take one request. Returns 0, or the seconds to wait."""
        return self._buckets.take(client or "nobody", self._now())


def client_of(request: Request) -> str:
    """The address of the client: that of the connection, or the one that a proxy on loopback names."""
    return request.client.host if request.client else ""


def limit(bucket: RateLimit, request: Request) -> None:
    """Let a request through, or raise 429 with Retry-After."""
    seconds = bucket.take(client_of(request))
    if seconds:
        raise HTTPException(429, "too many requests; come back later", headers={"Retry-After": str(int(seconds) + 1)})


async def body_of(request: Request, *, most: int = MOST_BODY) -> bytes:
    """The raw body. Raises 413 above ``most`` octets, 408 where it does not come in in time, 400 where it breaks off.

    What is too large is still taken off the wire for MOST_DRAINED more, since a client that is cut off while it sends sees no answer.
    """
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            async for part in request.stream():
                size += len(part)
                if size > most + MOST_DRAINED:
                    break
                if size <= most:
                    parts.append(part)
    except TimeoutError:
        raise HTTPException(408, "the body did not come in in time", headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "the body broke off") from None
    if size > most:
        raise HTTPException(413, f"the body is larger than {most} octets", headers={"Connection": "close"})
    return b"".join(parts)
