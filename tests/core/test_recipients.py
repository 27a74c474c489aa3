"""Which recipients are ours, and what an address says by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core.addresses import parse_mailbox
from mailbridge.core.recipients import ALPHABET, RANDOM_LENGTH, Recipient, Recipients, unguessable_address

TOKEN = unguessable_address("bridge.example", bytes(range(100, 132)))
OURS = Recipients(
    addresses=[(TOKEN, "ann@corp.example"), ("codes@bridge.example", None), ("plus+wr_x@bridge.example", "plus@corp.example")],
    domains=["catch.example"],
)


@pytest.mark.parametrize(
    ("rcpt", "expected"),
    [
        ("codes@bridge.example", Recipient(rcpt="codes@bridge.example")),
        ("CODES@Bridge.Example", Recipient(rcpt="CODES@Bridge.Example")),
        ("codes+any@bridge.example", Recipient(rcpt="codes+any@bridge.example")),
        ("codes+wr_12@bridge.example", Recipient(rcpt="codes+wr_12@bridge.example", workflow_run_id="wr_12")),
        ("codes+w_12@bridge.example", Recipient(rcpt="codes+w_12@bridge.example", workflow_id="w_12")),
        ("codes+tsk_12@bridge.example", Recipient(rcpt="codes+tsk_12@bridge.example", task_id="tsk_12")),
        ("codes+wr_@bridge.example", Recipient(rcpt="codes+wr_@bridge.example")),
        (TOKEN, Recipient(rcpt=TOKEN, identifier="ann@corp.example", is_token=True)),
        ("plus+wr_x@bridge.example", Recipient(rcpt="plus+wr_x@bridge.example", identifier="plus@corp.example")),
        ("any.body@catch.example", Recipient(rcpt="any.body@catch.example")),
        ("any+wr_9@CATCH.example", Recipient(rcpt="any+wr_9@CATCH.example", workflow_run_id="wr_9")),
        ("other@bridge.example", None),
        ("codes@sub.bridge.example", None),
        ("codes@sub.catch.example", None),
        ("codes@bridge.example.evil.example", None),
        ("plus@bridge.example", None),
        ("@bridge.example", None),
    ],
)
def test_a_recipient_is_ours_or_not(rcpt: str, expected: Recipient | None) -> None:
    """Listed addresses with any tag and in any case, whole domains without their subdomains, and nothing else."""
    assert OURS.accept(rcpt) == expected


@given(st.text(max_size=100))
def test_nothing_else_is_ours(rcpt: str) -> None:
    """Any text has an answer, and only the listed ones are taken."""
    found = OURS.accept(rcpt)
    assert found is None or rcpt.rpartition("@")[2].casefold().rstrip(".") in ("bridge.example", "catch.example")


@given(st.binary(min_size=16, max_size=64))
def test_a_token_address_is_an_address(random: bytes) -> None:
    """Of letters and digits that nobody mistakes, recognised as a token by its shape."""
    address = unguessable_address("bridge.example", random)
    assert parse_mailbox(address) == address
    token = address.partition("@")[0].removeprefix("otp-")
    assert len(token) == RANDOM_LENGTH
    assert set(token) <= set(ALPHABET)
    found = Recipients(addresses=[(address, None)]).accept(address)
    assert found is not None
    assert found.is_token


def test_a_token_address_needs_enough_dice() -> None:
    """Fifteen octets are too few to be unguessable."""
    with pytest.raises(ValueError, match="needs 16 random octets, got 15"):
        unguessable_address("bridge.example", b"x" * 15)
