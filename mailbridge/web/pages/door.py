"""Who may come in to the page: by which name it is asked, over what, from which page, and with which cookie.

A browser sends cookies wherever a page of somebody else's points it. Four things stand against that: the cookie is ``SameSite=Strict``;
a form brings a token back that is made from the cookie; ``Origin`` is the page's own; and ``Host`` is a name of ours, so that a name of
a stranger's that leads to this machine (DNS rebinding) is none.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import time
from dataclasses import field
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from mailbridge.core.dataclass import dataclass
from mailbridge.operator.sessions import csrf_of
from mailbridge.web.limits import RateLimit

CSRF = "csrf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """How the page is asked: the origin that it has for the browser, the path that it lies under, and whether a login is taken there."""

    origin: str
    prefix: str
    is_secure: bool
    takes_logins: bool
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(18))

    @property
    def cookie(self) -> str:
        """The cookie's name. ``__Host-`` binds it to this very host over https (RFC 6265bis 4.1.3.2); on loopback, where browsers
        do not tell ports apart, the port is in it."""
        return "__Host-mailbridge" if self.is_secure else f"mailbridge-{urlsplit(self.origin).port or 80}"


class Door:
    """Checks requests by their headers. ``public_url`` is the address behind a proxy, "" for this machine only."""

    def __init__(self, public_url: str) -> None:
        parts = urlsplit(public_url)
        self._public_host = _host(parts.netloc, parts.scheme)
        self._public_scheme = parts.scheme
        self._prefix = parts.path.rstrip("/")
        self._logins = RateLimit(rate=1 / 20, burst=10, now=time.monotonic)
        self._all_logins = RateLimit(rate=1, burst=60, now=time.monotonic)

    def visit(self, request: Request) -> Visit | None:
        """The visit of this request; None if its Host is not one of our names."""
        host = request.headers.get("host", "").casefold()
        if self._public_host and _host(host, self._public_scheme) == self._public_host:
            is_secure = self._public_scheme == "https"
            return Visit(
                origin=f"{self._public_scheme}://{host}",
                prefix=self._prefix,
                is_secure=is_secure,
                takes_logins=is_secure or _is_loopback(host),
            )
        if _is_loopback(host):
            return Visit(origin=f"http://{host}", prefix="", is_secure=False, takes_logins=True)
        return None

    def login_wait(self, client: str) -> float:
        """Take one attempt to log in. Returns 0, or the seconds after which the next is taken."""
        return self._logins.take(client) or self._all_logins.take("everybody")


def is_own(request: Request, visit: Visit, cookie: str, sent: str) -> bool:
    """Whether a POST comes from our own page: the Origin is ours, and it has the token of the cookie."""
    return is_own_origin(request, visit) and bool(cookie) and hmac.compare_digest(sent.encode(), csrf_of(cookie).encode())


def is_own_origin(request: Request, visit: Visit) -> bool:
    """Whether a POST was sent by a page of this origin.

    Under ``Referrer-Policy: no-referrer`` browsers write ``Origin: null`` for the forms of that page (Fetch standard, 3.2); what they
    write in ``Sec-Fetch-Site`` (Fetch Metadata), which no page can set, tells such a form from one of a stranger's.
    """
    origin = request.headers.get("origin", "").casefold()
    return origin == visit.origin or (origin == "null" and request.headers.get("sec-fetch-site") == "same-origin")


def set_cookie(response: Response, visit: Visit, text: str, seconds: int) -> None:
    """Set the cookie of a session; with ``seconds`` 0, delete it."""
    response.set_cookie(visit.cookie, text, max_age=seconds, path="/", secure=visit.is_secure, httponly=True, samesite="strict")


def headers(visit: Visit) -> dict[str, str]:
    """What every answer of the page forbids a browser: everything but its own files, and scripts of this very answer."""
    policy = (
        "default-src 'none'",
        f"script-src 'nonce-{visit.nonce}'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types htmx",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def _host(netloc: str, scheme: str) -> str:
    """Host and port, without the port that goes without saying."""
    return netloc.casefold().removesuffix({"https": ":443", "http": ":80"}.get(scheme, "\0"))


def _is_loopback(host: str) -> bool:
    """Whether a Host names this machine: ``localhost`` or an address of loopback, with any port."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        _ = urlsplit(f"//{host}").port
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
