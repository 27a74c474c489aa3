"""Skyvern as a target: one POST a code, and one question about what it holds.

A push goes out by `mailbridge.net.exchange`; httpx's transport is used where the way leads through a proxy.
Facts about the contract: observed on a running Skyvern 1.0.56.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import ssl
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import getproxies

import httpcore
import httpx

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Accepted, Claim, Deferred, Doubtful, Outcome, Refused
from mailbridge.core.secret import Secret
from mailbridge.net.exchange import Exchanges, Place, Timeouts
from mailbridge.net.guard import Reach as Guarded
from mailbridge.net.outgoing import trusted
from mailbridge.sinks.asking import ALARMING, BEFORE_SENT, MAX_ANSWER, RETRIED, Answer, ask, decoded, retry_after, unreachable
from mailbridge.sinks.skyvern_pages import Login, login, run_page, run_paths

KEEPALIVE = 4.0
"""Seconds for which an idle connection is kept: less than uvicorn's 5 s, so that we close first and no push meets a closing one."""

READY_FOR = 10.0
"""Seconds for which a connection is kept ready before its first request: a mail that was announced is here by then."""

CONNECT_SHARE = 0.5
POOL_SHARE = 0.25
"""Shares of the timeout after which waiting for a connection is given up: before the whole is over, so that it is known that nothing
was sent."""

PAGE = 100
MAX_PAGES = 50
"""Credentials are asked for by the page; Skyvern's own page would be ten."""

STALE_RUN = ("invalid workflow run id", "invalid workflow id", "invalid task id")

NEVER_METADATA = Guarded(is_inside_allowed=True)
"""A Skyvern of one's own is on a private address; none is on a link-local one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How it is reached: how long it may take, by how many connections, and whether by the proxy that the environment names."""

    timeout: timedelta = timedelta(seconds=10)
    connections: int = 4
    use_env_proxy: bool = False


class SkyvernSink:
    """Pushes to ``POST {base}/v1/credentials/totp``. Implements `mailbridge.sinks.Sink`."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: Secret,
        source: str = "email",
        reach: Reach = Reach(),  # noqa: B008  (frozen)
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_response: Callable[[int], None] = lambda status: None,  # noqa: ARG005
    ) -> None:
        """Raises ValueError for a base URL that is none, or a key that no header can carry."""
        base = endpoint(base_url)
        key = api_key.reveal().strip()
        if not (key.isascii() and (key.isprintable() or not key)):
            raise ValueError("the API key holds characters that no key has; copy it again from Skyvern")
        self._totp = base.copy_with(raw_path=base.raw_path + b"/credentials/totp")
        self._credentials = base.copy_with(raw_path=base.raw_path + b"/credentials")
        self._source = source
        self._timeout = reach.timeout.total_seconds()
        self._wall = wall
        self._on_response = on_response
        host = self._totp.netloc
        self._headers = [(b"Host", host), (b"x-api-key", key.encode()), (b"Accept-Encoding", b"identity")]
        self._timeouts = Timeouts(room=self._timeout * POOL_SHARE, connect=self._timeout * CONNECT_SHARE, read=self._timeout)
        self._exchanges = Exchanges(_place(base), most=reach.connections, keepalive=KEEPALIVE, check=NEVER_METADATA)
        self._by_proxy = _by_proxy(base, reach) if reach.use_env_proxy else None

    async def prepare(self) -> None:
        """See `mailbridge.sinks.Sink.prepare`; through a proxy nothing is made ready."""
        if self._by_proxy is None:
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                await self._exchanges.prepare(life=READY_FOR)

    async def push(self, claim: Claim) -> Outcome:
        """Hand the code over once; see `mailbridge.sinks.Sink.push`."""
        body = json.dumps(self._payload(claim), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._ask("POST", self._totp, body)
        except BEFORE_SENT as fault:
            return Deferred(reason=unreachable(fault))
        except (httpx.TransportError, TimeoutError, OSError) as fault:
            return Doubtful(reason=f"no answer: {type(fault).__name__}")
        self._on_response(answer.status)
        return self.judge(claim, answer)

    async def holds(self, claim: Claim) -> bool | None:
        """Whether Skyvern's newest row for the identifier is this very code, put there since the mail came in.

        An equal code pushed before the mail came in is somebody else's; rows carry Skyvern's own clock, so a minute of
        difference between the clocks is allowed.
        """
        draft = claim.delivery.draft
        query = urlencode({"totp_identifier": draft.identifier, "limit": 1})
        url = self._totp.copy_with(query=query.encode())
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._ask("GET", url)
        except (httpx.TransportError, TimeoutError, OSError):
            return None
        self._on_response(answer.status)
        rows = _json(answer.body)
        if answer.status != 200 or not isinstance(rows, list):
            return None
        if not rows:
            return False
        row = rows[0]
        if not isinstance(row, dict) or not _is_same(row, draft.content):
            return False
        created = _naive_utc(row.get("created_at"))
        age = claim.expires_at - self._wall()
        received = self._wall() - (draft.lifetime - age)
        return created is None or created >= received - timedelta(minutes=1)

    async def identifiers(self) -> tuple[str, ...] | None:
        """See `mailbridge.sinks.Sink.identifiers`: those of `logins`."""
        found = await self.logins()
        return None if found is None else tuple(dict.fromkeys(one.identifier for one in found))

    async def logins(self) -> tuple[Login, ...] | None:
        """The ``totp_identifier`` and the login page of every credential that Skyvern knows and that has one; None when it cannot be
        asked now."""
        found: list[Login] = []
        for page in range(1, MAX_PAGES + 1):
            url = self._credentials.copy_with(query=urlencode({"page": page, "page_size": PAGE}).encode())
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await self._ask("GET", url)
            except (httpx.TransportError, TimeoutError, OSError):
                return None
            rows = _json(answer.body)
            if answer.status != 200 or not isinstance(rows, list):
                return None
            found += map(login, rows)
            if len(rows) < PAGE:
                break
        return tuple(dict.fromkeys(one for one in found if one.identifier))

    async def page_of(self, *, run: str | None, task: str | None) -> str:
        """The page that a run logs in at; "" where Skyvern says none, or cannot be asked. Two requests at the most."""
        base = self._credentials.raw_path.removesuffix(b"/credentials")
        for path in run_paths(run=run, task=task):
            url = self._credentials.copy_with(raw_path=base + path.encode())
            try:
                async with asyncio.timeout(self._timeout):
                    answer = await self._ask("GET", url)
            except (httpx.TransportError, TimeoutError, OSError):
                return ""
            page = run_page(_json(answer.body), task=task) if answer.status == 200 else ""
            if page:
                return page
        return ""

    async def aclose(self) -> None:
        """Close the connections."""
        await self._exchanges.aclose()
        if self._by_proxy is not None:
            await self._by_proxy.aclose()

    def _payload(self, claim: Claim) -> dict[str, str]:
        draft = claim.delivery.draft
        payload = {
            "totp_identifier": draft.identifier,
            "content": draft.content.reveal(),
            "source": self._source,
            "expired_at": claim.expires_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        if not claim.delivery.without_run:
            ids = {"workflow_run_id": draft.workflow_run_id, "workflow_id": draft.workflow_id, "task_id": draft.task_id}
            payload |= {name: value for name, value in ids.items() if value}
        return payload

    async def _ask(self, method: str, url: httpx.URL, body: bytes = b"") -> Answer:
        headers = self._headers
        if body:
            headers = [*headers, (b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
        if self._by_proxy is not None:
            timeouts = self._timeouts
            limit = httpx.Timeout(timeouts.read, connect=timeouts.connect, pool=timeouts.room).as_dict()
            extensions = {"timeout": limit}
            return await ask(self._by_proxy, method, url, headers=headers, body=body or None, extensions=extensions)
        reply = await self._exchanges.ask(method, url.raw_path, headers, body, timeouts=self._timeouts, most=MAX_ANSWER)
        found = httpx.Headers(list(reply.headers))
        return Answer(status=reply.status, headers=found, body=decoded(reply.body, found))

    def judge(self, claim: Claim, answer: Answer) -> Outcome:
        """The outcome of a push, by its answer. Total, for every status."""
        status = answer.status
        if status == 200:
            return _judge_success(answer.body)
        if status in ALARMING:
            return Deferred(reason=f"Skyvern refuses the API key ({status}): check [skyvern] api_key", is_alarm=True)
        if status in RETRIED:
            return Deferred(reason=f"Skyvern answered {status}", retry_after=retry_after(answer.headers, self._wall()))
        if status == 400 and not claim.delivery.without_run and _names_stale_run(answer.body):
            return Refused(reason="Skyvern does not know the run that the address names", is_stale_run=True)
        if 300 <= status < 400:
            return Refused(
                reason=f"Skyvern's address answers with a redirect ({status}): check [skyvern] base_url", is_alarm=True
            )
        if status in (404, 405):
            return Refused(reason=f"no such endpoint there ({status}): check [skyvern] base_url", is_alarm=True)
        return Refused(reason=f"Skyvern answered {status}")


def _judge_success(body: bytes) -> Outcome:
    row = _json(body)
    if not isinstance(row, dict):
        return Doubtful(reason="200, but the answer is not Skyvern's: check [skyvern] base_url", is_alarm=True)
    ref = row.get("totp_code_id")
    code = row.get("code")
    if row.get("status") == "raw_pending" or code == "":
        return Refused(reason="Skyvern took the text, but found no code in it (raw_pending)")
    if not isinstance(code, str):
        return Doubtful(reason="200, but without a code in the answer: check [skyvern] base_url", is_alarm=True)
    return Accepted(ref=ref if isinstance(ref, str) else "")


def _is_same(row: dict[str, object], content: Secret) -> bool:
    """Whether a row is ours: what was sent is in it, or the code that Skyvern makes of it.

    Skyvern strips blanks, decodes ``&amp;`` in links and cuts their last punctuation.
    """
    code = row.get("code")
    if row.get("content") == content.reveal():
        return True
    if not isinstance(code, str):
        return False
    ours = content.reveal().strip()
    return code == ours or html.unescape(code).rstrip(".,;:!?") == html.unescape(ours).rstrip(".,;:!?")


def endpoint(base_url: str) -> httpx.URL:
    """The URL of the ``/v1`` below which Skyvern's routes lie, from what people write: with or without ``/v1`` and slashes.

    Raises:
        ValueError: it is not an http or https URL, or holds a user, a query or a fragment.
    """
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL:
        raise ValueError(f"{base_url!r} is not a URL; write something like https://api.skyvern.com") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{base_url!r} must begin with https:// or http:// and name a host")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("the base URL must hold no user, query or fragment; the key goes into api_key")
    path = url.path.rstrip("/")
    for ending in ("/credentials/totp", "/v1"):
        path = path.removesuffix(ending).rstrip("/")
    return url.copy_with(path=f"{path}/v1")


def api_key_from_credentials_file(path: Path) -> Secret:
    """The key in Skyvern's own ``.skyvern/credentials.toml`` (``[general] cred``), or its older ``.streamlit/secrets.toml``.

    Raises:
        ValueError: the file has no key where Skyvern puts it, or is no TOML.
        OSError: it cannot be read.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ValueError(f"{path}: not TOML ({type(fault).__name__})") from None
    legacy = content.get("skyvern", {})
    configs = legacy.get("configs", []) if isinstance(legacy, dict) else []
    for section in (content.get("general"), *configs):
        key = section.get("cred") if isinstance(section, dict) else None
        if isinstance(key, str) and key:
            return Secret(key)
    raise ValueError(f"{path}: no `cred` in [general]; is it Skyvern's credentials.toml?")


def _place(base: httpx.URL) -> Place:
    is_tls = base.scheme == "https"
    port = base.port or (443 if is_tls else 80)
    return Place(host=base.raw_host.decode("ascii"), port=port, context=trusted("https") if is_tls else None)


def _by_proxy(base: httpx.URL, reach: Reach) -> httpx.AsyncHTTPTransport | None:
    """The transport through the proxy that the environment names for this scheme; None if it names none."""
    proxy = getproxies().get(base.scheme)
    if proxy is None:
        return None
    most = reach.connections
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=KEEPALIVE)
    verify = trusted("https") if "https" in (base.scheme, httpx.URL(proxy).scheme) else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncHTTPTransport(limits=limits, trust_env=False, proxy=proxy, verify=verify)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _names_stale_run(body: bytes) -> bool:
    row = _json(body)
    detail = row.get("detail") if isinstance(row, dict) else None
    return isinstance(detail, str) and detail.lower().startswith(STALE_RUN)


def _naive_utc(text: object) -> datetime | None:
    """Skyvern writes its times in UTC without a zone."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
