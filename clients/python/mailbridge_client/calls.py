"""The requests of the API and how their answers are read. Pure: nothing is sent from here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from mailbridge_client.answers import Cause, Code, CodeKind, Expectation, InboxInfo, Why
from mailbridge_client.errors import BadRequest, MailbridgeError, NotAllowed, UnknownIdentifier, Unreachable

T = TypeVar("T")

ANSWER_WITHIN = 15.0
"""Seconds that an answer may take beyond those for which it was asked to wait."""

KINDS: tuple[CodeKind, ...] = ("code", "link", "totp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. ``seconds``: how long its answer may take."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    seconds: float = ANSWER_WITHIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. ``retry_after``: the header's text, "" for none."""

    status: int
    content: bytes = field(repr=False)
    retry_after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is waited for, and for how long in seconds. ``since`` None: from now on."""

    identifier: str
    kind: CodeKind
    timeout: float
    since: datetime | float | None = None
    sender: str | None = None
    run: str | None = None
    is_consumed: bool = False


def wait_call(wish: Wish, *, since: datetime | float, timeout: float) -> Call:
    """``GET /api/v1/codes/wait`` for ``timeout`` seconds (at most 60)."""
    query = {"identifier": wish.identifier, "timeout": f"{timeout:.3f}", "kind": wish.kind, "since": moment_text(since)}
    if wish.sender is not None:
        query["from"] = wish.sender
    if wish.run is not None:
        query["run"] = wish.run
    if wish.is_consumed:
        query["consume"] = "true"
    return Call(method="GET", path="/api/v1/codes/wait", query=query, seconds=timeout + ANSWER_WITHIN)


def expect_call(identifier: str, *, seconds: float, sender: str | None = None) -> Call:
    """``POST /api/v1/expect``."""
    query = {"identifier": identifier, "seconds": f"{seconds:g}"}
    if sender is not None:
        query["from"] = sender
    return Call(method="POST", path="/api/v1/expect", query=query)


def why_call(identifier: str, since: datetime | float | None = None) -> Call:
    """``GET /api/v1/why``."""
    query = {"identifier": identifier}
    if since is not None:
        query["since"] = moment_text(since)
    return Call(method="GET", path="/api/v1/why", query=query)


def create_inbox_call(senders: Sequence[str] | None, lifetime: str | float | None, *, is_pushed: bool) -> Call:
    """``POST /api/v1/inboxes``."""
    body: dict[str, object] = {}
    if senders is not None:
        body["from"] = list(senders)
    if lifetime is not None:
        body["lifetime"] = lifetime
    if is_pushed:
        body["push"] = True
    return Call(method="POST", path="/api/v1/inboxes", body=body)


def inboxes_call() -> Call:
    """``GET /api/v1/inboxes``."""
    return Call(method="GET", path="/api/v1/inboxes")


def release_inbox_call(inbox: int) -> Call:
    """``DELETE /api/v1/inboxes/{id}``."""
    return Call(method="DELETE", path=f"/api/v1/inboxes/{inbox}")


def moment_text(moment: datetime | float) -> str:
    """A moment as the API takes it. Raises ValueError for a datetime without a time zone."""
    if not isinstance(moment, datetime):
        return f"{moment:.3f}"
    if moment.tzinfo is None:
        raise ValueError("since: needs a time zone, such as datetime.now(UTC)")
    return moment.isoformat()


def read_code(answer: Answer) -> Code | None:
    """None where the time was over."""
    return _read(answer, lambda row: None if row["code"] is None else _code(row))


def read_expectation(answer: Answer) -> Expectation:
    """When it was asked, and until when it is in force."""
    return _read(
        answer,
        lambda row: Expectation(identifier=_text(row["identifier"]), since=_moment(row["since"]), until=_moment(row["until"])),
    )


def read_why(answer: Answer) -> Why:
    """The causes."""
    return _read(
        answer,
        lambda row: Why(
            identifier=_text(row["identifier"]),
            since=_moment(row["since"]),
            is_waited_for=bool(row["is_waited_for"]),
            causes=tuple(_cause(one) for one in row["causes"]),
        ),
    )


def read_inbox(answer: Answer) -> InboxInfo:
    """The inbox that was made."""
    return _read(answer, _inbox)


def read_inboxes(answer: Answer) -> tuple[InboxInfo, ...]:
    """Those that live."""
    return _read(answer, lambda row: tuple(_inbox(one) for one in row["inboxes"]))


def read_nothing(answer: Answer) -> None:
    """It was done."""
    if answer.status >= 300:
        _refuse(answer)


def _read(answer: Answer, reader: Callable[[Any], T]) -> T:
    if not 200 <= answer.status < 300:
        _refuse(answer)
    try:
        return reader(json.loads(answer.content))
    except (KeyError, TypeError, ValueError):  # the cause would show the content, and with it a code
        raise MailbridgeError("the answer is not mailbridge's: is the URL right?", status=answer.status) from None


def _refuse(answer: Answer) -> NoReturn:
    """Raise what an answer that is no success means (RFC 9457)."""
    status = answer.status
    title = title_of(answer)
    if 300 <= status < 400:
        title = f"answered {status}, a redirect, which is not followed since the token would go along: is the URL right?"
    kinds = {400: BadRequest, 409: BadRequest, 422: BadRequest, 401: NotAllowed, 403: NotAllowed, 404: UnknownIdentifier}
    raise kinds.get(status, Unreachable if status == 429 or status >= 500 else MailbridgeError)(title, status=status)


def title_of(answer: Answer) -> str:
    """What an answer that is no success says of itself."""
    try:
        problem = json.loads(answer.content)
    except ValueError:
        problem = None
    title = str(problem.get("title") or "")[:500] if isinstance(problem, dict) else ""
    return title or f"it answered {answer.status}"


def _code(row: Any) -> Code:
    kind = _kind(row["kind"])
    return Code(
        value=_text(row["code"]),
        identifier=_text(row["identifier"]),
        kind=kind,
        sender=_maybe_text(row["from"]),
        rule=_maybe_text(row["rule"]),
        received_at=None if row["received_at"] is None else _moment(row["received_at"]),
        expires_at=_moment(row["expires_at"]),
        run=_maybe_text(row["run"]),
        mail=None if row["mail"] is None else int(row["mail"]),
        is_consumed=bool(row["is_consumed"]),
    )


def _cause(row: Any) -> Cause:
    return Cause(
        kind=_text(row["kind"]),
        certainty=_text(row["certainty"]),
        text=_text(row["text"]),
        hint=_text(row["hint"]),
        mail=row["mail"],
        delivery=row["delivery"],
        facts=dict(row["facts"]),
    )


def _inbox(row: Any) -> InboxInfo:
    return InboxInfo(
        id=int(row["id"]),
        identifier=_text(row["identifier"]),
        address=_text(row["address"]),
        senders=tuple(map(_text, row["from"])),
        expires_at=_moment(row["expires_at"]),
    )


def _kind(value: object) -> CodeKind:
    for one in KINDS:
        if one == value:
            return one
    raise ValueError("no kind of code")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _maybe_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _moment(value: object) -> datetime:
    return datetime.fromisoformat(_text(value))
