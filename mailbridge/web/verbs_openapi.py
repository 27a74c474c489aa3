"""The operator's verbs in OpenAPI: made from the table of verbs, so that no route is without its description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mailbridge.operator.asks import MOST_SECONDS, Ask
from mailbridge.operator.shapes import Shape
from mailbridge.operator.verbs import VERBS, Verb

Schema = dict[str, Any]

BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
TEMPLATE = "#/components/schemas/{name}"
KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "A name of your choice for this request: sent again within 24 hours it is answered the same and done once",
}
READS = ("400", "401", "403", "429", "503")
CHANGES = ("400", "401", "403", "404", "408", "409", "413", "429", "502", "503")


def paths(problems: Any) -> dict[str, Schema]:
    """Every route of the verbs; ``problems`` describes the answers that are faults, by their statuses."""
    found: dict[str, Schema] = {}
    for verb in VERBS:
        statuses = (*READS, "404") if verb.method == "GET" and "{id}" in verb.path else READS if verb.method == "GET" else CHANGES
        if verb.name == "entry.list" or verb.name == "address.own" or verb.needs_daemon:
            statuses = tuple(dict.fromkeys((*statuses, "404", "409")))
        found[verb.path] = {verb.method.lower(): _operation(verb, problems(*statuses))}
    return found


def schemas() -> dict[str, Schema]:
    """What verbs answer, and what the bodies of their requests hold."""
    return answers([verb.gives for verb in VERBS])


def answers(kinds: Sequence[type[Shape]]) -> dict[str, Schema]:
    """The schemas of answers, by name, with all that stands in them."""
    _, components = msgspec.json.schema_components(kinds, ref_template=TEMPLATE)
    return {name: _tidied(schema) for name, schema in components.items()}


def body_of(asks: type[Ask], path: str = "") -> Schema:
    """The body of a request; what stands in its path is not in it."""
    members = {name: schema for name, schema in _members(asks).items() if f"{{{name}}}" not in path}
    needed = [one.encode_name for one in msgspec.structs.fields(asks) if one.required and one.encode_name in members]
    return {"type": "object", "properties": members, "additionalProperties": False, **({"required": needed} if needed else {})}


def _operation(verb: Verb[Any, Any], problems: Mapping[str, Schema]) -> Schema:
    gives = {"$ref": TEMPLATE.format(name=verb.gives.__name__)}
    answer = {"description": verb.about, "content": {"application/json": {"schema": gives}}}
    operation: Schema = {
        "summary": verb.about,
        "description": f"Needs a token of role {verb.role}, or the unix socket. On the command line: `mailbridge {verb.name.replace('.', ' ')}`.",
        "operationId": verb.name,
        "security": [{"token": []}],
        "parameters": list(_parameters(verb)),
        "responses": {"200": answer, **problems},
    }
    if verb.method == "POST":
        schema = body_of(verb.asks, verb.path)
        operation["requestBody"] = {"required": bool(schema.get("required")), "content": {"application/json": {"schema": schema}}}
    return operation


def _parameters(verb: Verb[Any, Any]) -> Iterator[Schema]:
    needed = {one.encode_name for one in msgspec.structs.fields(verb.asks) if one.required}
    for name, schema in _members(verb.asks).items():
        is_path = f"{{{name}}}" in verb.path
        if is_path or verb.method == "GET":
            yield {"name": name, "in": "path" if is_path else "query", "required": name in needed, "schema": _plain(schema)}
    if verb.is_change:
        yield KEY


def _members(asks: type[Ask]) -> dict[str, Schema]:
    _, components = msgspec.json.schema_components([asks], ref_template=TEMPLATE)
    found: dict[str, Schema] = components[asks.__name__].get("properties", {})
    return {name: _tidied(schema) for name, schema in found.items()}


def _plain(schema: Schema) -> Schema:
    """A parameter of a query is left out, and never null."""
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if not choices:
        return schema
    if choices[0].get("format") == "date-time":
        return {"oneOf": [choices[0], {"type": "number", "minimum": 0, "maximum": MOST_SECONDS}]}
    return {**{name: value for name, value in schema.items() if name not in ("anyOf", "default")}, **choices[0]}


def _tidied(schema: Any) -> Any:
    """Base64 by a pattern too, which every tool understands."""
    if isinstance(schema, list | tuple):
        return [_tidied(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {name: _tidied(value) for name, value in schema.items()}
    if tidied.get("contentEncoding") == "base64":
        return {"type": "string", "pattern": BASE64, "description": "Base64", "minLength": 4}
    return tidied
