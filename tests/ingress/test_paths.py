"""Paths of MAIL and RCPT: what is taken off, what is none of ours, and what is no path."""

from __future__ import annotations

import pytest

from mailbridge.ingress import paths
from mailbridge.ingress.reply import Reply
from tests.cost import loops, seconds

RECIPIENTS = {
    "TO:<codes@bridge.example>": "codes@bridge.example",
    "to: <codes@bridge.example>": "codes@bridge.example",
    "TO:<@a.example:codes@bridge.example>": "codes@bridge.example",
    "TO:<@a,@b.c,@d.example:codes@bridge.example>": "codes@bridge.example",
    'TO:<"codes"@bridge.example>': "codes@bridge.example",
    'TO:<"c\\odes"@bridge.example>': "codes@bridge.example",
    "TO:<POSTMASTER>": "postmaster",
    'TO:<"postmaster">': "postmaster",
    "TO:<codes@b\u00fccher.example>": "codes@xn--bcher-kva.example",
    'TO:<"a b"@bridge.example>': 550,
    'TO:<"a@b"@bridge.example>': 550,
    'TO:<""@bridge.example>': 550,
    "TO:<c\u00f6des@bridge.example>": 550,
    "TO:<po\u017ftmaster>": 550,
    "TO:<codes\u200b@bridge.example>": 501,
    "TO:<codes\udcff@bridge.example>": 501,
    "TO:<>": 501,
    "TO:<@a.example>": 501,
    "TO:<@a.example:>": 501,
    "TO:<@a_b:codes@bridge.example>": 501,
    "TO:<@:codes@bridge.example>": 501,
    "TO:<@codes@bridge.example:x@bridge.example>": 501,
    'TO:<@a.example:"codes@bridge.example>': None,
    "TO:codes@bridge.example": None,
    "FROM:<codes@bridge.example>": None,
}


@pytest.mark.parametrize("argument", RECIPIENTS)
def test_a_recipient_is_one_mailbox_or_a_refusal(argument: str) -> None:
    """A route and needless quotes are taken off; what only quotes or other letters can write is nobody here."""
    path, expected = paths.read(argument, "TO"), RECIPIENTS[argument]
    if expected is None:
        assert path is None
        return
    assert path is not None
    found = paths.recipient(path, is_utf8=True)
    assert (found.code if isinstance(found, Reply) else found) == expected


def test_letters_beyond_ascii_need_smtputf8() -> None:
    """Without the parameter an address with such letters is refused by RFC 6531's own reply."""
    for argument, verb in (("TO:<j\u00f6rg@bridge.example>", "TO"), ("FROM:<j\u00f6rg@bridge.example>", "FROM")):
        path = paths.read(argument, verb)
        assert path is not None
        found = (paths.recipient if verb == "TO" else paths.sender)(path, is_utf8=False)
        assert isinstance(found, Reply)
        assert (found.code, found.enhanced) == (553, "5.6.7")


@pytest.mark.parametrize("text", ["@a" * 400, "@a," * 300 + ":", '"' * 900, '"\\' * 450, "@" + "a" * 900 + ":"])
def test_no_path_is_read_slowly(text: str) -> None:
    """A command line of any shape costs well under a millisecond."""

    def work() -> None:
        path = paths.read(f"TO:<{text}>", "TO")
        if path is not None:
            paths.recipient(path, is_utf8=True)
            paths.sender(path, is_utf8=True)

    assert loops(seconds(work)) < 3
