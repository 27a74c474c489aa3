"""Address headers: what is a mailbox in them, what only looks like one, and what reading them costs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailbridge.core.address_list import MAX_MAILBOXES, MAX_TEXT, AddressList, read_author, read_list, read_recipients
from mailbridge.core.addresses import canonical, parse_mailbox
from tests.core.forged_addresses import ANN, FORGED

LISTS: dict[str, tuple[str, ...]] = {
    "": (),
    " , ,, ": (),
    "ann@corp.example": (ANN,),
    "ann@corp.example.": (ANN,),
    "Ann <ann@corp.example>": (ANN,),
    "<ann@corp.example>": (ANN,),
    "Ann<ann@corp.example>": (ANN,),
    "< ann@corp.example >": (ANN,),
    '"Smith, Ann" <ann@corp.example>': (ANN,),
    '"Ann \\"the boss\\" <x@y.example>" <ann@corp.example>': (ANN,),
    "Dr. Ann M. Smith <ann@corp.example>": (ANN,),
    "ann@corp.example (Ann Smith)": (ANN,),
    "(Ann (of corp)) ann@corp.example": (ANN,),
    "Ann (at \\) work) <ann@corp.example> (today)": (ANN,),
    "=?utf-8?q?=C3=84nn?= =?utf-8?q?Smith?= <ann@corp.example>": (ANN,),
    "=?utf-8?q?Smith,_Ann?= <ann@corp.example>": (ANN,),
    "\u00c4nn Sm\u00eeth <ann@corp.example>": (ANN,),
    "ann@[192.0.2.1]": ("ann@[192.0.2.1]",),
    "undisclosed-recipients:;": (),
    "undisclosed-recipients: ;": (),
    "unlisted-recipients:; (no To-header on input)": (),
    "Team: ann@corp.example, Bob <bob@corp.example>;": (ANN, "bob@corp.example"),
    "Team: ann@corp.example;, x: ;, c@d.example": (ANN, "c@d.example"),
    "<@a.example,@b.example:ann@corp.example>": (ANN,),
    "Ann <@a.example , , @b.example : ann@corp.example>": (ANN,),
    "ann@corp.example,": (ANN,),
    ",ann@corp.example,,bob@corp.example": (ANN, "bob@corp.example"),
    "ann@corp.example,ann@corp.example": (ANN,),
    "o'ann+tag@corp.example": ("o'ann+tag@corp.example",),
    "a=b@corp.example, {x}@corp.example": ("a=b@corp.example", "{x}@corp.example"),
    # One that cannot be used does not hide its neighbours: where it ends is sure.
    '"a b"@corp.example, ann@corp.example': (ANN,),
    "j\u00f6rg@corp.example, ann@corp.example": (ANN,),
    "x@corp_x.example, ann@corp.example": (ANN,),
    "c@(his host)corp.example, ann@corp.example": (ANN,),
}


@pytest.mark.parametrize("text", LISTS)
def test_a_list_gives_its_mailboxes(text: str) -> None:
    """Bare, in angles, named, commented, in groups, behind routes, with empty places: each addr-spec that is a mailbox, in order."""
    assert read_list(text).addresses == LISTS[text]
    assert read_recipients(text) == read_list(text)


@pytest.mark.parametrize("name", FORGED)
def test_what_only_shows_a_mailbox_does_not_name_it(name: str) -> None:
    """Names, comments, quoted strings, groups, routes, encoded words and half addresses are no mailbox, and nothing broken is guessed at."""
    for read in (read_list, read_recipients, read_author):
        found = read(FORGED[name].replace("\r\n", ""))
        assert canonical(ANN) not in {canonical(one) for one in found.addresses}, read
        assert {"m@evil.example", "n@evil.example"} >= {one for one in found.addresses if "evil" in one and "ann" not in one}


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("ann@corp.example <m@evil.example", "malformed"),
        ("ann", "malformed"),
        ("<>", "malformed"),
        ("ann@corp.example;", "malformed"),
        ("x: y: a@b.example;;", "malformed"),
        ("x: y: a@b.example;", "malformed"),
        ("x: a@b.example; c@d.example", "malformed"),
        ("x: a@b.example", "malformed"),
        ("x\\y <a@b.example>", "malformed"),
        ("=?utf-8?q?x,<a@b.example>,z?= <c@d.example>", "malformed"),
        ("=?utf-8?q?x?=@b.example", "malformed"),
        ("x a@b.example, c@d.example", "malformed"),
        ("x.a.@b.example, c@d.example", "malformed"),
        ('"x"a@b.example, c@d.example', "malformed"),
        ('"x', "unclosed"),
        ("(x", "unclosed"),
        ("(" * 1_000 + ")" * 999, "unclosed"),
        ("a@b.example\0", "control"),
        ("a@b.example\n", "control"),
        ("a" * (MAX_TEXT + 1), "too-long"),
        (",".join(["a@b.example"] * (MAX_MAILBOXES + 1)), "too-many"),
        ('"a"@b.example', "quoted-local"),
        ("a@b\u00e9.example", "not-ascii"),
        ("a @b.example", "spaced"),
        ("a@b_c.example", "refused"),
        ("a" * 65 + "@b.example", "refused"),
    ],
)
def test_what_is_odd_has_a_name(text: str, defect: str) -> None:
    """One defect for each kind; such a header or such an address names nobody."""
    assert read_list(text) == AddressList(count=read_list(text).count, defects=(defect,))


AUTHORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "no-reply@acme.example": ("no-reply@acme.example", ()),
    "Acme <no-reply@acme.example>": ("no-reply@acme.example", ()),
    '"support@acme.example" <no-reply@acme.example>': ("no-reply@acme.example", ()),
    "no-reply@acme.example (Acme)": ("no-reply@acme.example", ()),
    "Acme <no-reply@acme.example>,": ("no-reply@acme.example", ()),
    "<no-reply@acme.example >": ("no-reply@acme.example", ()),
    "no-reply@acme.example <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "No-Reply@Acme.example <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "'no-reply@acme.example' <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "[no-reply@acme.example] <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "Acme, Inc. <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "Acme: Support <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "Acme [x] <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "Acme :) <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "Jo @ Acme.example <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "@acme on X <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    '"support@acme.example", Inc. <no-reply@acme.example>': ("no-reply@acme.example", ("name-unquoted",)),
    '"support"@acme.example, Inc. <no-reply@acme.example>': ("", ("quoted-local", "several")),
    '"support"@acme.example, Inc, x <no-reply@acme.example>': ("", ("name-is-another", "several")),
    "=?utf-8?q?support@acme.example?=, Inc. <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "=?utf-8?q?Acme Inc?= <no-reply@acme.example>": ("no-reply@acme.example", ("name-unquoted",)),
    "Acme, Inc. <no-reply@acme.example> ,": ("no-reply@acme.example", ("name-unquoted",)),
    "Acme, Inc. (x <y@z.example>) <no-reply@acme.example> (z)": ("no-reply@acme.example", ("name-unquoted",)),
    "support@acme.example <no-reply@acme.example>": ("", ("name-is-another", "several")),
    "support@acme.example via Acme <no-reply@acme.example>": ("", ("name-is-another", "several")),
    "support@acme.example, <no-reply@acme.example>": ("", ("several",)),
    "a@b.example, no-reply@acme.example": ("", ("several",)),
    "no-reply@acme.example, no-reply@acme.example": ("", ("several",)),
    "j\u00f6rg@b.example, no-reply@acme.example": ("", ("several",)),
    "J\u00f6rg <j\u00f6rg@acme.example>": ("j\u00f6rg@acme.example", ()),
    "Acme, J\u00f6rg <j\u00f6rg@acme.example>": ("j\u00f6rg@acme.example", ("name-unquoted",)),
    "no-reply@b\u00fccher.example": ("no-reply@xn--bcher-kva.example", ()),
    "no-reply@\uff41cme.example": ("", ("not-ascii",)),
    "no-reply@acme\u3002example": ("", ("not-ascii",)),
    "\u017fupport@acme.example": ("", ("not-ascii",)),
    "no-\uff52eply@acme.example": ("", ("not-ascii",)),
    "no\u200b-reply@acme.example": ("", ("not-ascii",)),
    "Acme <no-reply@acme.example >": ("no-reply@acme.example", ()),
    "no-reply@acme.example,": ("no-reply@acme.example", ()),
    '"x"@b.example, no-reply@acme.example': ("", ("quoted-local", "several")),
    "Acme: no-reply@acme.example;": ("", ("grouped-or-routed",)),
    "<@b.example:no-reply@acme.example>": ("", ("grouped-or-routed",)),
    "Acme, Inc. <@b.example:no-reply@acme.example>": ("", ("malformed",)),
    "Acme, Inc. <no-reply @acme.example>": ("", ("malformed", "spaced")),
    "Acme, Inc. <no-reply@acme.example> x": ("", ("malformed",)),
    "Acme <a@b.example> <no-reply@acme.example>": ("", ("malformed",)),
    'Acme "Inc <no-reply@acme.example>': ("", ("unclosed",)),
    "Acme (Inc <no-reply@acme.example>": ("", ("unclosed",)),
    "Acme \\, Inc <no-reply@acme.example>": ("", ("malformed",)),
    "undisclosed:;": ("", ("none",)),
    "": ("", ("none",)),
    "Acme": ("", ("malformed",)),
}


@pytest.mark.parametrize("text", AUTHORS)
def test_an_author_is_one_mailbox_or_nobody(text: str) -> None:
    """A name that should have been quoted is a name, if it names nobody else; two different addresses stay two."""
    address, defects = AUTHORS[text]
    found = read_author(text)
    assert ("".join(found.addresses), found.defects) == (address, defects)


def test_a_name_is_kept_as_it_was_written() -> None:
    """Without quotes and escapes, undecoded, comments left out."""
    names = {
        '"Acme, \\"Inc\\"" <a@b.example>': 'Acme, "Inc"',
        "Acme (x) Inc. <a@b.example>": "Acme   Inc.",
        "Acme, Inc. <a@b.example>": "Acme, Inc.",
        "=?utf-8?q?Acme?= <a@b.example>": "=?utf-8?q?Acme?=",
        "Acme Inc <a@b.example>": "Acme Inc",
    }
    assert {text: read_author(text).entries[0].name for text in names} == names


ADDRESSES = st.from_regex(
    r"[a-z0-9!#$%&'*+/=^_`{|}~-]{1,8}(\.[a-z0-9]{1,5})?@[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,2}", fullmatch=True
)
PIECES = st.sampled_from(
    [*'<>@,;:."()[]\\ \t', "ann", "corp.example", ANN, "<a@b.example>", '"x"', "(y)", "=?utf-8?q?", "?=", "\u00e9", "\0", "x: "]
)
ANY = st.one_of(st.text(max_size=120), st.lists(PIECES, max_size=14).map("".join))


@given(ANY)
@example('a@b.example, "')
@example("0@µ.example")
def test_any_text_gives_mailboxes_that_stand_in_it(text: str) -> None:
    """Total: what is found are mailboxes as SMTP takes them, each stands in the text as it is, and each is read again as itself."""
    for read in (read_list, read_recipients, read_author):
        found = read(text)
        for entry in found.entries:
            assert parse_mailbox(entry.address) == entry.address
            assert entry.address in text or not text.isascii()  # a domain of other letters is read in its ASCII form
            for again in (
                entry.address,
                f"<{entry.address}>",
                f'"x" <{entry.address}>',
                f"{entry.address} (x)",
                f" {entry.address},",
            ):
                assert read(again).addresses == (entry.address,)
        assert found.count >= len(found.entries)
        assert bool(found.entries) or bool(found.defects) or found.count == 0


@given(
    st.lists(ADDRESSES, max_size=5), st.lists(ADDRESSES, min_size=1, max_size=4), st.sampled_from(['"{}"', "({})", '"x" ({})'])
)
def test_what_stands_in_quotes_or_comments_never_becomes_a_mailbox(real: list[str], shown: list[str], around: str) -> None:
    """However many addresses stand in names and comments: the list is what it would be without them."""
    hidden = around.format(" , ".join(f"<{one}>" for one in shown))
    assert read_list(", ".join(f"{hidden} <{one}>" for one in real)).addresses == tuple(dict.fromkeys(real))
    assert read_list(", ".join(f"{one} ({', '.join(shown)})" for one in real)).addresses == tuple(dict.fromkeys(real))


@given(st.text(alphabet='an@corp.exml"()<>,;: \\\u00e9=?', max_size=40), ADDRESSES)
def test_a_quoted_name_of_any_text_is_only_a_name(name: str, address: str) -> None:
    """A sender that quotes as it should cannot be made to name anybody else."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    found = read_author(f'"{quoted}" <{address}>')
    assert (found.addresses, found.entries[0].name) == ((address,), name.strip())


def steps(read: Callable[[str], AddressList], text: str) -> int:
    """Lines of Python that reading takes."""
    count = 0

    def trace(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        read(text)
    finally:
        sys.settrace(before)
    return count


GROWING = {
    "addresses": "a@b.example,",
    "empty places": ",",
    "words": "a ",
    "dots": "a.",
    "at signs": "@",
    "half addresses": "a@ ",
    "quotes": '""',
    "open quotes": '"\\"',
    "comments": "()",
    "open comments": "(",
    "closing comments": ")",
    "angles": "<",
    "angles in pairs": "<>",
    "routes": "<@a,",
    "groups": "a:;",
    "encoded words": "=?a?q?b?= ",
    "open encoded words": "=?a?q?",
    "literals": "[",
    "names with addresses": "a@b.c ",
    "backslashes": "\\",
}


@pytest.mark.parametrize("name", GROWING)
def test_reading_takes_steps_in_proportion_to_the_text(name: str) -> None:
    """Twice the text takes at most twice the steps and a few: counted, not timed."""
    for end in ("", " <a@b.example>"):
        piece = GROWING[name]
        few, many = (piece * (size // len(piece)) + end for size in (MAX_TEXT // 4, MAX_TEXT // 2))
        for read in (read_list, read_recipients, read_author):
            assert steps(read, many) <= 2 * steps(read, few) + 100, (read, end)


def test_a_header_that_is_too_long_costs_nothing() -> None:
    """It is refused by its length, however long it is."""
    assert steps(read_recipients, "a@b.example," * 100_000) < 100
