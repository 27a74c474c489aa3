"""A server that is made of `/openapi.json`: it notes each request that the document does not describe, and answers what it promises,
and nothing beside it. A client that works with it uses only what is there."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator

Schema = Mapping[str, Any]

TOKEN = "mb_contract"
TEXT = "text"
MOMENT = "2026-01-31T12:00:00.000Z"


class Contract(ThreadingHTTPServer):
    """``complaints``: what was asked against the document; ``asked``: the operations that were asked. ``is_full``: members that need
    not be there are there, and those that may be null are not null."""

    daemon_threads = True

    def __init__(self, document: dict[str, Any], *, is_full: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.document = document
        self.is_full = is_full
        self.complaints: list[str] = []
        self.asked: set[str] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Check a request, and make the answer that its operation promises."""
        parts = urlsplit(target)
        template = next((one for one in self.document["paths"] if re.fullmatch(_pattern(one), parts.path)), "")
        operation = self.document["paths"].get(template, {}).get(method.lower())
        if operation is None:
            self.complaints.append(f"{method} {parts.path}: no such operation")
            return 404, b"{}"
        name = f"{method} {template}"
        self.asked.add(name)
        self._check_query(name, operation, parse_qsl(parts.query, keep_blank_values=True))
        self._check_body(name, operation, body)
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            self.complaints.append(f"{name}: no token")
        status = next(one for one in operation["responses"] if one.startswith("2"))
        content = operation["responses"][status].get("content")
        if not content:
            return int(status), b""
        return int(status), json.dumps(self._sample(content["application/json"]["schema"])).encode()

    def _check_query(self, name: str, operation: Schema, given: list[tuple[str, str]]) -> None:
        known = {one["name"]: one for one in operation.get("parameters", ()) if one["in"] == "query"}
        needed = {key for key, one in known.items() if one["required"]}
        self.complaints += [f"{name}: {key} is missing" for key in needed - {key for key, _ in given}]
        for key, value in given:
            if key not in known:
                self.complaints.append(f"{name}: {key} is no parameter")
            elif not any(self._holds(known[key]["schema"], one) for one in _readings(value)):
                self.complaints.append(f"{name}: {key}={value}")

    def _check_body(self, name: str, operation: Schema, body: bytes) -> None:
        described = operation.get("requestBody")
        if body and described is None:
            self.complaints.append(f"{name}: a body")
        elif body and described is not None:
            schema = described["content"]["application/json"]["schema"]
            if not self._holds(schema, json.loads(body)):
                self.complaints.append(f"{name}: {body.decode()}")

    def _holds(self, schema: Schema, value: object) -> bool:
        refers = "$ref" in json.dumps(schema)
        whole = {**schema, "components": self.document["components"]} if refers else schema
        return bool(Draft202012Validator(whole).is_valid(value))

    def _sample(self, schema: Schema) -> Any:
        """Something that the schema describes, with no member more."""
        if "$ref" in schema:
            return self._sample(self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        choices = schema.get("oneOf") or schema.get("anyOf")
        if choices:
            plain = [one for one in choices if one.get("type") != "null"]
            return self._sample(plain[0]) if self.is_full or len(plain) == len(choices) else None
        if "enum" in schema:
            return schema["enum"][0]
        kinds = schema.get("type", "string")
        if isinstance(kinds, list):
            if "null" in kinds and not self.is_full:
                return None
            kinds = next(one for one in kinds if one != "null")
        return self._of_kind(str(kinds), schema)

    def _of_kind(self, kind: str, schema: Schema) -> Any:
        match kind:
            case "object":
                names = schema.get("properties", {}) if self.is_full else schema.get("required", ())
                found = {name: self._sample(schema["properties"][name]) for name in names}
                return {name: MOMENT if value == TEXT and _is_moment(name) else value for name, value in found.items()}
            case "array":
                return [self._sample(schema["items"])] if self.is_full else []
            case "integer" | "number":
                return 1
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return MOMENT if schema.get("format") == "date-time" else TEXT


class _Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Contract

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, content = self.server.answer(self.command, self.path, dict(self.headers), body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815  (their names there)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
        """Nothing."""


@contextmanager
def serving_contract(document: dict[str, Any], *, is_full: bool) -> Iterator[Contract]:
    """The server, for the length of the block."""
    with Contract(document, is_full=is_full) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def _is_moment(member: str) -> bool:
    """Verbs tell moments as texts, whose form no schema names."""
    return member.endswith("_at") or member in ("since", "until")


def _pattern(template: str) -> str:
    return re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(template))


def _readings(value: str) -> Iterator[object]:
    """What a value in a query may be: a text, or what it is in JSON."""
    yield value
    try:
        yield json.loads(value)
    except ValueError:
        return
