"""The practice receiver: Skyvern's contract on loopback, for as long as there is no Skyvern to push to.

It keeps what it gets in memory, answers as Skyvern 1.0.56 was observed to answer (one contract suite runs against both), and can
be told to misbehave. Where Skyvern would ask a language model, it looks for six digits.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mailbridge.core.dataclass import dataclass
from mailbridge.practice.forms import NO_OBJECT, Problem, body_of, listing_problems, moment, push_problems

Kind = Literal["totp", "magic_link"]

LIFESPAN = timedelta(minutes=10)
"""Skyvern's TOTP_LIFESPAN_MINUTES: counted from its own insertion, whatever ``expired_at`` says later."""

SHORT = 10
"""Up to so many characters are the code itself; more is text to be searched, or a link."""

RAW_LIMIT = 65_536
"""Characters of a text without a code that are kept; a longer one is a 400."""

KEPT = 1_000
FOLDABLE = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
PHONE = re.compile(r"\+?[0-9()\-.\s]+")
BARE_URL = re.compile(r"https?://[^\s\"'<>)\]}]+", re.IGNORECASE)
AMPERSAND = re.compile(r"&(?:amp|#0*38|#x0*26);", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
SIX_DIGITS = re.compile(r"(?<!\d)\d{6}(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One code as it was taken in. ``at`` is `time.perf_counter` when its request was complete."""

    id: str
    identifier: str
    content: str = field(repr=False)
    code: str = field(repr=False)
    kind: Kind | None
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
            "totp_identifier": self.identifier,
            "task_id": self.task_id,
            "workflow_id": self.workflow_id,
            "workflow_run_id": self.workflow_run_id,
            "source": self.source,
            "content": self.content,
            "expired_at": _naive(self.expired_at),
            "type": None,
            "totp_code_id": self.id,
            "code": self.code,
            "organization_id": "o_practice",
            "created_at": _naive(self.created_at),
            "modified_at": _naive(self.created_at),
            "otp_type": self.kind,
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
    """What the receiver holds, and how it behaves now.

    ``has_model`` False: as a Skyvern without a language model, which answers 502 to what is longer than a code.
    """

    def __init__(self, *, wall: Callable[[], datetime] = lambda: datetime.now(UTC), api_key: str = "") -> None:
        self.api_key = api_key or secrets.token_urlsafe(24)
        self.has_model = True
        self._wall = wall
        self._rows: deque[Row] = deque(maxlen=KEPT)
        self._runs: set[str] = set()
        self._fault = Fault()
        self._changed = asyncio.Event()

    def fault(self, *, status: int | None = None, latency: float = 0.0, is_lost: bool = False, is_garbage: bool = False) -> None:
        """Misbehave like this from now on; without arguments, behave normally."""
        self._fault = Fault(status=status, latency=latency, is_lost=is_lost, is_garbage=is_garbage)

    def now_faulty(self) -> Fault:
        """Its current behaviour."""
        return self._fault

    def make_run(self) -> str:
        """The id of a new workflow run. As in Skyvern, a code for a run that does not exist is refused."""
        run = f"wr_{secrets.randbelow(10**18):018d}"
        self._runs.add(run)
        return run

    def stranger(self, payload: dict[str, object]) -> str | None:
        """What is wrong with the ids of a payload: the first that names nothing here."""
        for name, kind, known in (
            ("task_id", "task", frozenset[str]()),
            ("workflow_id", "workflow", frozenset[str]()),
            ("workflow_run_id", "workflow run", self._runs),
        ):
            value = _text(payload, name)
            if value is not None and value not in known:
                return f"Invalid {kind} id: {value}"
        return None

    def put(self, payload: dict[str, object], at: float) -> Row:
        """Take one code in, as the newest of its identifier.

        Raises:
            LookupError: it is no code, and there is no language model to look for one.
            ValueError: it is a text without a code, and longer than what is kept.
        """
        content = CONTROL.sub("", str(payload["content"]))
        code, kind = self._read(content)
        if kind is None and len(content) > RAW_LIMIT:
            raise ValueError("no code in a long text")
        row = Row(
            id=f"totp_{secrets.randbelow(10**18):018d}",
            identifier=fold(str(payload["totp_identifier"])),
            content=content,
            code=code,
            kind=kind,
            created_at=self._wall(),
            at=at,
            source=_text(payload, "source"),
            expired_at=moment(payload.get("expired_at")),
            workflow_run_id=_text(payload, "workflow_run_id"),
            workflow_id=_text(payload, "workflow_id"),
            task_id=_text(payload, "task_id"),
        )
        self._rows.append(row)
        self._changed.set()
        return row

    def rows(
        self, identifier: str | None = None, *, kind: str | None = None, workflow_run_id: str | None = None, limit: int = 50
    ) -> list[Row]:
        """What was taken in, newest first; texts in which nothing was found are left out, as Skyvern does."""
        wanted = spellings(identifier) if identifier else None
        found = [
            row
            for row in reversed(self._rows)
            if row.kind is not None
            and (wanted is None or row.identifier in wanted)
            and kind in (None, row.kind)
            and workflow_run_id in (None, row.workflow_run_id)
        ]
        return found[:limit]

    def resolve(self, identifier: str, *, workflow_run_id: str | None = None, kind: Kind | None = None) -> str | None:
        """The code that Skyvern would use: the newest live one, to be seen by this run.

        A code of another run is not seen; without a run all are. With a ``kind``, a newer row of the other kind is read again
        for it, and when that cannot be done nothing is given: it may have made the older one invalid.
        """
        now = self._wall()
        for row in self.rows(identifier, limit=KEPT):
            is_over = now - row.created_at >= LIFESPAN or (row.expired_at is not None and row.expired_at < now)
            is_foreign = None not in (row.workflow_run_id, workflow_run_id) and row.workflow_run_id != workflow_run_id
            if is_over or is_foreign:
                continue
            if kind in (None, row.kind):
                return row.code
            if not self.has_model:
                return None
        return None

    def age(self, identifier: str, by: timedelta) -> None:
        """Make everything that is kept for an identifier older by this time."""
        wanted = spellings(identifier)
        older = [replace(row, created_at=row.created_at - by) if row.identifier in wanted else row for row in self._rows]
        self._rows = deque(older, maxlen=KEPT)

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

    def _read(self, content: str) -> tuple[str, Kind | None]:
        """What Skyvern makes of a content, or where it asks a language model, what six digits make of it."""
        text = content.strip()
        if len(text) <= SHORT:
            return text, "magic_link" if text.lower().startswith(("http://", "https://")) else "totp"
        if BARE_URL.fullmatch(text):
            return AMPERSAND.sub("&", text).rstrip(".,;:!?"), "magic_link"
        if not self.has_model:
            raise LookupError("no language model")
        found = SIX_DIGITS.search(text)
        return (found.group(), "totp") if found else ("", None)


class _Lost(Response):
    """An answer that breaks off before its body: the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"400")]})


def practice_app(practice: Practice) -> Starlette:
    """The routes: Skyvern's own, the older spelling of one, and two of ours: to make the receiver misbehave, and to make a run."""

    async def push(request: Request) -> Response:
        payload = await body_of(request)
        at = time.perf_counter()
        if isinstance(payload, Response):
            return payload
        refusal = _unauthorized(request, practice)
        if refusal is not None:
            return refusal
        problems = push_problems(payload) if isinstance(payload, dict) else [NO_OBJECT]
        if problems or not isinstance(payload, dict):
            return _refused(problems)
        return await _taken(practice, payload, at)

    async def listing(request: Request) -> Response:
        query = request.query_params
        refusal = _unauthorized(request, practice)
        if refusal is not None:
            return refusal
        problems = listing_problems(query)
        if problems:
            return _refused(problems)
        rows = practice.rows(
            query.get("totp_identifier"),
            kind=query.get("otp_type"),
            workflow_run_id=query.get("workflow_run_id"),
            limit=int(query.get("limit", "50")),
        )
        return JSONResponse([row.as_json() for row in rows])

    async def credentials(request: Request) -> Response:
        return _unauthorized(request, practice) or JSONResponse([])

    async def misbehave(request: Request) -> Response:
        return _misbehaving(practice, await request.body())

    async def run(_: Request) -> Response:
        return JSONResponse({"workflow_run_id": practice.make_run()})

    paths = ("/v1/credentials/totp", "/v1/credentials/totp/", "/api/v1/totp", "/api/v1/totp/")
    routes = [Route(path, push, methods=["POST"]) for path in paths]
    routes += [Route(path, listing, methods=["GET"]) for path in paths[:2]]
    routes += [Route("/v1/credentials", credentials)]
    routes += [Route("/practice/fault", misbehave, methods=["POST"]), Route("/practice/run", run, methods=["POST"])]
    app = Starlette(routes=routes)
    app.state.practice = practice
    return app


def fold(identifier: str) -> str:
    """How Skyvern stores an identifier: mail addresses trimmed and case-folded, everything else as it is."""
    trimmed = identifier.strip()
    return trimmed.casefold() if FOLDABLE.fullmatch(trimmed) else identifier


def spellings(identifier: str) -> frozenset[str]:
    """The stored identifiers that Skyvern takes for the one that is asked for: phone numbers are also looked for bare."""
    trimmed = identifier.strip()
    digits = re.sub(r"\D", "", trimmed)
    if FOLDABLE.fullmatch(trimmed) or not PHONE.fullmatch(trimmed) or not 7 <= len(digits) <= 15:
        return frozenset({fold(identifier)})
    is_international = trimmed.startswith("+") or (len(digits) == 11 and digits.startswith("1"))
    return frozenset({identifier, trimmed, digits, f"+{digits}" if is_international else trimmed})


async def _taken(practice: Practice, payload: dict[str, object], at: float) -> Response:
    """A sound push: refused, put off, lost or kept."""
    fault = practice.now_faulty()
    if fault.latency:
        await asyncio.sleep(fault.latency)
    if fault.status is not None:
        return JSONResponse({"detail": f"practice: asked to answer {fault.status}"}, status_code=fault.status)
    stranger = practice.stranger(payload)
    if stranger is not None:
        return JSONResponse({"detail": stranger}, status_code=400)
    try:
        row = practice.put(payload, at)
    except LookupError:
        detail = "OTP extraction is temporarily unavailable. Please retry in a few minutes."
        return JSONResponse({"detail": detail}, status_code=502)
    except ValueError:
        return JSONResponse({"detail": "Failed to parse otp login"}, status_code=400)
    if fault.is_lost:
        return _Lost()
    return Response("<html>not JSON</html>") if fault.is_garbage else JSONResponse(row.as_json())


def _misbehaving(practice: Practice, body: bytes) -> Response:
    try:
        asked = json.loads(body or b"{}")
    except ValueError:
        asked = None
    known = {"status", "latency", "is_lost", "is_garbage"}
    if not isinstance(asked, dict) or set(asked) - known:
        return _refused([{"loc": ["body"], "msg": f"knows only {', '.join(sorted(known))}", "type": "value_error"}])
    status = asked.get("status")
    latency = asked.get("latency", 0)
    practice.fault(
        status=status if isinstance(status, int) and 300 <= status <= 599 else None,
        latency=float(latency) if isinstance(latency, int | float) else 0.0,
        is_lost=asked.get("is_lost") is True,
        is_garbage=asked.get("is_garbage") is True,
    )
    return JSONResponse({"ok": True})


def _unauthorized(request: Request, practice: Practice) -> Response | None:
    key = request.headers.get("x-api-key", "")
    if not key:
        return JSONResponse({"detail": "Invalid credentials"}, status_code=403)
    if not secrets.compare_digest(key.encode(), practice.api_key.encode()):
        return JSONResponse({"detail": "Could not validate credentials"}, status_code=403)
    return None


def _refused(problems: list[Problem]) -> Response:
    return JSONResponse({"detail": problems}, status_code=422)


def _text(payload: dict[str, object], name: str) -> str | None:
    value = payload.get(name)
    return value if isinstance(value, str) and value else None


def _naive(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat()
