"""Throw-away inboxes in OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mailbridge.operator.inboxes import CreateInbox
from mailbridge.operator.shapes import InboxPage
from mailbridge.web.verbs_openapi import TEMPLATE, answers, body_of

Schema = dict[str, Any]
Problems = Callable[..., Schema]

NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}


def paths(problems: Problems) -> Schema:
    """The paths; ``problems`` describes refusals by their statuses."""
    return {
        "/api/v1/inboxes": {"get": _list(problems), "post": _create(problems)},
        "/api/v1/inboxes/{id}": {"delete": _release(problems)},
    }


def schemas() -> Schema:
    """What is answered, by name."""
    return answers([InboxPage])


def _create(problems: Problems) -> Schema:
    example = {"from": ["acme.com"], "lifetime": "1h"}
    content = {"application/json": {"schema": body_of(CreateInbox), "example": example}}
    responses = {
        "201": _json("It takes mail from now on", "InboxShape"),
        **problems("400", "401", "403", "408", "409", "413", "429", "503"),
    }
    about = (
        "An address that nobody can guess, for one sign-up: with `from` only those domains and addresses, without it whoever passes DKIM "
        "or ARC. Its identifier is asked for as any other, at /api/v1/codes and /api/v1/codes/wait. After its lifetime (`[inboxes]`) it "
        "is erased with all that came to it."
    )
    operation = _operation("Make a throw-away inbox", "createInbox", about, responses)
    return {**operation, "requestBody": {"required": False, "content": content}}


def _list(problems: Problems) -> Schema:
    about = "Your own; viewers and operators see those of everybody."
    responses = {"200": _json("Those that live, oldest first", "InboxPage"), **problems("400", "401", "429", "503")}
    return _operation("Throw-away inboxes", "listInboxes", about, responses)


def _release(problems: Problems) -> Schema:
    responses = {"204": {"description": "It is over, and erased"}, **problems("400", "401", "403", "404", "429", "503")}
    operation = _operation("Release an inbox before its time", "releaseInbox", "One of your own; operators any.", responses)
    return {**operation, "parameters": [{"name": "id", "in": "path", "required": True, "schema": NUMBER}]}


def _operation(summary: str, name: str, about: str, responses: Schema) -> Schema:
    return {
        "summary": summary,
        "description": about,
        "operationId": name,
        "security": [{"token": []}],
        "parameters": [],
        "responses": responses,
    }


def _json(description: str, name: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": TEMPLATE.format(name=name)}}}}
