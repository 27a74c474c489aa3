"""Skyvern asks us: its ``totp_url``, a signed POST that is answered with the code of an identifier (Option 2 of its documentation).

The signature is HMAC-SHA256 over the raw body. The timestamp beside it is not signed, and on a host whose clock is not set to UTC it
is off by whole hours, so it is never looked at: a replayed poll gets what its run has been given anyway, over TLS. Observed on
Skyvern 1.0.48 to 1.0.56: it polls every 10 s, wants a 200 with a string, and takes up to 10 characters of it as they are.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.metrics import Metrics
from mailbridge.operator.fresh import fresh
from mailbridge.store import StoreUnavailable
from mailbridge.store.names import Names
from mailbridge.store.reading import Codes, Poll, Vault
from mailbridge.waiting import Waiting
from mailbridge.web.health import NO_STORE
from mailbridge.web.limits import RateLimit, body_of, limit
from mailbridge.web.polls import Ids, PullKey, PullPolicy

__all__ = ["Ids", "Kept", "PollLimits", "Pull", "PullKey", "PullPolicy"]

log = logging.getLogger("mailbridge.web.pull")

PATH = "/skyvern/totp/"
SIGNATURE = re.compile(rb"[0-9a-fA-F]{64}")
LONGEST_CODE = 10
"""Longest code that Skyvern takes verbatim, in characters; it gives a longer one to a language model."""

LONGEST_ID = 200
REPORTED = frozenset({"run_id", "run_type", "status"})
"""What every webhook of Skyvern's holds (1.0.48 to 1.0.56), and no poll."""

POLLS_AGAIN = timedelta(seconds=35)
"""A run that has polled is expected to be back within so long: Skyvern sleeps 10 s between polls and retries for some seconds."""

RATE = 20.0
BURST = 200
"""Signed polls that one client may make in the long run (a second), and at once; Skyvern makes one in ten seconds for each run."""

STRANGERS_RATE = 20.0
STRANGERS_BURST = 200
"""The same for requests without a valid signature, which are counted apart: they never use up what a signed poll needs."""


class Kept(Protocol):
    """What is needed of a store."""

    @property
    def codes(self) -> Codes: ...

    @property
    def vault(self) -> Vault: ...

    @property
    def names(self) -> Names: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PollLimits:
    """Limits in place of the usual ones: for signed polls of one client, and for requests without a signature."""

    polls: RateLimit | None = None
    strangers: RateLimit | None = None


class Pull:
    """Answers polls. ``policy`` is read for each poll. ``polled`` is called for each poll and returns the known domains of the
    run's own site."""

    def __init__(
        self,
        *,
        store: Kept,
        waiting: Waiting,
        now: Callable[[], datetime],
        metrics: Metrics,
        policy: Callable[[], PullPolicy],
        polled: Callable[[str, Ids], Sequence[str]] = lambda identifier, ids: (),  # noqa: ARG005
        limits: PollLimits | None = None,
    ) -> None:
        self._polled = polled
        self._store = store
        self._waiting = waiting
        self._now = now
        self._metrics = metrics
        limits = limits or PollLimits()
        self._polls = limits.polls or RateLimit(rate=RATE, burst=BURST, now=time.monotonic)
        self._policy = policy
        self._strangers = limits.strangers or RateLimit(rate=STRANGERS_RATE, burst=STRANGERS_BURST, now=time.monotonic)

    def routes(self) -> Sequence[BaseRoute]:
        """``POST /skyvern/totp/{identifier}``, where the identifier may also be a name that nobody can guess. With ``?kind=link`` it
        gives links in the place of codes: Skyvern keeps the query of its totp_url."""
        return [Route(PATH + "{identifier:path}", self.answer, methods=["POST"])]

    async def answer(self, request: Request) -> Response:
        """One poll: always 200 for a signed one, with ``""`` while there is no code.

        The signature comes before any count: whoever sends unsigned requests, from wherever, takes nothing from those that are signed.
        What an unsigned one costs is bounded by the size of its body, which is limited before it is hashed.

        Raises:
            HTTPException: 401 without a valid signature, whatever the identifier; 400 for a kind that is none; 413, 429.
        """
        written = request.path_params["identifier"]
        identifier = self._store.names.identifier(written) or written
        body = await self._signed_body(request, identifier)
        self._count(self._polls, request)
        ids = read_ids(body)
        kind = request.query_params.get("kind", "code")
        if kind not in ("code", "link"):
            raise HTTPException(400, "kind must be code or link")
        try:
            code = await self._code(identifier, ids, is_for_link=kind == "link")
        except StoreUnavailable:
            self._metrics.pull("unavailable")
            raise
        self._metrics.pull("code" if code else "none")
        log.info(
            log_events.CODE_POLLED,
            extra={
                "event": log_events.CODE_POLLED,
                "identifier": identifier,
                "run": ids.run,
                "outcome": "code" if code else "none",
            },
        )
        return JSONResponse({"task_id": ids.task_id, "verification_code": code.reveal() if code else ""}, headers=NO_STORE)

    async def _signed_body(self, request: Request, identifier: str) -> bytes:
        given = [value for name, value in request.scope["headers"] if name == b"x-skyvern-signature"]
        if len(given) == 1 and SIGNATURE.fullmatch(given[0]):
            body = await body_of(request)
            if self._is_signed(body, given[0].lower(), identifier) and not is_report(body):
                return body
        self._count(self._strangers, request)
        self._metrics.pull("unsigned")
        raise HTTPException(
            401, "not signed by a key that is known here for this identifier: [pull] keys must hold Skyvern's newest API key"
        )

    def _count(self, bucket: RateLimit, request: Request) -> None:
        try:
            limit(bucket, request)
        except HTTPException:
            self._metrics.pull("limited")
            raise

    def _is_signed(self, body: bytes, signature: bytes, identifier: str) -> bool:
        """Try every key, whichever matched, so that the time does not reveal which one it was."""
        is_good = False
        for key in self._policy().keys:
            expected = hmac.new(key.secret.reveal().encode(), body, hashlib.sha256).hexdigest().encode()
            is_good |= hmac.compare_digest(expected, signature) and key.serves(identifier)
        return is_good

    async def _code(self, identifier: str, ids: Ids, *, is_for_link: bool) -> Secret | None:
        until = self._now() + POLLS_AGAIN
        wait = self._waiting.expect(
            identifier, until, who=ids.run, is_for_link=is_for_link, run=ids.workflow_run_id, task=ids.task_id
        )
        sites = tuple(self._polled(identifier, ids))
        stored = await self._store.vault.bound(identifier) if not is_for_link else None
        if stored is not None:
            made = await fresh(stored, least=self._policy().totp_left.total_seconds())
            if made is None:
                return None
            await self._store.codes.note(identifier, way="pull", reader=ids.run, what=made.what, is_consumed=False)
            return _fit(made.code)
        is_new = not ids.run and wait.asked == 1
        poll = Poll(
            identifier=identifier,
            run=ids.run,
            runs=ids.all,
            grace=self._policy().grace,
            is_new=is_new,
            kind="link" if is_for_link else "code",
            sites=sites,
        )
        code = await self._store.codes.pull(poll)
        if code is None or is_for_link:
            return None if code is None else Secret(code.value.reveal().strip())
        return _fit(code.value)


def is_report(body: bytes) -> bool:
    """Whether a body is one of Skyvern's webhooks, which it signs by the same key: whoever gets those is sent no codes for them.

    They tell of a run what it has come to; a poll has ids alone.
    """
    given = _object(body)
    return given is not None and not REPORTED.isdisjoint(given)


def read_ids(body: bytes) -> Ids:
    """The ids in a poll's body. What is missing, no text, or longer than any id is None; an odd body has none."""
    given = _object(body)
    if given is None:
        return Ids()
    return Ids(
        task_id=_id(given.get("task_id")),
        workflow_run_id=_id(given.get("workflow_run_id")),
        workflow_permanent_id=_id(given.get("workflow_permanent_id")),
    )


def _object(body: bytes) -> dict[str, object] | None:
    """The JSON object of a body; None where it is none."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return given if isinstance(given, dict) else None


def _id(value: object) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
        return None
    return value if value.isprintable() else None


def _fit(code: Secret) -> Secret | None:
    """The code in the form that Skyvern takes: trimmed, and not longer than it reads."""
    text = code.reveal().strip()
    return Secret(text) if 0 < len(text) <= LONGEST_CODE else None
