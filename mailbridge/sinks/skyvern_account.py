"""Skyvern as an operator asks it: is the key good, what do its credentials name, does it make the same codes as we do.

Facts about the contract: observed on a running Skyvern 1.0.56.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from mailbridge.core.dataclass import dataclass
from mailbridge.core.otpauth import uri
from mailbridge.core.secret import Secret
from mailbridge.core.totp import Authenticator
from mailbridge.sinks.skyvern import endpoint
from mailbridge.sinks.skyvern_pages import login

PATIENCE = 15.0
GLANCE = 2.0
LONGEST_URL = 2083
PAGE = 100
MOST_PAGES = 50
CLOCK_SLACK = timedelta(seconds=15)
"""Beyond it codes of authenticators are wrong somewhere, and deadlines are too."""

BLOCKED_NAMES = (".local", ".localhost", ".internal", ".svc", ".cluster.local")
CARRIER_GRADE = ipaddress.ip_network("100.64.0.0/10")


class SkyvernError(Exception):
    """Skyvern cannot be reached or refused; the message says what to do, and contains no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A credential as Skyvern lists it; ``totp_identifier`` and ``page``, its login page (tested_url), are ``""`` where it has none."""

    id: str
    name: str
    totp_identifier: str
    page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What Skyvern says of itself: its version (``""``: it does not say), its credentials, how far its clock is ahead of ours."""

    version: str
    credentials: tuple[Credential, ...]
    clock_ahead: timedelta | None


class SkyvernAccount:
    """Asks one Skyvern, blocking. Every method raises SkyvernError and nothing else."""

    def __init__(self, *, base_url: str, api_key: Secret) -> None:
        """Raises ValueError for a base URL that is none."""
        self._base = str(endpoint(base_url))
        self._headers = {"x-api-key": api_key.reveal(), "Accept-Encoding": "identity"}

    def look(self) -> Account:
        """Version, credentials and clock; a refused key is a SkyvernError."""
        first = self._ask("GET", "/credentials/totp", params={"limit": "1"})
        ahead = _clock_ahead(first)
        version = self._maybe("/version").get("version", "")
        return Account(
            version=version if isinstance(version, str) else "", credentials=tuple(self._credentials()), clock_ahead=ahead
        )

    def add(self, authenticator: Authenticator, *, name: str, username: str, password: Secret, identifier: str | None) -> str:
        """Store a password credential with its authenticator. Returns its id. Not repeated by itself: every call makes a new one."""
        credential = {
            "username": username,
            "password": password.reveal(),
            "totp": uri(authenticator).reveal(),
            "totp_type": "authenticator",
        }
        if identifier:
            credential["totp_identifier"] = identifier
        made = self._ask("POST", "/credentials", json={"name": name, "credential_type": "password", "credential": credential})
        number = _json(made).get("credential_id")
        if not isinstance(number, str) or not number:
            raise SkyvernError("Skyvern took the credential but did not say its id; look for it in Skyvern's list")
        return number

    def is_same_code(self, number: str, authenticator: Authenticator) -> bool:
        """Whether the code that Skyvern makes of a stored credential is ours of the same moment, or of the periods beside it."""
        code = _json(self._ask("GET", f"/credentials/{number}/totp-code")).get("code")
        counter = authenticator.counter(time.time())
        return isinstance(code, str) and any(authenticator.code(counter + step) == Secret(code) for step in (0, -1, 1))

    def remove(self, number: str) -> None:
        """Delete a credential."""
        self._ask("POST", f"/credentials/{number}/delete")

    def _credentials(self) -> list[Credential]:
        """Every page; Skyvern gives ten at a time unless asked for more."""
        found: dict[str, Credential] = {}
        for page in range(1, MOST_PAGES + 1):
            rows = _rows(self._ask("GET", "/credentials", params={"page": str(page), "page_size": str(PAGE)}))
            known = len(found)
            for row in rows:
                one = _credential(row)
                found[one.id] = one
            if len(rows) < PAGE or len(found) == known:
                break
        return list(found.values())

    def _maybe(self, path: str) -> dict[str, Any]:
        """An answer that older releases do not have."""
        try:
            return _json(self._ask("GET", path))
        except SkyvernError:
            return {}

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            with httpx.Client(trust_env=False, follow_redirects=False, timeout=PATIENCE, headers=self._headers) as client:
                answer = client.request(method, self._base + path, **options)
        except httpx.HTTPError as fault:
            raise SkyvernError(f"{self._base} cannot be reached ({type(fault).__name__}): check [skyvern] base_url") from None
        if answer.status_code in (401, 403):
            raise SkyvernError(
                f"{self._base} refuses the API key ({answer.status_code}): {_detail(answer) or 'check [skyvern] api_key'}"
            )
        if answer.status_code == 400 and "invalid_authenticator_key" in answer.text:
            raise SkyvernError(
                "Skyvern refuses this secret: shorter than its pyotp allows (112 bits), or of a kind that it does not know."
                " mailbridge itself can answer for it: `mailbridge totp bind`, and `mailbridge skyvern url`"
            )
        if answer.status_code >= 300:
            raise SkyvernError(f"{self._base}{path} answered {answer.status_code}: check [skyvern] base_url")
        return answer


def is_skyvern(base_url: str) -> bool:
    """Whether a Skyvern answers there: it refuses a request without a key, in JSON, as its API does. Blocking, two seconds at most."""
    try:
        url = f"{endpoint(base_url)}/credentials/totp"
        with httpx.Client(trust_env=False, follow_redirects=False, timeout=GLANCE) as client:
            answer = client.get(url)
            return answer.status_code in (401, 403, 422) and "detail" in _json(answer)
    except (httpx.HTTPError, ValueError, SkyvernError):
        return False


def why_refused(url: str) -> str | None:
    """Why Skyvern's guard would refuse a ``totp_url`` (its cloud's always, a self-hosted one's where it is switched on); None if not.

    By the text alone: what a name resolves to is the caller's to look up and to ask about again.
    """
    if len(url) > LONGEST_URL:
        return f"it is longer than {LONGEST_URL} characters"
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").casefold()
    if parts.scheme not in ("http", "https") or not host:
        return "it is not an http or https address"
    if host == "localhost" or host.endswith(BLOCKED_NAMES):
        return f"{host} is a name inside somebody's network"
    address = _address(host)
    return None if address is None else why_address_refused(address)


def why_address_refused(address: str) -> str | None:
    """Why its guard would refuse an IP address; None if it would not."""
    one = ipaddress.ip_address(address)
    if isinstance(one, ipaddress.IPv6Address) and one.ipv4_mapped is not None:
        one = one.ipv4_mapped
    if one.is_loopback:
        return f"{one} is this machine's own loopback address"
    if one.is_private or one.is_link_local or (one.version == 4 and one in CARRIER_GRADE):
        return f"{one} is a private address"
    if one.is_multicast or one.is_reserved or one.is_unspecified:
        return f"{one} is no address of a host"
    return None


def _address(host: str) -> str | None:
    """An IP address in any spelling that resolvers take (``127.1``, ``0x7f000001``); None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _clock_ahead(answer: httpx.Response) -> timedelta | None:
    """How far the clock behind the ``Date`` header is ahead of ours; it has whole seconds."""
    try:
        return parsedate_to_datetime(answer.headers.get("Date", "")) - datetime.now(UTC)
    except (ValueError, TypeError):
        return None


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        row = answer.json()
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise SkyvernError(f"{answer.request.url.path} did not answer as Skyvern does: check [skyvern] base_url")
    return row


def _rows(answer: httpx.Response) -> list[dict[str, Any]]:
    try:
        rows = answer.json()
    except ValueError:
        rows = None
    if not isinstance(rows, list):
        raise SkyvernError(f"{answer.request.url.path} did not answer as Skyvern does: check [skyvern] base_url")
    return [row for row in rows if isinstance(row, dict)]


def _credential(row: dict[str, Any]) -> Credential:
    found = login(row)
    return Credential(
        id=str(row.get("credential_id") or ""),
        name=str(row.get("name") or ""),
        totp_identifier=found.identifier,
        page=found.page,
    )


def _detail(answer: httpx.Response) -> str:
    try:
        detail = answer.json().get("detail")
    except (ValueError, AttributeError):
        return ""
    return detail[:200] if isinstance(detail, str) else ""
