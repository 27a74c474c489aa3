"""Requests to an external receiver: one address, guarded, with a limit for the whole time, and the meaning of each answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpcore
import httpx

from mailbridge.config.settings import Method
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Accepted, Deferred, Doubtful, Outcome, Refused
from mailbridge.core.secret import Secret
from mailbridge.net.guard import OURS, GuardedTransport, PrivateAddress, Reach, Resolve, system_addresses
from mailbridge.sinks import GONE
from mailbridge.sinks.asking import ALARMING, BEFORE_SENT, MAX_ANSWER, RETRIED, Answer, Headers, ask, retry_after, unreachable

CONNECT_SHARE = 0.5
"""The share of the time after which a connection is given up: before the whole is over, so that it is known that nothing was sent."""

SHOWN = 2_000
"""Octets of an answer that a person sees."""

LONGEST_WISH = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to send: the URL, which may itself be a secret, by what method, and where it may lead; how names are looked up and
    connections made."""

    url: Secret
    method: Method = "POST"
    reach: Reach = field(default_factory=Reach)
    timeout: timedelta = timedelta(seconds=10)
    resolve: Resolve = field(default=system_addresses, repr=False)
    network: httpcore.AsyncNetworkBackend | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What an attempt came to, and the answer as far as a person is shown it; ``status`` 0: none came."""

    outcome: Outcome
    status: int = 0
    text: str = ""


class Poster:
    """Sends to one address. Never follows a redirect, uses no proxy, and raises nothing for what the network or the receiver does."""

    def __init__(
        self,
        address: Address,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_response: Callable[[int], None] = lambda status: None,  # noqa: ARG005
    ) -> None:
        """Raises ValueError for a URL that is none; the message does not hold it."""
        self._url = web_address(address.url)
        self._method = address.method
        self._timeout = address.timeout.total_seconds()
        self._headers = [(b"Host", self._url.netloc), (b"Accept-Encoding", b"identity"), (b"User-Agent", b"mailbridge"), *headers]
        limit = httpx.Timeout(self._timeout, connect=self._timeout * CONNECT_SHARE)
        self._extensions: dict[str, Any] = {"timeout": limit.as_dict()}
        self._wall = wall
        self._on_response = on_response
        self._make = lambda: GuardedTransport(
            address.reach, scheme=self._url.scheme, resolve=address.resolve, network=address.network
        )
        self._transport: GuardedTransport | None = None
        self._making = asyncio.Lock()

    async def send(self, body: bytes | None, headers: Headers) -> Sent:
        """Send once."""
        async with self._making:
            if self._transport is None:
                self._transport = await asyncio.to_thread(self._make)  # reading the authorities takes 20 ms
        own = {name.lower() for name, _ in headers}
        whole = [*(one for one in self._headers if one[0].lower() not in own), *headers]
        if body is None and self._method not in ("GET", "DELETE"):
            body = b""
        if body is not None:
            whole.append((b"Content-Length", str(len(body)).encode()))
        try:
            async with asyncio.timeout(self._timeout):
                answer = await ask(
                    self._transport, self._method, self._url, headers=whole, body=body, extensions=self._extensions
                )
        except BEFORE_SENT as fault:
            return Sent(outcome=_not_reached(fault))
        except (httpx.TransportError, TimeoutError, OSError) as fault:
            return Sent(outcome=Doubtful(reason=f"no answer: {type(fault).__name__}"))
        self._on_response(answer.status)
        text = answer.body[:SHOWN].decode("utf-8", "replace")
        return Sent(outcome=judged(answer, self._wall()), status=answer.status, text=text)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.aclose()


def judged(answer: Answer, now: datetime) -> Outcome:
    """What an answer means: 2xx is success, and nothing else is (Standard Webhooks 1.0.0). Total, for every status."""
    status = answer.status
    if 200 <= status < 300:
        return Accepted() if len(answer.body) < MAX_ANSWER else Doubtful(reason=f"{status}, with an answer that does not end")
    if status in ALARMING:
        return Deferred(reason=f"the receiver refuses what it is authorized with ({status})", is_alarm=True)
    if status in RETRIED or status == 425 or status > 500:
        return Deferred(reason=f"the receiver answered {status}", retry_after=_wish(answer, now))
    if status == 410:
        return Refused(reason=GONE, is_alarm=True, is_gone=True)
    if 300 <= status < 400:
        return Refused(reason=f"the receiver redirects ({status}), which is not followed: check its url", is_alarm=True)
    if status in (404, 405):
        return Refused(reason=f"no receiver there ({status}): check its url", is_alarm=True)
    return Refused(reason=f"the receiver answered {status}")


def web_address(url: Secret) -> httpx.URL:
    """The URL.

    Raises:
        ValueError: it is not an http or https address, names no host, or holds a user or a fragment; the message does not hold it.
    """
    try:
        found = httpx.URL(url.reveal().strip())
    except (httpx.InvalidURL, ValueError):
        raise ValueError("is not an address; write something like https://example.com/hook") from None
    if found.scheme not in ("http", "https") or not found.host:
        raise ValueError("must begin with https:// or http:// and name a host")
    if found.userinfo or found.fragment:
        raise ValueError("must hold no user and no fragment; a header carries what authorizes a request")
    return found


def shown_address(url: Secret) -> str:
    """The part of a URL that is no secret: scheme and host. Path and query often are what authorizes a request."""
    try:
        found = web_address(url)
    except ValueError:
        return ""
    return f"{found.scheme}://{found.netloc.decode('ascii', 'replace')}"


def _not_reached(fault: Exception) -> Deferred:
    """Nothing was sent. If the guard refused the address, a person must know why."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, PrivateAddress):
            hint = "; `allow_private = true` allows that" if any(f"({one})" in str(cause) for one in OURS) else ""
            return Deferred(reason=f"not sent: {cause}{hint}", is_alarm=True)
        cause = cause.__cause__
    return Deferred(reason=unreachable(fault))


def _wish(answer: Answer, now: datetime) -> timedelta | None:
    """When the receiver wants to be asked again: Retry-After, or as Discord (``retry_after``) and Telegram (in ``parameters``) say it."""
    wish = retry_after(answer.headers, now)
    if wish is None and answer.status == 429:
        try:
            row = json.loads(answer.body)
        except (ValueError, RecursionError):
            return None
        inner = row.get("parameters") if isinstance(row, dict) else None
        for one in (row, inner):
            seconds = one.get("retry_after") if isinstance(one, dict) else None
            if isinstance(seconds, int | float) and 0 <= seconds < 86_400:
                return timedelta(seconds=seconds)
    return None if wish is None else min(wish, LONGEST_WISH)
