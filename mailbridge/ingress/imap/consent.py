"""`oauth login`: a person allows mailbridge to read a mailbox, in a browser on this machine (RFC 8252, PKCE) or on another (RFC 8628).

What comes out is a refresh token; it goes into the vault, and nobody sees it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from mailbridge.config.settings import OAuthSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.faults import Kind, MailboxFault
from mailbridge.ingress.imap.oauth import TokenEndpoint, client_fields, provider_of, refusal_of

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DONE = b"<!doctype html><title>mailbridge</title><p>mailbridge may read the mailbox now. You can close this page."
FAILED = b"<!doctype html><title>mailbridge</title><p>The permission was not given. See the terminal."


def by_browser(settings: OAuthSettings, *, account: str, username: str, show: Callable[[str], None], timeout: float) -> Secret:
    """Authorization code with PKCE over a listener on loopback. ``show`` gets the address to open.

    Raises:
        MailboxFault: the permission was not given, or not in time.
    """
    provider = provider_of(settings)
    if not provider.auth_url:
        raise MailboxFault(Kind.SETTING, "oauth: a custom provider needs auth_url for a login by browser")
    verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(24)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    with _Loopback(state) as listener:
        query = {
            "client_id": settings.client_id,
            "response_type": "code",
            "redirect_uri": listener.uri,
            "scope": provider.scope,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "login_hint": username,
            **provider.extra,
        }
        show(f"{provider.auth_url}?{urlencode(query)}")
        code = listener.code(timeout)
    fields = {
        **client_fields(settings),
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": listener.uri,
        "code_verifier": verifier,
    }
    return _refresh_token(TokenEndpoint(provider).ask(fields), account)


def by_device(
    settings: OAuthSettings,
    *,
    account: str,
    show: Callable[[str, str], None],
    timeout: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Secret:
    """Device code: ``show`` gets the address to open anywhere and the words to type there.

    Raises:
        MailboxFault: the permission was not given, or not in time.
    """
    provider = provider_of(settings)
    if not provider.device_url:
        raise MailboxFault(Kind.SETTING, "this provider has no device flow for mail; leave --device out")
    endpoint = TokenEndpoint(provider)
    begun = endpoint.ask({"client_id": settings.client_id, "scope": provider.scope}, url=provider.device_url)
    device, words = begun.get("device_code"), begun.get("user_code")
    address = begun.get("verification_uri") or begun.get("verification_url")
    if not isinstance(device, str) or not isinstance(words, str) or not isinstance(address, str):
        raise refusal_of(begun, account)
    show(address, words)
    pause = _seconds(begun.get("interval"), 5.0)
    until = time.monotonic() + min(timeout, _seconds(begun.get("expires_in"), 900.0))
    while time.monotonic() < until:
        sleep(pause)
        answer = endpoint.ask({**client_fields(settings), "grant_type": DEVICE_GRANT, "device_code": device})
        error = answer.get("error")
        if error == "slow_down":
            pause += 5.0
        elif error != "authorization_pending":
            return _refresh_token(answer, account)
    raise MailboxFault(Kind.CONSENT, "the permission was not given in time")


class _Loopback:
    """A listener for one redirect to this machine."""

    def __init__(self, state: str) -> None:
        self._state = state
        self._answer: dict[str, list[str]] | None = None
        waiting = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_ours = waiting.take(self.path)
                body = DONE if is_ours else FAILED
                self.send_response(200 if is_ours else 400)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (http.server's name)
                """The address holds the code: not logged."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._server.timeout = 0.5
        self.uri = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> _Loopback:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def take(self, path: str) -> bool:
        """A redirect of ours? Anything else is answered and forgotten."""
        query = parse_qs(urlsplit(path).query)
        if not hmac.compare_digest(query.get("state", [""])[0].encode(), self._state.encode()):
            return False
        self._answer = query
        return "code" in query

    def code(self, timeout: float) -> str:
        """The code of the redirect. Raises MailboxFault."""
        until = time.monotonic() + timeout
        while self._answer is None:
            if time.monotonic() > until:
                raise MailboxFault(Kind.CONSENT, "the permission was not given in time")
            self._server.handle_request()
        if "code" not in self._answer:
            error = self._answer.get("error", ["access_denied"])[0]
            raise MailboxFault(Kind.CONSENT, f"the permission was not given ({error[:60]})")
        return self._answer["code"][0]


def _refresh_token(answer: Mapping[str, Any], account: str) -> Secret:
    token = answer.get("refresh_token")
    if isinstance(token, str) and token:
        return Secret(token)
    if "access_token" in answer:
        raise MailboxFault(Kind.SETTING, "the provider gave no refresh token; does the scope allow offline access?")
    raise refusal_of(answer, account)


def _seconds(value: object, usual: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else usual
