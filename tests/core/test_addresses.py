"""Addresses are read strictly: the recipient is the routing key."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core.addresses import canonical, find_mailboxes, parse_mailbox, parse_return_path, split

LONG = "a" * 64


@pytest.mark.parametrize(
    "text",
    [
        "ann@corp.example",
        "a.b-c_d+tag@sub.corp.example",
        "!#$%&'*+/=?^_`{|}~-@corp.example",
        f"{LONG}@corp.example",
        "ann@[192.0.2.1]",
        "ann@[IPv6:2001:db8::1]",
        "ann@xn--bcher-kva.example",
        "ann@localhost",
    ],
)
def test_a_mailbox_is_itself(text: str) -> None:
    """Nothing in it is changed."""
    assert parse_mailbox(text) == text


def test_a_final_dot_of_the_domain_goes() -> None:
    """The only thing that is mended, since it names the same domain."""
    assert parse_mailbox("ann@corp.example.") == "ann@corp.example"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "@corp.example",
        "ann@",
        "ann@@corp.example",
        "ann@corp@example",
        ".ann@corp.example",
        "ann.@corp.example",
        "a..n@corp.example",
        '"ann"@corp.example',
        '"a b"@corp.example',
        "ann(comment)@corp.example",
        "ann@(comment)corp.example",
        "<ann@corp.example>",
        "@relay.example:ann@corp.example",
        "ann @corp.example",
        "ann@corp.example ",
        "ann@corp.example\n",
        "ann\0@corp.example",
        "ann\r\n@corp.example",
        "=?utf-8?q?ann?=@corp.example",
        "x=?utf-8?q?ann?=@corp.example",
        "änn@corp.example",
        "ann@cörp.example",
        "ann@corp_x.example",
        "ann@-corp.example",
        "ann@corp-.example",
        "ann@corp..example",
        "ann@.example",
        "ann@[corp]",
        f"{LONG}a@corp.example",
        f"ann@{'a' * 64}.example",
        f"ann@{'a.' * 130}example",
        "ann,bob@corp.example",
        "ann;@corp.example",
        "\u202eann@corp.example",
        "ann@corp.example\udc80",
    ],
)
def test_what_is_no_mailbox_is_refused(text: str) -> None:
    """Quoted, commented, routed, encoded, folded, too long, not ASCII: none of it is guessed at."""
    assert parse_mailbox(text) is None


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("a@b.example", True),
        (f"{'a' * 300}@b.example", True),
        ("a..b.@docomo.example", True),
        ("a@b_c.example", True),
        ("SRS0=x=Y=b.example=a@f.example", True),
        ("", False),
        ("a", False),
        ("@b.example", False),
        ("a@", False),
        (f"{'a' * 513}@b.example", False),
        ('"a"@b.example', False),
        ("a b@b.example", False),
        ("a\x1b@b.example", False),
        ("=?utf-8?q?a?=@b.example", False),
        ("a@b.example\n", False),
    ],
)
def test_a_return_path_may_be_longer_and_looser(text: str, is_taken: bool) -> None:
    """Nothing is routed by it; its characters are still those of an address."""
    assert parse_return_path(text) == (text if is_taken else None)


@given(st.text(max_size=300))
def test_any_text_is_a_mailbox_or_none(text: str) -> None:
    """What is taken is printable ASCII without a blank, and is taken again unchanged."""
    for parse in (parse_mailbox, parse_return_path):
        mailbox = parse(text)
        if mailbox is not None:
            assert mailbox.isascii()
            assert mailbox.isprintable()
            assert " " not in mailbox
            assert parse(mailbox) == mailbox


@pytest.mark.parametrize(
    "text", ["a." * 30_000 + "@", "a" * 60_000, "@" * 60_000, "a@" * 30_000, "a@b." * 15_000, "[" * 60_000, "." * 60_000]
)
def test_reading_is_quick_whatever_it_is(text: str) -> None:
    """No address is found slowly: the worst of stock parsers took 23 ms, and some never end."""
    began = time.perf_counter()
    parse_mailbox(text)
    parse_return_path(text)
    find_mailboxes(text)
    assert time.perf_counter() - began < 0.2


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Ann@Corp.example", "ann@corp.example", True),
        ("ann+tag@corp.example", "ann@corp.example", True),
        ("a.n.n@gmail.com", "ann@googlemail.com", True),
        ("a.nn@corp.example", "ann@corp.example", False),
        ("+tag@corp.example", "+other@corp.example", False),
        ("ann@corp.example", "bob@corp.example", False),
    ],
)
def test_one_mailbox_has_many_spellings(one: str, other: str, is_same: bool) -> None:
    """Case, tags, and Gmail's dots are the same mailbox, for comparing only."""
    assert (canonical(one) == canonical(other)) is is_same


def test_mailboxes_are_found_in_running_text() -> None:
    """In order, each once, and no part of something else for one."""
    text = "From ann@corp.example, <bob@corp.example>; ann@corp.example and x..y@z.example, c@d.example. (e@f.example)"
    assert find_mailboxes(text) == ("ann@corp.example", "bob@corp.example", "c@d.example", "e@f.example")
    assert find_mailboxes(text, limit=1) == ("ann@corp.example",)
    assert split("a@b@c") == ("a@b", "c")
