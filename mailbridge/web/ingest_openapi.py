"""Mail over HTTP in OpenAPI 3.1: raw mails, texts, and Skyvern's own shape. The webhooks of mail services are described by those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
Problems = Callable[..., Schema]

TEXT: Schema = {"type": "string"}
MAYBE: Schema = {"type": ["string", "null"]}
STATUSES = ("400", "401", "403", "404", "408", "413", "415", "422", "429", "503")


def paths(problems: Problems) -> Schema:
    """The paths; ``problems`` describes refusals by their statuses."""
    return {
        "/ingest/mime": {"post": _mime(problems)},
        "/ingest/text": {"post": _text(problems)},
        "/v1/credentials/totp": {"post": _skyvern(problems)},
    }


def _mime(problems: Problems) -> Schema:
    parameters = [
        {
            "name": "rcpt",
            "in": "query",
            "required": True,
            "schema": {"type": "array", "items": TEXT, "minItems": 1},
            "description": "The envelope recipient, one of our addresses; may be repeated",
        },
        {"name": "from", "in": "query", "required": False, "schema": TEXT, "description": "The envelope sender"},
    ]
    responses = {"204": {"description": "The mail is on disk"}, **problems(*STATUSES)}
    content = {"message/rfc822": {"schema": {"type": "string"}, "example": "Subject: code\r\n\r\n482913\r\n"}}
    return _operation("Bring a raw mail, octet for octet", "bringMail", parameters, content, responses)


def _text(problems: Problems) -> Schema:
    names = ("identifier", "rcpt", "from", "subject", "text", "html", "raw", "received_at")
    shape = {
        "type": "object",
        "properties": dict.fromkeys(names, TEXT),
        "anyOf": [{"required": ["identifier", "text"]}, {"required": ["rcpt", "text"]}],
    }
    example = {"identifier": "+15551234567", "from": "ACME", "text": "Your code is 482913"}
    responses = {
        "200": _json(
            "It is on disk, as the mail of this number", {"type": "object", "properties": {"mail": {"type": "integer"}}}
        ),
        **problems(*STATUSES),
    }
    content = {"application/json": {"schema": shape, "example": example}}
    return _operation("Bring a text, for which the token speaks", "bringText", [], content, responses)


def _skyvern(problems: Problems) -> Schema:
    shape = {
        "type": "object",
        "required": ["totp_identifier", "content"],
        "properties": {"totp_identifier": TEXT, "content": TEXT, "source": MAYBE, "workflow_run_id": MAYBE},
    }
    row = {"type": "object", "required": ["totp_identifier", "content", "code", "otp_type", "created_at"]}
    responses = {"200": _json("The row, as Skyvern shows one", row), **problems(*STATUSES)}
    content = {"application/json": {"schema": shape}}
    return _operation("Bring a code as to Skyvern's own API", "bringCode", [], content, responses)


def _operation(summary: str, name: str, parameters: list[Schema], content: Schema, responses: Schema) -> Schema:
    return {
        "summary": summary,
        "operationId": name,
        "description": "With a token of role ingest: `mailbridge token add --role ingest`",
        "security": [{"token": []}],
        "parameters": parameters,
        "requestBody": {"required": True, "content": content},
        "responses": responses,
    }


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
