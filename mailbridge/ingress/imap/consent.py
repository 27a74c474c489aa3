"""`oauth login`: a person allows mailbridge to read a mailbox, in a browser on this machine (RFC 8252, PKCE) or on another one
(RFC 8628).

The result is a refresh token. It goes into the vault, and nobody sees it.
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
from mailbridge.ingress.imap.oauth import TokenEndpoint, client_fields, provider_of
from mailbridge.ingress.imap.oauth_errors import refusal_of

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DONE = b"<!doctype html><title>mailbridge</title><p>mailbridge may read the mailbox now. You can close this page."
FAILED = (
    b"<!doctype html><title>mailbridge</title><p>The permission was not given, or does not open the mailbox. See the terminal."
)
PASTED_PORT = 8497
"""The port in the redirect if nobody listens. It is only a part of the address that the person pastes."""

Check = Callable[[Secret], Secret]
"""Checks whether a refresh token opens the mailbox. Returns the token as it is afterwards. Raises MailboxFault."""


def as_it_is(token: Secret) -> Secret:
    """Check nothing."""
    return token


def by_browser(
    settings: OAuthSettings,
    *,
    account: str,
    username: str,
    show: Callable[[str], None],
    timeout: float,
    port: int = 0,
    check: Check = as_it_is,
) -> Secret:
    """Authorization code with PKCE, with a listener on loopback (``port`` 0: any). ``show`` gets the address to open. The browser
    shows success only after the code is exchanged and ``check`` has passed.

    Raises:
        MailboxFault: the permission was not given, not in time, or does not open the mailbox.
    """
    with _Loopback(port) as listener:
        question = Question(settings, username=username, redirect=listener.uri)
        show(question.address)
        return listener.answered(question, lambda code: check(question.exchanged(code, account)), account, timeout)


def by_paste(
    settings: OAuthSettings,
    *,
    account: str,
    username: str,
    show: Callable[[str], None],
    read: Callable[[], str],
    port: int = 0,
    check: Check = as_it_is,
) -> Secret:
    """The same without a listener: ``read`` returns the address to which the browser was sent, on any machine.

    Raises:
        MailboxFault: as `by_browser`; or what was pasted is not that address.
    """
    question = Question(settings, username=username, redirect=f"http://127.0.0.1:{port or PASTED_PORT}/")
    show(question.address)
    return check(question.exchanged(question.code_of(read().strip(), account), account))


class Question:
    """One request for a permission: the address that asks for it, and the data with which its answer is exchanged."""

    def __init__(self, settings: OAuthSettings, *, username: str, redirect: str) -> None:
        self._settings = settings
        self._provider = provider = provider_of(settings)
        self._redirect = redirect
        if not provider.auth_url:
            raise MailboxFault(Kind.SETTING, "oauth: a custom provider needs auth_url for a login by browser")
        self._verifier, self._state = secrets.token_urlsafe(64), secrets.token_urlsafe(24)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self._verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "client_id": settings.client_id,
            "response_type": "code",
            "redirect_uri": redirect,
            "scope": provider.scope,
            "state": self._state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "login_hint": username,
            **provider.extra,
        }
        self.address = f"{provider.auth_url}?{urlencode(query)}"

    def is_of(self, query: Mapping[str, list[str]]) -> bool:
        """Whether a redirect's query answers this question."""
        return hmac.compare_digest(query.get("state", [""])[0].encode(), self._state.encode())

    def code_of(self, address: str, account: str) -> str:
        """The code in the address to which the browser was sent.

        Raises:
            MailboxFault: it is not such an address, or the permission was not given.
        """
        parts = urlsplit(address)
        query = parse_qs(parts.query or (parts.path if "=" in parts.path else ""))
        if not self.is_of(query):
            text = "that is not the address that the browser was sent to: copy the whole of its address bar, http://127.0.0.1… with code= and state="
            raise MailboxFault(Kind.CONSENT, text)
        if "code" not in query:
            raise refusal_of({name: values[0] for name, values in query.items()} | _no_error(query), account)
        return query["code"][0]

    def exchanged(self, code: str, account: str) -> Secret:
        """The refresh token for a code.

        Raises:
            MailboxFault: the provider gives none.
        """
        fields = {
            **client_fields(self._settings),
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": self._verifier,
        }
        return _refresh_token(TokenEndpoint(self._provider).ask(fields), account)


def by_device(
    settings: OAuthSettings,
    *,
    account: str,
    show: Callable[[str, str], None],
    timeout: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Secret:
    """Device code: ``show`` gets the address to open on any device, and the words to type there.

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
    """A listener for one redirect to this machine. The browser gets its answer when the result is known."""

    def __init__(self, port: int) -> None:
        self._found: Secret | MailboxFault | None = None
        self._finish: Callable[[str], Secret | MailboxFault | None] = lambda _: None
        waiting = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = waiting.take(self.path)
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (http.server's name)
                """Log nothing: the address contains the code."""

        try:
            self._server = HTTPServer(("127.0.0.1", port), Handler)
        except OSError as fault:
            raise MailboxFault(Kind.SETTING, f"port {port}: {fault.strerror}; name another one with --port") from None
        self._server.timeout = 0.5
        self.uri = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> _Loopback:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def take(self, path: str) -> tuple[int, bytes]:
        """Status and page for a request. Anything except the redirect is answered and ignored."""
        found = self._finish(path) if self._found is None else None
        if found is None:
            return 400, FAILED
        self._found = found
        return (200, DONE) if isinstance(found, Secret) else (400, FAILED)

    def answered(self, question: Question, done: Callable[[str], Secret], account: str, timeout: float) -> Secret:
        """The result of the redirect, when it has come. Raises MailboxFault."""

        def finish(path: str) -> Secret | MailboxFault | None:
            if not question.is_of(parse_qs(urlsplit(path).query)):
                return None
            try:
                return done(question.code_of(path, account))
            except MailboxFault as fault:
                return fault

        self._finish = finish
        until = time.monotonic() + timeout
        while self._found is None:
            if time.monotonic() > until:
                raise MailboxFault(Kind.CONSENT, "the permission was not given in time")
            self._server.handle_request()
        if isinstance(self._found, MailboxFault):
            raise self._found
        return self._found


def _no_error(query: Mapping[str, list[str]]) -> dict[str, str]:
    return {} if "error" in query else {"error": "access_denied"}


def _refresh_token(answer: Mapping[str, Any], account: str) -> Secret:
    token = answer.get("refresh_token")
    if isinstance(token, str) and token:
        return Secret(token)
    if "access_token" in answer:
        raise MailboxFault(Kind.SETTING, "the provider gave no refresh token; does the scope allow offline access?")
    raise refusal_of(answer, account)


def _seconds(value: object, usual: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else usual
