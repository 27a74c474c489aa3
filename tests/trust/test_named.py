"""For whom a signature or a seal speaks: the mailboxes that its headers name, each header by its own grammar."""

from __future__ import annotations

import pytest

from mailbridge.core.addresses import canonical
from mailbridge.trust import raw
from tests.core.forged_addresses import ANN, FORGED

HEADERS = ("to", "cc", "from", "delivered-to")
HONEST = {
    "to": (f'"Smith, Ann" <{ANN}>, Team: bob@corp.example;', {ANN, "bob@corp.example"}),
    "cc": (f"A.n.n@googlemail.com, Smith, Ann <{ANN}>", set()),
    "from": (f"Corp, Inc. <{ANN}>", {ANN}),
    "delivered-to": (f" <{ANN}>", {ANN}),
}


def named(header: str, value: str) -> frozenset[str]:
    """The mailboxes that a signature over a header would speak for."""
    content = f"X: y\r\n{header.title()}: {value}\r\n\r\ntext\r\n".encode("utf-8", "surrogateescape")
    return raw.read(content).mailboxes((header,), HEADERS)


@pytest.mark.parametrize("header", HEADERS)
def test_each_header_is_read_by_its_grammar(header: str) -> None:
    """Lists in To and Cc, one author in From, one bare address in Delivered-To; a list that is broken names nobody."""
    value, expected = HONEST[header]
    assert named(header, value) == expected
    assert named(header, ANN) == {ANN}


def test_a_delivered_to_is_one_bare_address() -> None:
    """A forwarder writes no name into it and no second address."""
    for value in (f"Ann <{ANN}>", f"{ANN}, {ANN}", f"{ANN} (x)", f"Team: {ANN};", f"<@x.example:{ANN}>"):
        assert named("delivered-to", value) == frozenset()


@pytest.mark.parametrize("header", HEADERS)
def test_a_signature_does_not_speak_for_whom_it_only_shows(header: str) -> None:
    """In no form, in no header that a signature covers, does another mailbox's mail become ann's."""
    assert [name for name, form in FORGED.items() if canonical(ANN) in named(header, form)] == []
