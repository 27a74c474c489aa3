"""A client uses only what `/openapi.json` describes: routes, parameters, bodies and the members of answers."""

from __future__ import annotations

from collections.abc import Callable
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
    client.inboxes()


@pytest.mark.parametrize("is_full", [False, True], ids=["nulls", "full"])
@pytest.mark.parametrize(("uses", "operations"), [(use, CODES), (use_inboxes, INBOXES)])
def test_a_client_uses_what_is_described(uses: Callable[[Any], None], operations: set[str], is_full: bool, opens: Opens) -> None:
    """Each request is one that the document describes, and each answer of its form is understood, whatever is null."""
    with serving_contract(openapi(), is_full=is_full) as server:
        uses(opens(server.url, TOKEN))
        assert server.complaints == []
        assert server.asked == operations


@pytest.mark.parametrize("member", ["code", "received_at", "expires_at", "from", "mail"])
def test_a_member_that_is_gone_is_noticed(member: str, opens: Opens) -> None:
    """What the test above would say if the daemon no longer described it."""
    document = openapi()
    code = document["components"]["schemas"]["Code"]
    code["required"] = [one for one in code["required"] if one != member]
    with serving_contract(document, is_full=False) as server:
        client = opens(server.url, TOKEN)
        with pytest.raises(MailbridgeError, match="the answer is not mailbridge's"):
            client.wait_for_code("ann@corp.com", 1)


def test_a_parameter_that_is_gone_is_noticed(opens: Opens) -> None:
    """The same for what is asked."""
    document = openapi()
    wait = document["paths"]["/api/v1/codes/wait"]["get"]
    wait["parameters"] = [one for one in wait["parameters"] if one["name"] != "kind"]
    with serving_contract(document, is_full=True) as server:
        opens(server.url, TOKEN).wait_for_code("ann@corp.com", 1)
        assert server.complaints == ["GET /api/v1/codes/wait: kind is no parameter"]
