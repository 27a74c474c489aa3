"""Where mailbridge is and who asks: from arguments, else from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import httpx

from mailbridge_client.calls import Call

DEFAULT_URL = "http://127.0.0.1:8025"
CONNECT_WITHIN = 5.0
UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""As many waits at once as the caller begins. Redirects are never followed: the token would go along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``url`` without a slash at its end; the token is shown nowhere."""

    url: str
    token: str = field(repr=False)

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, which no proxy of the environment reaches."""
        host = httpx.URL(self.url).host
        return host == "localhost" or host == "::1" or host.startswith("127.")

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.token}", "Accept": "application/json", "User-Agent": "mailbridge-client-python"}

    def request(self, call: Call, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """A call as a request."""
        return client.build_request(
            call.method,
            self.url + call.path,
            params=dict(call.query) or None,
            json=None if call.body is None else dict(call.body),
            headers=self.headers,
            timeout=httpx.Timeout(call.seconds, connect=CONNECT_WITHIN),
        )


def settings(url: str | None, token: str | None) -> Settings:
    """From arguments, else from MAILBRIDGE_URL (default http://127.0.0.1:8025) and MAILBRIDGE_TOKEN.

    Raises:
        ValueError: there is no token, or one of them is not what it must be. The message repeats neither.
    """
    where = (url if url is not None else os.environ.get("MAILBRIDGE_URL", "")).strip() or DEFAULT_URL
    secret = (token if token is not None else os.environ.get("MAILBRIDGE_TOKEN", "")).strip()
    if not secret:
        raise ValueError("no token: set MAILBRIDGE_TOKEN, or give token=…; `mailbridge token add --identifier …` prints one")
    if not all("!" <= letter <= "~" for letter in secret):
        raise ValueError("the token has blanks or characters beyond ASCII")
    try:
        parsed = httpx.URL(where)
    except httpx.InvalidURL:
        raise ValueError("the URL of mailbridge cannot be read") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise ValueError("the URL of mailbridge must be like http://127.0.0.1:8025, without user, query and fragment")
    return Settings(url=where.rstrip("/"), token=secret)
