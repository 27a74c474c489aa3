"""A sink: a POST of JSON to an address of one's own, with a bearer token. The delivery's number tells a second attempt from another code.

One request for each push, over a connection of its own. What is retried, and when, is decided by whoever calls.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx

from mailbridge.config.settings import TargetSettings
from mailbridge.core.delivery import Accepted, Claim, Deferred, Doubtful, Outcome, Refused
from mailbridge.core.secret import Secret

AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
MOST = 65_536
"""Octets of an answer that are read."""

BEFORE_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""What httpx raises before an octet of the request has left."""


def bell(settings: TargetSettings, counted: Callable[[int], None]) -> Bell:
    """The sink for `app.parts`, made of a ``[[target]]``."""
    return Bell(settings.base_url, settings.api_key or Secret(""), timeout=settings.timeout, counted=counted)


class Bell:
    """Implements `mailbridge.sinks.Sink`."""

    def __init__(
        self,
        url: str,
        token: Secret,
        *,
        timeout: timedelta,
        counted: Callable[[int], None] = lambda _: None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = url
        self._timeout = timeout.total_seconds()
        self._counted = counted
        self._wall = wall
        # Neither redirects nor the environment's proxy: the token goes to the configured address, and nowhere else.
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(self._timeout),
            headers={"Authorization": f"Bearer {token.reveal()}", "Accept-Encoding": "identity"},
        )

    async def prepare(self) -> None:
        """Nothing is made ready."""

    async def push(self, claim: Claim) -> Outcome:
        """One POST. The timeout is for all of it, so that no answer that drips stretches it."""
        draft = claim.delivery.draft
        body = {
            "id": claim.delivery.id,
            "identifier": draft.identifier,
            "content": draft.content.reveal(),
            "expires_at": claim.expires_at.astimezone(UTC).isoformat(timespec="seconds"),
        }
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(json.dumps(body).encode())
        except BEFORE_SENT as fault:
            return Deferred(reason=f"not reachable: {type(fault).__name__}")
        except (httpx.HTTPError, TimeoutError, OSError) as fault:
            return Doubtful(reason=f"no answer: {type(fault).__name__}")

    async def _post(self, body: bytes) -> Outcome:
        headers = {"Content-Type": "application/json"}
        async with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
            size = 0
            async for part in answer.aiter_raw():
                size += len(part)
                if size > MOST:
                    return Doubtful(reason="the answer has no end")
        self._counted(answer.status_code)
        return self._judged(answer)

    def _judged(self, answer: httpx.Response) -> Outcome:
        status = answer.status_code
        if status in (200, 201, 202, 204):
            return Accepted()
        if status in (401, 403):
            return Deferred(reason=f"the token is refused ({status})", is_alarm=True)
        if status in AGAIN:
            return Deferred(reason=f"answered {status}", retry_after=self._wish(answer))
        if 300 <= status < 400:
            return Refused(reason=f"the address answers with a redirect ({status})", is_alarm=True)
        return Refused(reason=f"answered {status}")

    def _wish(self, answer: httpx.Response) -> timedelta | None:
        """Retry-After (RFC 9110 10.2.3)."""
        text = answer.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit() and len(text) < 8:
            return timedelta(seconds=int(text))
        try:
            return max(email.utils.parsedate_to_datetime(text) - self._wall(), timedelta())
        except (ValueError, TypeError):
            return None

    async def holds(self, claim: Claim) -> bool | None:
        """It need not be asked: it tells a second attempt by the delivery's number."""
        return False

    async def identifiers(self) -> tuple[str, ...] | None:
        """It asks for nobody in particular."""
        return None

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()
