"""What Skyvern says about a request that it cannot read: the 422 of each mistake, as observed on 1.0.56; none echoes a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

Problem = dict[str, object]

KINDS = ("totp", "magic_link")
OPTIONAL = ("task_id", "workflow_id", "workflow_run_id", "source")
MILLISECONDS = 20_000_000_000
"""A number of seconds above this one is a number of milliseconds."""


def problem(loc: list[str | int], msg: str, kind: str) -> Problem:
    """One entry of ``detail``."""
    return {"loc": loc, "msg": msg, "type": kind}


NO_OBJECT = problem(["body"], "Input should be a valid dictionary or object to extract fields from", "model_attributes_type")
NO_BODY = problem(["body"], "Field required", "missing")


async def body_of(request: Request) -> object | Response:
    """The JSON body of a request, or the answer to one that is none; it comes before the question who asks.

    What is not sent as JSON is given as its octets, which are no object.
    """
    body = await request.body()
    if not body:
        return _refusal(NO_BODY)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        return body
    try:
        value = json.loads(body)
    except json.JSONDecodeError as fault:
        return _refusal(problem(["body", fault.pos], "JSON decode error", "json_invalid"))
    except (ValueError, RecursionError):
        return JSONResponse({"detail": "There was an error parsing the body"}, status_code=400)
    return _refusal(NO_BODY) if value is None else value


def push_problems(payload: Mapping[str, object]) -> list[Problem]:
    """Every mistake in the fields of a push, in Skyvern's order."""
    found = [_string(payload, "totp_identifier", is_required=True)]
    found += [_string(payload, name, is_required=False) for name in OPTIONAL]
    found += [_string(payload, "content", is_required=True), _expiry(payload.get("expired_at"))]
    if payload.get("type") not in (None, *KINDS):
        found.append(problem(["body", "type"], "Input should be 'totp' or 'magic_link'", "enum"))
    return [one for one in found if one is not None]


def listing_problems(query: Mapping[str, str]) -> list[Problem]:
    """Every mistake in the query of a listing."""
    found = []
    if query.get("otp_type", "totp") not in KINDS:
        found.append(problem(["query", "otp_type"], "Input should be 'totp' or 'magic_link'", "enum"))
    try:
        limit = int(query.get("limit", "50"))
    except ValueError:
        msg = "Input should be a valid integer, unable to parse string as an integer"
        return [*found, problem(["query", "limit"], msg, "int_parsing")]
    if limit < 1:
        found.append(problem(["query", "limit"], "Input should be greater than or equal to 1", "greater_than_equal"))
    if limit > 200:
        found.append(problem(["query", "limit"], "Input should be less than or equal to 200", "less_than_equal"))
    return found


LONGEST_NUMBER = 20
"""Digits of a time in seconds or milliseconds; longer ones are out of time whatever they are."""


def moment(value: object) -> datetime | None:
    """A time as Skyvern reads it: ISO 8601, or a number of seconds or milliseconds; without a zone it is UTC. None: it is none."""
    if isinstance(value, str):
        text = value.strip()
        if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
            return _iso(text)
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value / 1000 if abs(value) > MILLISECONDS else value)
    except (OverflowError, ValueError):
        return None


def _iso(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _string(payload: Mapping[str, object], name: str, *, is_required: bool) -> Problem | None:
    value = payload.get(name)
    if is_required and name not in payload:
        return problem(["body", name], "Field required", "missing")
    if isinstance(value, str) or (value is None and not is_required):
        return None
    return problem(["body", name], "Input should be a valid string", "string_type")


def _expiry(value: object) -> Problem | None:
    if value is None or moment(value) is not None:
        return None
    if isinstance(value, str):
        return problem(["body", "expired_at"], "Input should be a valid datetime or date", "datetime_from_date_parsing")
    return problem(["body", "expired_at"], "Input should be a valid datetime", "datetime_type")


def _refusal(one: Problem) -> Response:
    return JSONResponse({"detail": [one]}, status_code=422)
