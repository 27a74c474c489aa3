"""Access tokens (RFC 6749): requested once for all folders, renewed before they expire, and not requested again after a
refusal."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec.structs import replace

from mailbridge.config.mailboxes import SEND_SCOPE
from mailbridge.config.settings import ImapSettings, OAuthSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.faults import Kind, MailboxFault
from mailbridge.ingress.imap.oauth_errors import refusal_of
from mailbridge.ingress.imap.vault import Tokens
from mailbridge.masks import Masks

TIMEOUT = 10.0
EARLY = 300.0
"""Seconds before its expiry at which a token is renewed; a tenth of its lifetime if that is less."""
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Where consent and tokens are available. ``device_url`` is "" if there is no device flow for this scope."""

    auth_url: str
    token_url: str
    device_url: str
    scope: str
    app_scope: str
    extra: Mapping[str, str] = field(default_factory=dict)


MICROSOFT = "https://login.microsoftonline.com"


def sending(account: ImapSettings) -> OAuthSettings | None:
    """How an account gets its tokens. The permission to send is included if its canary goes by Microsoft's submission server
    (Google's scope includes both)."""
    grant, canary = account.oauth, account.canary
    is_submitted = canary is not None and canary.by != "append" and (bool(canary.smtp) or not account.host)
    if grant is None or not is_submitted or grant.provider != "microsoft" or grant.grant != "user" or grant.scope:
        return grant
    return replace(grant, scope=f"{provider_of(grant).scope} {SEND_SCOPE}")


def provider_of(settings: OAuthSettings) -> Provider:
    """The provider's addresses and scopes, or what the settings say instead."""
    if settings.provider == "google":
        known = Provider(
            auth_url="https://accounts.google.com/o/oauth2/v2/auth",
            token_url="https://oauth2.googleapis.com/token",  # noqa: S106  (an address)
            device_url="",
            scope="https://mail.google.com/",
            app_scope="https://mail.google.com/",
            extra={"access_type": "offline", "prompt": "consent"},
        )
    elif settings.provider == "microsoft":
        base = f"{MICROSOFT}/{settings.tenant}/oauth2/v2.0"
        known = Provider(
            auth_url=f"{base}/authorize",
            token_url=f"{base}/token",
            device_url=f"{base}/devicecode",
            scope="https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
            app_scope="https://outlook.office365.com/.default",
        )
    else:
        known = Provider(auth_url="", token_url="", device_url="", scope="", app_scope="")
    return Provider(
        auth_url=settings.auth_url or known.auth_url,
        token_url=settings.token_url or known.token_url,
        device_url=settings.device_url or known.device_url,
        scope=settings.scope or known.scope,
        app_scope=settings.scope or known.app_scope,
        extra=known.extra,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token. ``ends`` and ``got`` are seconds of the monotonic clock."""

    value: Secret
    got: float
    ends: float

    def is_fresh(self, now: float) -> bool:
        """Whether it may be used without requesting a new one first."""
        return now < self.ends - min(EARLY, (self.ends - self.got) / 10)


class TokenEndpoint:
    """One provider's token endpoint. It is asked once an hour, so each call has its own short-lived HTTP client."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    def ask(self, fields: Mapping[str, str], *, url: str = "") -> Mapping[str, Any]:
        """POST a form and return the JSON answer, also that of a 400.

        Raises:
            MailboxFault: there was no answer, or the provider itself has a problem (BUSY, with its Retry-After).
        """
        try:
            with httpx.Client(timeout=TIMEOUT, trust_env=False, follow_redirects=False) as client:
                response = client.post(url or self.provider.token_url, data=dict(fields), headers={"Accept": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise MailboxFault(Kind.NETWORK, f"the token endpoint does not answer: {type(fault).__name__}") from None
        if response.status_code == 429 or response.status_code >= 500:
            after = response.headers.get("retry-after", "")
            pause = timedelta(seconds=min(int(after), 900)) if after.isascii() and after.isdigit() else None
            raise MailboxFault(Kind.BUSY, f"the token endpoint answers {response.status_code}", pause=pause)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise MailboxFault(
                Kind.SETTING, f"{self.provider.token_url} is not a token endpoint: it answers {response.status_code}"
            )
        return answer


class TokenSource:
    """The access token of one account, shared by all its folders. Safe to use from many threads."""

    def __init__(
        self,
        *,
        account: str,
        username: str,
        settings: OAuthSettings,
        vault: Tokens,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account = account
        self._username = username
        self._settings = settings
        self._vault = vault
        self._now = now
        self._endpoint = TokenEndpoint(provider_of(settings))
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._final: tuple[int, MailboxFault] | None = None

    def token(self) -> Token:
        """A token that is valid for a while. Many simultaneous calls make one request.

        Raises:
            MailboxFault: CONSENT if a person must log in again (no more requests until somebody has), else why it is not possible
                now.
        """
        with self._lock:
            if self._token is not None and self._token.is_fresh(self._now()):
                return self._token
            stamp = self._vault.stamp(self._account)
            if self._final is not None and self._final[0] == stamp:
                raise self._final[1]
            try:
                self._token = self._renewed()
            except MailboxFault as fault:
                if fault.kind is Kind.CONSENT:
                    self._token, self._final = None, (stamp, fault)
                elif self._token is not None and self._now() < self._token.ends:
                    return self._token
                raise
            return self._token

    def refuse(self, token: Token) -> None:
        """Note that a server did not accept this token. The next caller gets a new one, unless there already is a new one."""
        with self._lock:
            if self._token is token:
                self._token = None

    def has_changed(self) -> bool:
        """Whether somebody has logged in again since the provider refused for good."""
        return self._final is None or self._final[0] != self._vault.stamp(self._account)

    def _renewed(self) -> Token:
        answer = self._endpoint.ask(self._request())
        got = self._now()
        access = answer.get("access_token")
        if not isinstance(access, str) or not access:
            raise refusal_of(answer, self._account)
        rotated = answer.get("refresh_token")
        self._vault.masks.guard_for_now(Secret(access), Secret(str(rotated or "")))
        if self._settings.grant == "user" and isinstance(rotated, str) and rotated:
            self._vault.write(self._account, Secret(rotated))
        return Token(value=Secret(access), got=got, ends=got + seconds_of(answer))

    def _request(self) -> Mapping[str, str]:
        settings, provider = self._settings, self._endpoint.provider
        if settings.grant == "service-account":
            assertion = _assertion(settings.key_file, provider, self._username, self._vault.masks)
            self._vault.masks.guard_for_now(Secret(assertion))
            return {"grant_type": JWT_BEARER, "assertion": assertion}
        fields = client_fields(settings)
        if settings.grant == "client-credentials":
            return {**fields, "grant_type": "client_credentials", "scope": provider.app_scope}
        kept = self._vault.read(self._account)
        if kept is None:
            raise MailboxFault(Kind.CONSENT, f"nobody has logged in yet: mailbridge oauth login {self._account}")
        return {**fields, "grant_type": "refresh_token", "refresh_token": kept.reveal()}


def client_fields(settings: OAuthSettings) -> dict[str, str]:
    """The fields that identify the application."""
    fields = {"client_id": settings.client_id}
    if settings.client_secret is not None:
        fields["client_secret"] = settings.client_secret.reveal()
    return fields


def seconds_of(answer: Mapping[str, Any]) -> float:
    """Seconds for which a token is valid; an hour if the provider does not say."""
    try:
        return max(1.0, float(answer.get("expires_in", 3600)))
    except (TypeError, ValueError):
        return 3600.0


def _assertion(key_file: Path | None, provider: Provider, username: str, masks: Masks) -> str:
    """A service account's statement that it acts for ``username`` (RFC 7523), signed with its key."""
    try:
        content = json.loads(key_file.read_text(encoding="utf-8")) if key_file is not None else {}
        masks.guard(*map(Secret, content["private_key"].splitlines()[1:-1]))
        key = serialization.load_pem_private_key(content["private_key"].encode(), password=None)
        issuer = content["client_email"]
    except OSError as fault:
        raise MailboxFault(Kind.SETTING, f"key_file {key_file}: {fault.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MailboxFault(Kind.SETTING, f"key_file {key_file}: no key of a service account") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise MailboxFault(Kind.SETTING, f"key_file {key_file}: no RSA key")
    now = int(time.time())
    claims = {
        "iss": issuer,
        "sub": username,
        "scope": provider.app_scope,
        "aud": provider.token_url,
        "iat": now,
        "exp": now + 3600,
    }
    signed = f"{_b64({'alg': 'RS256', 'typ': 'JWT'})}.{_b64(claims)}"
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _b64(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")
