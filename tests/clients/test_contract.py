"""A client uses only what `/openapi.json` describes: routes, parameters, bodies and the members of answers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from mailbridge.web.openapi import openapi
from mailbridge_client import MailbridgeError
from tests.clients.conftest import Opens
from tests.clients.contract import TOKEN, serving_contract

CODES = {"GET /api/v1/codes/wait", "POST /api/v1/expect", "GET /api/v1/why"}
INBOXES = {"GET /api/v1/codes/wait", "GET /api/v1/inboxes", "POST /api/v1/inboxes", "DELETE /api/v1/inboxes/{id}"}
ALL: dict[str, Any] = {
    "since": datetime(2026, 1, 31, tzinfo=UTC),
    "sender": "github.com",
    "run": "wr_1",
    "consume": True,
}


def use(client: Any) -> None:
    """Every function of a client, with few arguments and with all."""
    client.wait_for_code("ann@corp.com", 1)
    client.wait_for_link("ann@corp.com", 1, **ALL)
    client.latest_code("ann@corp.com", sender="github.com")
    client.expect_code("ann@corp.com", 5, sender="github.com")
    client.why("ann@corp.com")
    client.why("ann@corp.com", 1_700_000_000.5)


def use_inboxes(client: Any) -> None:
    """The same for inboxes."""
    inbox = client.create_inbox()
    inbox.wait_for_code(1)
    inbox.release()
    client.create_inbox(["acme.com"], "1h", push=True).wait_for_link(1)
    client.create_inbox(lifetime=90)
    client.inboxes()


@pytest.mark.parametrize("is_full", [False, True], ids=["nulls", "full"])
@pytest.mark.parametrize(("uses", "operations"), [(use, CODES), (use_inboxes, INBOXES)])
def test_a_client_uses_what_is_described(uses: Callable[[Any], None], operations: set[str], is_full: bool, opens: Opens) -> None:
    """Each request is one that the document describes, and each answer of its form is understood, whatever is null."""
    with serving_contract(openapi(), is_full=is_full) as server:
        uses(opens(server.url, TOKEN))
        assert server.complaints == []
        assert server.asked == operations


def answered(document: dict[str, Any], operations: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that these operations answer, by a name."""
    seen: list[dict[str, Any]] = []

    def within(schema: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            schema = document["components"]["schemas"][name]
        if any(schema is one for one in seen):
            return
        seen.append(schema)
        if "properties" in schema:
            yield name, schema
        for one in (
            *schema.get("properties", {}).values(),
            *schema.get("oneOf", ()),
            *schema.get("anyOf", ()),
            schema.get("items"),
        ):
            if isinstance(one, dict):
                yield from within(one, name)

    for operation in sorted(operations):
        method, path = operation.split(" ")
        for status, answer in document["paths"][path][method.lower()]["responses"].items():
            if status.startswith("2") and "content" in answer:
                yield from within(answer["content"]["application/json"]["schema"], operation)


UNREAD = {("NoCode", "code"), ("NoCode", "identifier"), ("InboxShape", "created_at"), ("InboxShape", "push")}
"""What no client needs: the sample answers of the test have a code, and nobody asks when an inbox was made."""


@pytest.mark.parametrize(("uses", "operations"), [(use, CODES), (use_inboxes, INBOXES)])
def test_a_member_that_is_gone_is_noticed(uses: Callable[[Any], None], operations: set[str], opens: Opens) -> None:
    """Whichever of those that clients read the daemon no longer describes, the test above fails."""
    unnoticed = set()
    whole = openapi()
    members = [(name, member) for name, schema in answered(whole, operations) for member in schema["properties"]]
    assert len(members) > 15
    with serving_contract(whole, is_full=True) as server:
        client = opens(server.url, TOKEN, patience=0)
        for name, member in members:
            server.document = copy.deepcopy(whole)
            (schema,) = [one for found, one in answered(server.document, operations) if found == name]
            del schema["properties"][member]
            try:
                uses(client)
            except MailbridgeError as fault:
                assert "the answer is not mailbridge's" in str(fault), (name, member)
            else:
                unnoticed.add((name, member))
    assert unnoticed == {one for one in UNREAD if one in members}


@pytest.mark.parametrize(("uses", "operations"), [(use, CODES), (use_inboxes, INBOXES)])
def test_a_route_that_is_gone_is_noticed(uses: Callable[[Any], None], operations: set[str], opens: Opens) -> None:
    """The same for routes and their methods."""
    whole = openapi()
    with serving_contract(whole, is_full=True) as server:
        client = opens(server.url, TOKEN, patience=0)
        for operation in operations:
            server.document, server.complaints = copy.deepcopy(whole), []
            method, path = operation.split(" ")
            del server.document["paths"][path][method.lower()]
            with pytest.raises(MailbridgeError):
                uses(client)
            assert server.complaints == [f"{method} {path.replace('{id}', '1')}: no such operation"]


def test_a_parameter_that_is_gone_is_noticed(opens: Opens) -> None:
    """The same for what is asked."""
    document = openapi()
    wait = document["paths"]["/api/v1/codes/wait"]["get"]
    wait["parameters"] = [one for one in wait["parameters"] if one["name"] != "kind"]
    with serving_contract(document, is_full=True) as server:
        opens(server.url, TOKEN).wait_for_code("ann@corp.com", 1)
        assert server.complaints == ["GET /api/v1/codes/wait: kind is no parameter"]
