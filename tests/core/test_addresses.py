"""Addresses are read strictly: the recipient is the routing key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core.addresses import (
    canonical,
    parse_forwarding_envelope,
    parse_mailbox,
    parse_return_path,
    parse_return_path_header,
    parse_sole_mailbox,
    split,
)
from tests import cost

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
    """The only thing that is repaired, since it names the same domain."""
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
    assert cost.loops(cost.seconds(lambda: (parse_mailbox(text), parse_return_path(text)))) < 20


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Ann@Corp.example", "ann@corp.example", True),
        ("ann+tag@corp.example", "ann@corp.example", True),
        ("a.n.n@gmail.com", "ann@googlemail.com", True),
        ("a.nn@corp.example", "ann@corp.example", False),
        ("+tag@corp.example", "+other@corp.example", False),
        ("ann@corp.example", "bob@corp.example", False),
        ("ann@corp.example.", "ann@corp.example", True),
        ("a.nn+x@googlemail.com.", "ANN@Gmail.Com", True),
        ("ann@gmail.com.evil.example", "ann@gmail.com", False),
        ("ann@mail.gmail.com", "ann@gmail.com", False),
        ("a.nn@gmail.co", "ann@gmail.co", False),
        ("ann@gmail.c\u03bfm", "ann@gmail.com", False),
        ("ann@corp\u3002example", "ann@corp.example", False),
        ("\uff41nn@corp.example", "ann@corp.example", False),
        ("a\u017fk@corp.example", "ask@corp.example", False),
        ("as\u212a@corp.example", "ask@corp.example", False),
        ("stra\u00dfe@corp.example", "strasse@corp.example", False),
        ("ann@\ufb01x.example", "ann@fix.example", False),
        ("ann@xn--crp-0na.example", "ann@c\u00f6rp.example", False),
        ("...@gmail.com", "@gmail.com", False),
        ("ann", "@ann", True),
    ],
)
def test_one_mailbox_has_many_spellings(one: str, other: str, is_same: bool) -> None:
    """Case, tags, and Gmail's dots are the same mailbox, for comparing only."""
    assert (canonical(one) == canonical(other)) is is_same


def test_an_address_is_cut_at_its_last_at() -> None:
    """Local part and domain."""
    assert split("a@b@c") == ("a@b", "c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann@corp.example", "ann@corp.example"),
        ("<ann@corp.example>", "ann@corp.example"),
        (" \t<ann@corp.example> ", "ann@corp.example"),
        ("Ann <ann@corp.example>", None),
        ("ann@corp.example, bob@corp.example", None),
        ("ann@corp.example (Ann)", None),
        ("<<ann@corp.example>>", None),
        ("<ann@corp.example", None),
        ("ann@corp.example>", None),
        ("< ann@corp.example>", None),
        ("ann@corp.example\u00a0", None),
        ("ann@corp.example\x1f", None),
        ("<>", None),
        ("", None),
    ],
)
def test_a_sole_mailbox_is_all_of_its_text(text: str, expected: str | None) -> None:
    """Angles and blanks around it are all that may stand beside it."""
    assert parse_sole_mailbox(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<bounces@acme.example>", "bounces@acme.example"),
        ("bounces@acme.example", "bounces@acme.example"),
        (f"<{'a' * 300}+caf_=x=y.example@corp.example>", f"{'a' * 300}+caf_=x=y.example@corp.example"),
        ("<>", ""),
        ("", ""),
        ('"ann@corp.example"@evil.example', ""),
        ("Ann <ann@corp.example>", ""),
        ("<<ann@corp.example>>", ""),
        ("<ann@corp.example> ann@corp.example", ""),
    ],
)
def test_a_return_path_header_is_an_address_or_none(text: str, expected: str) -> None:
    """The whole value, as long as an envelope's sender may be; the null sender is none."""
    assert parse_return_path_header(text) == expected


@pytest.mark.parametrize(
    ("mail_from", "expected"),
    [
        ("ann+caf_=codes=bridge.example@gmail.com", ("ann@gmail.com", "codes=bridge.example")),
        ("ann+tag+caf_=codes=bridge.example@gmail.com", ("ann+tag@gmail.com", "codes=bridge.example")),
        ("ann+caf_=x+caf_=y=z.example@corp.example", ("ann@corp.example", "x+caf_=y=z.example")),
        ("o'ann+caf_=codes=bridge.example@corp.example", ("o'ann@corp.example", "codes=bridge.example")),
        ("ann@corp.example+caf_=codes=bridge.example@evil.example", None),
        ('"ann"+caf_=codes=bridge.example@corp.example', None),
        ("SRS0=HHH=TT=gmail.com=ann+caf_=codes=bridge.example@evil.example", None),
        ("SRS0+HHH=TT=gmail.com=ann+caf_=codes=bridge.example@evil.example", None),
        ("prvs=1234567890=ann+caf_=codes=bridge.example@evil.example", None),
        ("bounces+SRS=Ab1cD=YE=ann+caf_=codes=bridge.example@evil.example", None),
        ("ann+caf_=codes=bridge.example@corp.example_x.evil.example", None),
        ("ann+caf_=codes=bridge.example@corp.example\u00e9", None),
        (".ann+caf_=codes=bridge.example@corp.example", None),
        ("ann+caf_=@corp.example", None),
        ("+caf_=codes=bridge.example@corp.example", None),
        ("ann@corp.example", None),
        ("", None),
    ],
)
def test_only_gmails_own_envelope_names_an_account(mail_from: str, expected: tuple[str, str] | None) -> None:
    """Whatever wraps such an envelope, or looks like one, names nobody."""
    assert parse_forwarding_envelope(mail_from) == expected


@given(st.text(alphabet="ann.+@\uff41\u017f\u212aSK\u00df.com", max_size=12), st.sampled_from(["gmail.com", "corp.example"]))
def test_a_canonical_form_is_its_own(local: str, domain: str) -> None:
    """Folding twice changes nothing, and what is not ASCII stays."""
    folded = canonical(f"{local}@{domain}")
    assert canonical(folded) == folded
    assert {letter for letter in folded if ord(letter) > 127} <= {letter for letter in local if ord(letter) > 127}
