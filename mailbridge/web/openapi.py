"""The API in OpenAPI 3.1, at ``/openapi.json``: the operator's verbs from their table, the rest written by hand, and all of it held to
the server's behaviour by a test that tries it out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mailbridge import __version__
from mailbridge.operator.faults import Kind
from mailbridge.web import inboxes_openapi, ingest_openapi, verbs_openapi
from mailbridge.web.codes import SINCE

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 1000, "pattern": "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
MAYBE_MOMENT: Schema = {"type": ["string", "null"], "format": "date-time"}
WHOLE: Schema = {"type": "integer"}
YES_OR_NO: Schema = {"type": "boolean"}

PROBLEMS: Mapping[str, str] = {
    "400": "A parameter is missing, unknown, or not what it must be",
    "401": "No token, or one that is unknown or expired",
    "403": "The token is not for that identifier",
    "404": "There is no such thing, or no code can ever come for that identifier",
    "409": "It is there already, cannot be done with this one, is no good configuration, or its Idempotency-Key was used for another",
    "408": "The body did not come in in time",
    "413": "The body is too large",
    "415": "The body is of another type",
    "422": "The body is no object with what must stand in it",
    "429": "Too many requests; see Retry-After",
    "502": "Skyvern does not answer as it should",
    "503": "The store is not available, or too much is held open; see Retry-After",
}


def openapi_routes() -> Sequence[BaseRoute]:
    """``GET /openapi.json``, for everybody: it holds nothing but this. It is written when somebody asks, beside the loop: that takes
    60 ms, which no start need wait for."""

    async def show(_: Request) -> Response:
        return Response(await asyncio.to_thread(_written), media_type="application/json")

    return [Route("/openapi.json", show)]


@cache
def _written() -> bytes:
    return msgspec.json.encode(openapi())


def openapi() -> Schema:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "mailbridge", "version": __version__, "description": "Codes out of mails, for whoever waits for them."},
        "paths": {
            "/api/v1/codes": {"get": _listing()},
            "/api/v1/codes/wait": {"get": _wait()},
            "/api/v1/expect": {"post": _expect()},
            "/api/v1/waiting": {"get": _read("Who waits for a code now, and what each was given", "waiting", "Waiting", ())},
            "/api/v1/given": {"get": _read("What was given to whom, and when", "given", "Given", (_limit(50, 1000),))},
            "/api/v1/events": {"get": _events()},
            "/skyvern/totp/{identifier}": {"post": _pull()},
            **inboxes_openapi.paths(_problems),
            **ingest_openapi.paths(_problems),
            **verbs_openapi.paths(_problems),
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "`mailbridge token add` makes one."},
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-skyvern-signature",
                    "description": "HMAC-SHA256 over the raw body in hex, by one of Skyvern's API keys",
                },
            },
            "schemas": {
                **verbs_openapi.schemas(),
                **inboxes_openapi.schemas(),
                "Problem": _problem(),
                "Code": _code(),
                "NoCode": _no_code(),
                "Waiting": _waiting(),
                "Given": _given(),
            },
        },
    }


def _listing() -> Schema:
    parameters = (_identifier(is_required=False), _since("Only what was received at or after this moment"), _limit(20, 200))
    return _read("The live codes of your identifiers, newest first", "codes", "Code", parameters, ("400", "401", "403", "404"))


def _wait() -> Schema:
    seconds: Schema = {"type": "number", "minimum": 0, "maximum": 60, "default": 30}
    parameters = [
        _identifier(is_required=True),
        _query("timeout", seconds, "How long to wait, in seconds"),
        _since(
            "Only what was received at or after this moment (default: [pull] grace before the request, 120 s; of a throw-away inbox,"
            " everything)"
        ),
        _query(
            "from",
            TEXT,
            "Only of this sender: an address, a domain, or a pattern with *; also what is held of him as a stranger's",
        ),
        _query(
            "kind", {"type": "string", "enum": ["code", "link", "totp"]}, "Only a code, a magic link, or an authenticator's code"
        ),
        _query("run", TEXT, "The id (wr_…, w_…, tsk_…) that the code may be bound to by its recipient address"),
        _query("consume", {"type": "boolean", "default": False}, "Nobody else may have it afterwards"),
    ]
    answer = {"oneOf": [_ref("Code"), _ref("NoCode")]}
    since = {
        "description": "With code null: from when on mails counted. Given as since, the next request leaves no gap",
        "schema": MOMENT,
    }
    again = {
        "description": "With code null: the daemon stops, and the wait ended before its time; ask again with since",
        "schema": {"type": "integer"},
    }
    headers = {SINCE: since, "Retry-After": again}
    found = {**_json("The newest code; with code null when the time is over", answer), "headers": headers}
    responses = {"200": found}
    return _operation(
        "Wait for a code", parameters, {**responses, **_problems("400", "401", "403", "404", "429", "503")}, "waitForCode"
    )


def _expect() -> Schema:
    seconds: Schema = {"type": "number", "minimum": 0, "maximum": 600, "default": 120}
    parameters = [
        _identifier(is_required=True),
        _query("seconds", seconds, "For how long"),
        _query("from", TEXT, "Of this sender, who counts as known for you meanwhile: an address, a domain, or a pattern with *"),
    ]
    answer = _object(identifier={"type": "string"}, since=MOMENT, until=MOMENT)
    responses = {"200": _json("When this was asked (for `since` of a wait), and until when mailboxes are asked often", answer)}
    return _operation(
        "A code will be wanted soon",
        parameters,
        {**responses, **_problems("400", "401", "403", "404", "429", "503")},
        "expectCode",
    )


def _events() -> Schema:
    parameters = [
        _query("after", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}, "Begin after this event (default: now)"),
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "schema": {"type": "integer", "minimum": 0, "maximum": 10**17},
            "description": "Go on after this event",
        },
    ]
    stream = {"description": "Server-sent events, without end", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    responses = {"200": stream, **_problems("400", "401", "429", "503")}
    return _operation("What happens, as it happens; never a code", parameters, responses, "followEvents")


def _pull() -> Schema:
    ids = ("task_id", "workflow_run_id", "workflow_permanent_id")
    body = {
        "description": f"An object with any of {', '.join(ids)}; whatever else is signed is answered too, as a poll without ids",
        "example": {"task_id": "tsk_1", "workflow_run_id": "wr_1", "workflow_permanent_id": "wpid_1"},
    }
    answer = {
        "type": "object",
        "required": ["task_id", "verification_code"],
        "properties": {"task_id": MAYBE_TEXT, "verification_code": {"type": "string"}},
    }
    path = {"name": "identifier", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^\n]+$"}}
    description = "The identifier, or the unguessable name that `mailbridge skyvern url --hidden` prints"
    operation = _operation(
        "Skyvern asks for a code: its totp_url",
        [
            {**path, "description": description},
            _query(
                "kind",
                {"type": "string", "enum": ["code", "link"], "default": "code"},
                "Whether a code or a magic link is asked for",
            ),
        ],
        {
            "200": _json('The code (10 characters at the most) or link, or "" while there is none', answer),
            **_problems("400", "401", "404", "408", "413", "429", "503"),
        },
        "pullCode",
    )
    return {
        **operation,
        "security": [{"signature": []}],
        "requestBody": {"required": False, "content": {"application/json": {"schema": body}}},
    }


def _read(summary: str, name: str, schema: str, parameters: Sequence[Schema], problems: Sequence[str] = ("400", "401")) -> Schema:
    answer = {"type": "object", "required": [name], "properties": {name: {"type": "array", "items": _ref(schema)}}}
    responses = {"200": _json(summary, answer), **_problems(*problems, "429", "503")}
    return _operation(summary, parameters, responses, f"list{name.capitalize()}")


def _operation(summary: str, parameters: Sequence[Schema], responses: Schema, name: str) -> Schema:
    return {
        "summary": summary,
        "operationId": name,
        "security": [{"token": []}],
        "parameters": list(parameters),
        "responses": responses,
    }


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _identifier(*, is_required: bool) -> Schema:
    return {**_query("identifier", TEXT, "Whose code: Skyvern's totp_identifier"), "required": is_required}


def _since(description: str) -> Schema:
    return _query("since", {"oneOf": [MOMENT, {"type": "number", "minimum": 0, "maximum": 4e9}]}, description)


def _limit(default: int, most: int) -> Schema:
    return _query("limit", {"type": "integer", "minimum": 1, "maximum": most, "default": default}, "At most so many")


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problems(*statuses: str) -> Schema:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {status: {"description": PROBLEMS[status], "content": content} for status in statuses}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Schema) -> Schema:
    """An object in which each of these stands."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _problem() -> Schema:
    """RFC 9457."""
    shape = _object(type={"type": "string"}, title={"type": "string"}, status=WHOLE)
    kinds = {"kind": {"type": "string", "enum": [str(kind) for kind in Kind]}}
    problems = {"problems": {"type": "array", "items": {"type": "string"}}}
    return {**shape, "properties": {**shape["properties"], **kinds, **problems}}


def _code() -> Schema:
    shape: dict[str, Schema] = {
        "identifier": {"type": "string"},
        "code": {"type": "string"},
        "kind": {"type": "string", "enum": ["code", "link", "totp"]},
        "from": MAYBE_TEXT,
        "rule": MAYBE_TEXT,
        "received_at": MAYBE_MOMENT,
        "expires_at": MOMENT,
        "run": MAYBE_TEXT,
        "mail": {"type": ["integer", "null"]},
        "is_consumed": YES_OR_NO,
    }
    return _object(**shape)


def _no_code() -> Schema:
    return _object(identifier={"type": "string"}, code={"type": "null"})


def _waiting() -> Schema:
    way = {
        "type": "string",
        "enum": ["pull", "api"],
        "description": "A run of Skyvern that polls, or a request that is held open",
    }
    given = {"type": "array", "items": _ref("Given")}
    text = {"type": "string"}
    return _object(identifier=text, way=way, who=text, since=MOMENT, until=MOMENT, asked=WHOLE, is_known=YES_OR_NO, given=given)


def _given() -> Schema:
    text: Schema = {"type": "string"}
    what = {"type": "string", "description": "mail N, or totp NAME PERIOD"}
    return _object(
        identifier=text, way=text, who=text, what=what, first_at=MOMENT, last_at=MOMENT, times=WHOLE, is_consumed=YES_OR_NO
    )
