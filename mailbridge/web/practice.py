"""The practice receiver: Skyvern's contract on loopback, for as long as there is no Skyvern to push to.

It keeps what it gets in memory, answers as Skyvern 1.0.56 was observed to answer, and can be told to misbehave.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LIFESPAN = timedelta(minutes=10)
"""Skyvern's TOTP_LIFESPAN_MINUTES: counted from its own insertion, whatever ``expired_at`` says later."""

SHORT = 10
"""Up to so many characters are the code itself; more is text to be searched, or a link."""

RAW_LIMIT = 65_536
KEPT = 1_000
FOLDABLE = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
BARE_URL = re.compile(r"https?://[^\s\"'<>)\]}]+")
SIX_DIGITS = re.compile(r"(?<!\d)\d{6}(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One code as it was taken in. ``at`` is `time.perf_counter` when its request was complete."""

    id: str
    identifier: str
    content: str = field(repr=False)
    code: str = field(repr=False)
    kind: Literal["totp", "magic_link"] | None
    created_at: datetime
    at: float
    source: str | None = None
    expired_at: datetime | None = None
    workflow_run_id: str | None = None
    workflow_id: str | None = None
    task_id: str | None = None

    def as_json(self) -> dict[str, object]:
        """As Skyvern shows it; times are UTC without saying so."""
        row: dict[str, object] = {
            "totp_code_id": self.id,
            "totp_identifier": self.identifier,
            "content": self.content,
            "code": self.code,
            "otp_type": self.kind,
            "source": self.source,
            "workflow_run_id": self.workflow_run_id,
            "workflow_id": self.workflow_id,
            "task_id": self.task_id,
            "expired_at": _naive(self.expired_at),
            "created_at": _naive(self.created_at),
            "organization_id": "o_practice",
        }
        if self.kind is None:
            row["status"] = "raw_pending"
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How the receiver misbehaves: a status in place of an answer, seconds of delay, an answer that is lost or garbage."""

    status: int | None = None
    latency: float = 0.0
    is_lost: bool = False
    is_garbage: bool = False


class Practice:
    """What the receiver holds, and how it behaves now."""

    def __init__(self, *, wall: Callable[[], datetime] = lambda: datetime.now(UTC), api_key: str = "") -> None:
        self.api_key = api_key or secrets.token_urlsafe(24)
        self._wall = wall
        self._rows: deque[Row] = deque(maxlen=KEPT)
        self._fault = Fault()
        self._changed = asyncio.Event()

    def fault(self, *, status: int | None = None, latency: float = 0.0, is_lost: bool = False, is_garbage: bool = False) -> None:
        """Misbehave like this from now on; without arguments: behave."""
        self._fault = Fault(status=status, latency=latency, is_lost=is_lost, is_garbage=is_garbage)

    def now_faulty(self) -> Fault:
        """How it behaves now."""
        return self._fault

    def put(self, payload: dict[str, object], at: float) -> Row:
        """Take one code in, as the newest of its identifier."""
        content = str(payload["content"])
        code, kind = _read(content)
        row = Row(
            id=f"totp_{secrets.randbelow(10**12):012d}",
            identifier=fold(str(payload["totp_identifier"])),
            content=content,
            code=code,
            kind=kind,
            created_at=self._wall(),
            at=at,
            source=_text(payload, "source"),
            expired_at=_moment(payload.get("expired_at")),
            workflow_run_id=_text(payload, "workflow_run_id"),
            workflow_id=_text(payload, "workflow_id"),
            task_id=_text(payload, "task_id"),
        )
        self._rows.append(row)
        self._changed.set()
        return row

    def rows(self, identifier: str | None = None, *, limit: int = 50) -> list[Row]:
        """What was taken in, newest first; texts in which nothing was found are left out, as Skyvern does."""
        wanted = None if identifier is None else fold(identifier)
        found = [row for row in reversed(self._rows) if row.kind is not None and wanted in (None, row.identifier)]
        return found[:limit]

    def resolve(self, identifier: str, *, workflow_run_id: str | None = None) -> str | None:
        """The code that a run of Skyvern would take: the newest live one it may see."""
        now = self._wall()
        for row in self.rows(identifier, limit=KEPT):
            is_over = now - row.created_at >= LIFESPAN or (row.expired_at is not None and row.expired_at <= now)
            if not is_over and row.workflow_run_id in (None, workflow_run_id):
                return row.code
        return None

    def arrival(self, code: str) -> float | None:
        """When (`time.perf_counter`) this code first arrived; None if it has not."""
        return next((row.at for row in self._rows if row.code == code), None)

    async def wait_for(self, code: str, *, patience: float) -> float:
        """As `arrival`, waiting for it. Raises TimeoutError."""
        async with asyncio.timeout(patience):
            while True:
                self._changed.clear()
                at = self.arrival(code)
                if at is not None:
                    return at
                await self._changed.wait()


def practice_app(practice: Practice) -> Starlette:
    """The routes: Skyvern's own two, their older spelling, and one to make the receiver misbehave."""

    async def push(request: Request) -> Response:
        body = await request.body()
        at = time.perf_counter()
        refusal = _unauthorized(request, practice)
        if refusal is not None:
            return refusal
        payload = _payload(body)
        if payload is None:
            return _refused("body", "JSON decode error")
        for name in ("totp_identifier", "content"):
            if not isinstance(payload.get(name), str):
                return _refused(name, "Field required" if name not in payload else "Input should be a valid string")
        fault = practice.now_faulty()
        if fault.latency:
            await asyncio.sleep(fault.latency)
        if fault.status is not None:
            return JSONResponse({"detail": f"practice: asked to answer {fault.status}"}, status_code=fault.status)
        content = str(payload["content"])
        if len(content.strip()) > RAW_LIMIT:
            return JSONResponse({"detail": "Failed to parse otp login"}, status_code=400)
        row = practice.put(payload, at)
        if fault.is_lost:
            raise ClientDisconnect
        return Response("<html>not JSON</html>") if fault.is_garbage else JSONResponse(row.as_json())

    async def listing(request: Request) -> Response:
        refusal = _unauthorized(request, practice)
        if refusal is not None:
            return refusal
        try:
            limit = int(request.query_params.get("limit", "50"))
        except ValueError:
            limit = 0
        if not 1 <= limit <= 200:
            return _refused("limit", "Input should be between 1 and 200")
        rows = practice.rows(request.query_params.get("totp_identifier"), limit=limit)
        return JSONResponse([row.as_json() for row in rows])

    async def misbehave(request: Request) -> Response:
        payload = _payload(await request.body()) or {}
        known = {"status", "latency", "is_lost", "is_garbage"}
        if set(payload) - known:
            return _refused("body", f"knows only {', '.join(sorted(known))}")
        status = payload.get("status")
        latency = payload.get("latency", 0)
        practice.fault(
            status=status if isinstance(status, int) and 400 <= status <= 599 else None,
            latency=float(latency) if isinstance(latency, int | float) else 0.0,
            is_lost=payload.get("is_lost") is True,
            is_garbage=payload.get("is_garbage") is True,
        )
        return JSONResponse({"ok": True})

    async def credentials(request: Request) -> Response:
        return _unauthorized(request, practice) or JSONResponse([])

    paths = ("/v1/credentials/totp", "/v1/credentials/totp/", "/api/v1/totp", "/api/v1/totp/")
    routes = [Route(path, push, methods=["POST"]) for path in paths]
    routes += [Route(path, listing, methods=["GET"]) for path in paths[:2]]
    routes += [Route("/v1/credentials", credentials), Route("/practice/fault", misbehave, methods=["POST"])]
    app = Starlette(routes=routes)
    app.state.practice = practice
    return app


def fold(identifier: str) -> str:
    """Skyvern's folding: e-mail addresses are trimmed and case-folded, everything else stays as it is."""
    trimmed = identifier.strip()
    return trimmed.casefold() if FOLDABLE.fullmatch(trimmed) else identifier


def _read(content: str) -> tuple[str, Literal["totp", "magic_link"] | None]:
    """What Skyvern makes of a content; where it would ask a language model, six digits are looked for."""
    text = content.strip()
    if len(text) <= SHORT:
        return text, "totp"
    if BARE_URL.fullmatch(text):
        return text.replace("&amp;", "&").rstrip(".,;:!?"), "magic_link"
    found = SIX_DIGITS.search(text)
    return (found.group(), "totp") if found else ("", None)


def _unauthorized(request: Request, practice: Practice) -> Response | None:
    key = request.headers.get("x-api-key", "")
    if not key:
        return JSONResponse({"detail": "Invalid credentials"}, status_code=403)
    if not secrets.compare_digest(key.encode(), practice.api_key.encode()):
        return JSONResponse({"detail": "Could not validate credentials"}, status_code=403)
    return None


def _refused(name: str, message: str) -> Response:
    return JSONResponse({"detail": [{"loc": ["body", name], "msg": message, "type": "value_error"}]}, status_code=422)


def _payload(body: bytes) -> dict[str, object] | None:
    try:
        payload = json.loads(body)
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None


def _text(payload: dict[str, object], name: str) -> str | None:
    value = payload.get(name)
    return value if isinstance(value, str) and value else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _naive(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat()
