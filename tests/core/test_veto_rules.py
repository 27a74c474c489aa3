"""What each veto lets pass and what it strikes, one circumstance at a time: neighbouring rows differ in one thing that holds.

`test_vetoes` has the mails; here what was found in a mail is given, so that a row shows a rule and not how its words were read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mailbridge.core.candidates import shapes
from mailbridge.core.context import Context
from mailbridge.core.evidence import Evidence
from mailbridge.core.features import MEANT, NAMING, PLACED, Feature
from mailbridge.core.vetoes import VETOES

F = Feature
PLAIN = Context(
    speaks_of_code=False,
    body_speaks_of_code=False,
    states_lifetime=False,
    speaks_of_signing_in=False,
    is_long=False,
    is_short=True,
    names_a_price=False,
    speaks_of_else=False,
    subject_kind=None,
    is_meeting=False,
    lone="",
    is_bare=False,
    is_of_site=False,
    names=frozenset(),
    subject="",
    is_listed=False,
    has_files=False,
    has_links=False,
    link_texts=frozenset(),
)
"""What holds for a short mail that says nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate, what was found to be true of it, and whether the veto strikes it. ``of_mail``: what holds for the whole mail."""

    value: str
    features: Iterable[Feature]
    is_struck: bool
    sources: frozenset[str] = frozenset({"html"})
    of_mail: tuple[tuple[str, Any], ...] = ()

    @property
    def evidence(self) -> Evidence:
        """As extraction would have it."""
        shape = shapes(self.value, is_slot=True)[0]
        assert shape.shown == self.value
        return Evidence(shape=shape, features=set(self.features), sources=set(self.sources), is_weighed=True)

    @property
    def context(self) -> Context:
        """The mail around it."""
        return replace(PLAIN, **dict(self.of_mail))


def struck(value: str, *features: Feature, sources: Iterable[str] = ("html",), **of_mail: Any) -> Row:
    """A row that the veto strikes."""
    return Row(value, features, True, frozenset(sources), tuple(of_mail.items()))


def free(value: str, *features: Feature, sources: Iterable[str] = ("html",), **of_mail: Any) -> Row:
    """A row that it lets pass."""
    return Row(value, features, False, frozenset(sources), tuple(of_mail.items()))


BESIDE = (F.LABEL_BEFORE, F.BESIDE_LABEL)
RULES: dict[str, list[Row]] = {
    # A year is a code under its label on a line of its own, or right beside its label in a mail that is about codes.
    "year": [
        free("1999", F.LABEL_ABOVE, F.OWN_LINE),
        struck("1999", F.OWN_LINE),
        struck("1999", F.LABEL_BEFORE, F.LIFETIME, F.SIGN_IN),
        free("1999", *BESIDE, F.LIFETIME),
        free("1999", *BESIDE, F.LIFETIME, F.MID_SENTENCE),
        struck("1999", *BESIDE),
        struck("1999", *BESIDE, F.SIGN_IN),
        struck("1999", *BESIDE, F.LONE),
        free("1999", *BESIDE, F.LONE, F.SIGN_IN),
        struck("1999", *BESIDE, F.LONE, F.SIGN_IN, F.MID_SENTENCE),
        struck("20260512", F.LABEL_BEFORE),
        free("482913", F.LABEL_BEFORE),
    ],
    "called-else": [
        struck("482913", F.LABEL_BEFORE, F.CALLED_ELSE),
        struck("482913", F.LABEL_ABOVE, F.ELSE_ABOVE),
        free("482913", F.LABEL_BEFORE, F.ELSE_IN_LINE),
    ],
    # Hidden text has a code where it is called one, and the subject announces one.
    "out-of-sight": [
        struck("482913", F.LABEL_BEFORE, sources=["hidden"]),
        struck("482913", F.SUBJECT_OF_CODE, sources=["hidden"]),
        free("482913", F.LABEL_BEFORE, F.SUBJECT_OF_CODE, sources=["hidden"]),
        free("482913", F.LABEL_BEFORE, sources=["hidden", "html"]),
    ],
    # The subject's number is a code of a short mail without links, or of one whose body speaks of a code.
    "subject-alone": [
        free("482913", sources=["subject"]),
        struck("482913", sources=["subject"], has_links=True),
        struck("482913", sources=["subject"], is_short=False),
        free("482913", sources=["subject"], has_links=True, body_speaks_of_code=True),
        free("482913", sources=["subject", "html"], has_links=True),
        free("482913", sources=["html"], is_short=False),
    ],
    "meeting": [struck("482913", *BESIDE, is_meeting=True), free("482913", *BESIDE)],
    "word": [struck("EXPIRED", *BESIDE, F.OWN_LINE), free("EXPIRED", F.IN_LINK), free("XKCDQW", *BESIDE)],
    # A word and a number is a code that is called one, and stands alone or in a link of the mail.
    "word-and-number": [
        struck("SUMMER24", *BESIDE),
        struck("SUMMER24", F.OWN_LINE),
        struck("SUMMER24", F.IN_LINK),
        free("SUMMER24", F.LABEL_ABOVE, F.OWN_LINE),
        free("SUMMER24", *BESIDE, F.IN_LINK),
        free("7HK2QX", *BESIDE),
    ],
    # Under a subject about an order, digits need a mail that says what they are for; letters a link that carries them.
    "of-something-else": [
        struck("482913", F.SUBJECT_OF_ELSE),
        free("482913", F.SUBJECT_OF_ELSE, F.LIFETIME),
        struck("482913", F.SUBJECT_OF_ELSE, F.SIGN_IN),
        free("482913", F.SUBJECT_OF_ELSE, F.SIGN_IN, F.OWN_LINE),
        free("482913", F.SUBJECT_OF_ELSE, F.SIGN_IN, lone="482913"),
        struck("482913", F.SUBJECT_OF_ELSE, F.SIGN_IN, lone="771204"),
        struck("482913", F.SUBJECT_OF_ELSE, F.OWN_LINE),
        struck("7HK2QX", F.SUBJECT_OF_ELSE, F.LIFETIME),
        struck("XKCDQW", F.SUBJECT_OF_ELSE, F.LIFETIME),
        free("7HK2QX", F.SUBJECT_OF_ELSE, F.LIFETIME, F.IN_LINK),
        struck("7HK2QX", F.SUBJECT_OF_ELSE, F.IN_LINK),
        free("7HK2QX", F.LABEL_BEFORE),
    ],
    # In long texts and offers letters are vouchers, unless something in their own line sets them apart.
    "offered": [
        struck("7HK2QX", F.ELSE_MENTIONED, F.LABEL_ABOVE),
        struck("7HK2QX", F.LONG_TEXT, F.LABEL_ABOVE),
        free("7HK2QX", F.LABEL_ABOVE),
        free("7HK2QX", F.ELSE_MENTIONED, F.LABEL_BEFORE),
        free("7HK2QX", F.ELSE_MENTIONED, F.LABEL_AFTER),
        free("7HK2QX", F.ELSE_MENTIONED, F.EMPHASISED),
        free("482913", F.ELSE_MENTIONED, F.LABEL_ABOVE),
    ],
    # Words with hyphens are a code that is called one, and stands alone, or beside its label in the subject and the body.
    "phrase": [
        struck("tibgr-wozkp", F.OWN_LINE),
        free("tibgr-wozkp", F.LABEL_ABOVE, F.OWN_LINE),
        free("tibgr-wozkp", *BESIDE, F.IN_BOTH),
        struck("tibgr-wozkp", *BESIDE),
        struck("tibgr-wozkp", F.LABEL_BEFORE, F.IN_BOTH),
        struck("tibgr-wozkp", F.BESIDE_LABEL, F.IN_BOTH),
        free("7HK2QX", F.LABEL_BEFORE),
    ],
    # Letters need a name and a place of their own. Up to four are as likely an abbreviation.
    "letters": [
        struck("XKCDQW", F.AFTER_COLON),
        struck("XKCDQW", F.LABEL_BEFORE),
        free("XKCDQW", F.LABEL_BEFORE, F.OWN_LINE),
        free("XKCDQW", F.LABEL_BEFORE, F.AFTER_COLON),
        free("XKCDQW", F.LABEL_BEFORE, F.EMPHASISED),
        free("XKCDQW", F.LABEL_BEFORE, F.MARKED),
        # Alone in the mail and on its line, it needs no name, unless it is short or a link's text: a button.
        free("XKCDQW", F.LONE, F.OWN_LINE, F.LETTERS),
        free("XKCDQ", F.LONE, F.OWN_LINE, F.LETTERS),
        struck("XKCDQW", F.LONE),
        struck("XKCDQW", F.OWN_LINE),
        struck("XKCDQW", F.LONE, F.OWN_LINE, link_texts=frozenset({"XKCDQW"})),
        struck("XKCD", F.LONE, F.OWN_LINE),
        free("XKCD", F.LABEL_ABOVE, F.LONE, F.OWN_LINE),
        # Beside a label in a sentence.
        free("XKCD", *BESIDE, F.MID_SENTENCE),
        struck("XKCD", F.LABEL_AFTER, F.BESIDE_LABEL, F.MID_SENTENCE),
        free("XKCDQ", F.LABEL_AFTER, F.BESIDE_LABEL, F.MID_SENTENCE),
        # Alone in the mail, at the end of a sentence that names it.
        free("XKCDQW", F.LABEL_BEFORE, F.LONE),
        free("XKCDQ", F.LABEL_BEFORE, F.LONE),
        struck("XKCD", F.LABEL_BEFORE, F.LONE),
        struck("XKCDQW", F.LABEL_BEFORE, F.LONE, F.MID_SENTENCE),
        free("XKCDQW", F.LABEL_BEFORE, F.LONE, F.MID_SENTENCE, F.FOREIGN),
        free("XKCDQW", F.LABEL_AFTER, F.LONE, F.MID_SENTENCE),
        # Small letters in a sentence are the next veto's.
        free("xkqzw", F.SMALL_LETTERS),
        struck("xkqzw", F.SMALL_LETTERS, F.OWN_LINE),
        free("482913"),
    ],
    "small-letters": [
        free("xkqzw", F.SMALL_LETTERS, F.LABEL_BEFORE, F.LONE),
        struck("xkqzw", F.SMALL_LETTERS, F.LONE),
        struck("xkqzw", F.SMALL_LETTERS, F.LABEL_BEFORE),
        struck("xkqz", F.SMALL_LETTERS, F.LABEL_BEFORE, F.LONE),
        struck("xkqzw", F.SMALL_LETTERS, F.LABEL_BEFORE, F.LONE, F.MID_SENTENCE),
        free("xkqzw", F.SMALL_LETTERS, F.LABEL_BEFORE, F.LONE, F.MID_SENTENCE, F.FOREIGN),
        free("xkqzw", F.SMALL_LETTERS, F.OWN_LINE),
        free("XKCDQW", F.LETTERS),
    ],
    # A value under its name beside a price, in a mail that is about neither signing in nor a code.
    "receipt": [
        struck("604417", F.LABEL_ABOVE, F.OWN_LINE, F.PRICE),
        free("604417", F.LABEL_ABOVE, F.OWN_LINE),
        free("604417", F.LABEL_ABOVE, F.PRICE),
        free("604417", F.LABEL_BEFORE, F.OWN_LINE, F.PRICE),
        free("604417", F.PRICE),
        *(
            free("604417", F.LABEL_ABOVE, F.OWN_LINE, F.PRICE, one)
            for one in (F.LIFETIME, F.SIGN_IN, F.SUBJECT_OF_CODE, F.TOLD_TO_ENTER)
        ),
    ],
    # Letters and digits in a sentence: told to be a code, or named one and alone or random. Long ones are references.
    "mixed": [
        struck("7HK2QX"),
        free("7HK2QX", F.OWN_LINE),
        free("7HK2QX", F.EMPHASISED),
        free("7HK2QX", F.LABEL_BEFORE, F.BESIDE_LABEL),
        free("7HK2QX", F.LABEL_AFTER),
        free("7HK2QX", F.TOLD_TO_ENTER),
        free("7HK2QX", F.ORIGIN_BOUND),
        struck("7HK2QX", F.LABEL_BEFORE),
        free("7HK2QX", F.LABEL_BEFORE, F.LONE),
        free("7HK2QX", F.LABEL_BEFORE, F.RANDOM),
        struck("7HK2QX", F.AFTER_COLON),
        free("7HK2QX", F.AFTER_COLON, F.RANDOM),
        struck("7HK2QX", F.RANDOM, F.LONE),
        free("7HK2QX", F.LONE, F.LONE_OF_SITE),
        free("7HK2QX", F.LONE, F.LONE_FOR_SIGN_IN, F.MARKED),
        struck("7HK2QX", F.LONE, F.LONE_FOR_SIGN_IN),
        struck("7HK2QX", F.LONE, F.MARKED),
        free("7HK2QXP93Z", *BESIDE),
        struck("ABC-12345678", *BESIDE),
        free("ABC-12345678", *BESIDE, F.LONE),
        free("482913"),
    ],
    # Digits in a sentence need a name, or a mail that can mean nothing else.
    "unnamed": [
        struck("482913", F.LIFETIME, F.SIGN_IN, F.AFTER_COLON),
        free("482913", F.OWN_LINE),
        free("482913", F.EMPHASISED),
        free("482913", F.LABEL_BEFORE),
        free("482913", F.LABEL_ABOVE),
        free("482913", F.LABEL_AFTER),
        free("482913", F.TOLD_TO_ENTER),
        free("482913", F.ORIGIN_BOUND),
        struck("482913", F.LABEL_BELOW, F.LABEL_EARLIER),
        free("482913", F.LONE, F.LONE_FOR_SIGN_IN),
        free("482913", F.LONE, F.LONE_OF_SITE),
        struck("482913", F.LONE),
        free("482913", F.IN_SUBJECT, F.AFTER_COLON, F.CODE_MENTIONED, F.DIGITS),
        struck("482913", F.AFTER_COLON, F.CODE_MENTIONED),
        struck("482913", F.IN_SUBJECT, F.CODE_MENTIONED),
        struck("482913", F.IN_SUBJECT, F.AFTER_COLON),
        free("7HK2QX"),
    ],
}


def test_every_veto_has_rows() -> None:
    """No veto is without a row that it strikes and one that it lets pass."""
    assert RULES.keys() == {veto.name for veto in VETOES}
    assert all({row.is_struck for row in rows} == {True, False} for rows in RULES.values())


@pytest.mark.parametrize("name", RULES)
def test_a_veto_strikes_what_it_says_and_no_more(name: str) -> None:
    """Each row is struck by its veto, or not."""
    veto = next(veto for veto in VETOES if veto.name == name)
    wrong = [row for row in RULES[name] if veto.strikes(row.evidence, row.context) is not row.is_struck]
    assert wrong == []


def test_the_groups_hold_what_they_are_for() -> None:
    """A label that merely follows in the next line, or stood in an earlier sentence, names nothing; a colon is no place of its own."""
    assert F.LABEL_BELOW not in NAMING
    assert F.LABEL_EARLIER not in NAMING
    assert F.AFTER_COLON not in PLACED
    assert F.CODE_MENTIONED not in MEANT
