"""A mail's tree beside the engine's own: the same tree, or the engine's."""

from __future__ import annotations

import email
import random
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.core.tree import ENGINE_FAULTS, plain_tree, tree_of
from tests.conftest import ROOT
from tests.core.trees import Shape, shape
from tests.fuzz.fuzz import mutated

SEEDS = sorted((ROOT / "tests" / "fuzz" / "seeds").glob("*.eml"))
BOUNDARIES = ("multipart/mixed; boundary=b", "multipart/mixed; boundary=b--", "multipart/digest", "message/rfc822")
SPICE = (
    *(b"\n", b"\r", b"\r\n", b"--", b"--b\n", b"--b--\n", b"\n\n", b"From a\n", b": x\n", b" \n", b"\xff"),
    *(b"Content-Type: " + kind.encode() + b"\n" for kind in BOUNDARIES),
)
ODD_LINES: tuple[str, ...] = (
    "",
    "--b",
    "--b--",
    "--b ",
    "--b\t--",
    "--bb",
    "--c",
    "--c--",
    "text",
    " folded",
    "Name: value",
    "Na me: x",
    ": x",
)
ODD_LINES += ("From ann", "Content-Type: text/html", "Content-Type: message/delivery-status", "é", "-- ", "\x0b", "\x85")
ODD_LINES += tuple(
    f"Content-Type: {kind}" for kind in ("multipart/mixed; boundary=c", "multipart/digest; boundary=c", "message/rfc822")
)
LINES = st.lists(st.sampled_from(ODD_LINES), max_size=24)
HEADS = st.sampled_from(
    ["Content-Type: multipart/mixed; boundary=b", 'Content-Type: multipart/alternative;\n boundary="b"', "Subject: x", "Content-Type: multipart/digest; boundary=b"]
)  # fmt: skip


def outcome(read: Callable[[bytes], Message], octets: bytes) -> Shape | type[Exception]:
    """The shape of a mail's tree, or the fault that reading it ends with."""
    try:
        return shape(read(octets))
    except ENGINE_FAULTS as fault:
        return type(fault)


def is_same(octets: bytes) -> bool:
    """Whether both ways come to the same tree, or to the same fault."""
    return outcome(tree_of, octets) == outcome(email.message_from_bytes, octets)


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_mails_and_their_mutations_have_the_engines_tree(path: Path) -> None:
    """Every mail, with either line end, and a hundred broken copies of it."""
    whole = path.read_bytes().replace(b"\r\n", b"\n")
    dice = random.Random(path.stem)
    for octets in (whole, whole.replace(b"\n", b"\r\n")):
        assert is_same(octets)
        for _ in range(100):
            assert is_same(mutated(octets[:20_000], dice, SPICE))


@given(HEADS, LINES, st.sampled_from(["\n", "\r\n"]), st.booleans())
@settings(max_examples=600, deadline=None)
def test_lines_in_any_order_have_the_engines_tree(head: str, lines: list[str], end: str, is_ended: bool) -> None:
    """Boundaries, heads and text in any order: parts begin and end where the engine has them."""
    text = "\n".join([head, "", "--b", *lines, *(["--b--", ""] if is_ended else [])])
    assert is_same(text.replace("\n", end).encode())


NESTED = (
    b"From: a@b.example\nContent-Type: multipart/mixed; boundary=b\n\nfor old readers\n--b\nContent-Type: multipart/alternative; boundary=c\n"
    b"\n--c\nContent-Type: text/plain\n\n482913\n--c\nContent-Type: text/html\n\n<b>482913</b>\n\n--c--\n--b\nContent-Type: text/calendar\n\nx\n--b--\nend\n"
)


@pytest.mark.parametrize("octets", [NESTED, NESTED.replace(b"\n", b"\r\n"), b"Subject: x\n\n482913\n"])
def test_a_well_formed_mail_needs_no_engine(octets: bytes) -> None:
    """The quick way takes it, and comes to the engine's tree."""
    found = plain_tree(octets)
    assert found is not None
    assert shape(found) == shape(email.message_from_bytes(octets))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"--c--\n", b""),
        (b"--b--\n", b""),
        (b"--b\n", b"--b\n--b\n"),
        (b"boundary=c", b"boundary=b"),
        (b"boundary=c", b"boundary=c--"),
        (b"multipart/alternative", b"multipart/digest"),
        (b"text/calendar", b"message/rfc822"),
        (b"Content-Type: text/plain\n", b"no header\n"),
        (b"Content-Type: text/plain\n\n", b"Content-Type: text/plain\n"),
        (b"482913\n--c", b"482913\r--c"),
        (b"From: ", b" folded\nFrom: "),
    ],
)
def test_what_is_odd_is_the_engines(old: bytes, new: bytes) -> None:
    """The quick way gives up what it could read differently."""
    octets = NESTED.replace(old, new, 1)
    assert octets != NESTED
    assert plain_tree(octets) is None
    assert is_same(octets)


def test_a_mail_of_many_parts_is_the_engines() -> None:
    """Parts without end are not followed."""
    octets = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nA: b\n\nx\n" * 200 + b"--b--\n"
    assert plain_tree(octets) is None
    assert is_same(octets)
