"""What the sum of small things may not do: make a code of a year, or of letters that nobody calls a code.

A row of the table is a name, what it asks of a candidate, and the reason that people read. Each has a mail in
``tests/core/test_vetoes.py`` that is pushed without it.
"""

from __future__ import annotations

from collections.abc import Callable

from mailbridge.core.candidates import MAX_LENGTH
from mailbridge.core.context import Context
from mailbridge.core.dataclass import dataclass
from mailbridge.core.evidence import Evidence
from mailbridge.core.features import MEANT, NAMING, PLACED, Feature
from mailbridge.core.looks import Look

F = Feature
SHORTEST_ALONE = 4
"""Letters up to which an abbreviation is as likely as a code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Veto:
    """``strikes``: whether a candidate may not be a code, whatever its score."""

    name: str
    strikes: Callable[[Evidence, Context], bool]
    why: str


def veto_of(one: Evidence, context: Context) -> Veto | None:
    """The first veto that strikes a candidate."""
    for veto in VETOES:
        if veto.strikes(one, context):
            return veto
    return None


def _is_named(one: Evidence) -> bool:
    return one.has_any(NAMING)


def _is_placed(one: Evidence) -> bool:
    return one.has_any(PLACED)


def _is_wordy(one: Evidence) -> bool:
    return one.shape.kind in ("mixed", "letters")


def _year(one: Evidence, _: Context) -> bool:
    if one.shape.look not in (Look.YEAR, Look.DAY):
        return False
    is_meant = one.has(F.LIFETIME) or (one.has(F.LONE) and not one.has(F.MID_SENTENCE))
    is_sure = one.has(F.BESIDE_LABEL) and is_meant
    return not _is_named(one) or not (one.has(F.OWN_LINE) or (is_sure and one.has_any(MEANT)))


def _out_of_sight(one: Evidence, _: Context) -> bool:
    """Text out of sight is a code's only where the subject announces one: else it is filler."""
    return one.sources == {"hidden"} and not (_is_named(one) and one.has(F.SUBJECT_OF_CODE))


def _subject_alone(one: Evidence, context: Context) -> bool:
    """A number of which only the subject speaks, over a body that wants its links to be followed, or that is long."""
    is_elsewhere = context.has_links or not context.is_short
    return one.sources == {"subject"} and is_elsewhere and not context.body_speaks_of_code


def _small(one: Evidence, _: Context) -> bool:
    """Small letters in a sentence: right behind their label, or at the end of it, and nothing else may be the code."""
    if not one.has(F.SMALL_LETTERS) or one.has(F.OWN_LINE):
        return False
    is_clear = one.has(F.FOREIGN) or not one.has(F.MID_SENTENCE)
    is_alone = one.has(F.LONE) and len(one.shape.value) > SHORTEST_ALONE
    return not (_is_named(one) and is_alone and is_clear)


def _meeting(_: Evidence, context: Context) -> bool:
    return context.is_meeting


def _called_else(one: Evidence, _: Context) -> bool:
    return one.has(F.CALLED_ELSE, F.ELSE_ABOVE)


def _word_and_number(one: Evidence, _: Context) -> bool:
    return one.shape.look is Look.WORD_AND_NUMBER and not (_is_named(one) and one.has(F.OWN_LINE, F.IN_LINK))


def _word(one: Evidence, _: Context) -> bool:
    """A word in capitals is a code only where a link of the mail carries it as one."""
    return one.shape.look is Look.WORD and not one.has(F.IN_LINK)


def _of_something_else(one: Evidence, context: Context) -> bool:
    if not one.has(F.SUBJECT_OF_ELSE):
        return False
    is_apart = one.has(F.OWN_LINE) or one.shape.value == context.lone
    is_meant = one.has(F.LIFETIME) or (one.has(F.SIGN_IN) and is_apart)
    is_unsure = _is_wordy(one) and not one.has(F.IN_LINK)
    return is_unsure or not is_meant


def _offered(one: Evidence, _: Context) -> bool:
    is_offered = _is_wordy(one) and one.has(F.LONG_TEXT, F.ELSE_MENTIONED)
    return is_offered and not one.has(F.LABEL_BEFORE, F.LABEL_AFTER, F.EMPHASISED)


def _phrase(one: Evidence, _: Context) -> bool:
    if one.shape.kind != "phrase":
        return False
    is_sure = one.has(F.OWN_LINE) or one.has_all(F.BESIDE_LABEL, F.IN_BOTH)
    return not (_is_named(one) and is_sure)


def _letters(one: Evidence, context: Context) -> bool:
    """Letters that nobody calls a code, or that stand far from who calls them so, as an abbreviation does."""
    if one.shape.kind != "letters" or (one.has(F.SMALL_LETTERS) and not one.has(F.OWN_LINE)):
        return False
    if one.has_all(F.LONE, F.OWN_LINE) and one.shape.shown not in context.link_texts:
        return len(one.shape.value) <= SHORTEST_ALONE and not _is_named(one)
    is_beside = one.has(F.BESIDE_LABEL) and (one.has(F.LABEL_BEFORE) or len(one.shape.value) > SHORTEST_ALONE)
    is_apart = is_beside or one.has(F.OWN_LINE, F.AFTER_COLON, F.EMPHASISED, F.MARKED)
    is_long = len(one.shape.value) > SHORTEST_ALONE and one.has(F.LONE)
    is_clear = is_long and (one.has(F.FOREIGN, F.LABEL_AFTER) or not one.has(F.MID_SENTENCE))
    return not (_is_named(one) and (is_apart or is_clear))


def _mixed(one: Evidence, _: Context) -> bool:
    if one.shape.kind != "mixed" or _is_placed(one):
        return False
    if len(one.shape.value) > MAX_LENGTH and not one.has(F.LONE):
        return True  # a long number behind a prefix is a reference, unless nothing else may be the code
    is_told = one.has(F.BESIDE_LABEL, F.LABEL_AFTER, F.TOLD_TO_ENTER, F.ORIGIN_BOUND)
    is_named = _is_named(one) or one.has(F.AFTER_COLON) or one.has_all(F.LONE_FOR_SIGN_IN, F.MARKED)
    is_named = is_named or one.has(F.LONE_OF_SITE)
    return not is_told and not (one.has(F.RANDOM, F.LONE) and is_named)


def _unnamed(one: Evidence, _: Context) -> bool:
    if one.shape.kind != "digits" or _is_placed(one) or _is_named(one) or one.has(F.ORIGIN_BOUND):
        return False
    is_in_subject = one.has_all(F.IN_SUBJECT, F.AFTER_COLON, F.CODE_MENTIONED)
    return not is_in_subject and not one.has(F.LONE_FOR_SIGN_IN, F.LONE_OF_SITE)


def _receipt(one: Evidence, _: Context) -> bool:
    """A value under its name beside a price, in a mail that says neither what it opens nor for how long: a line of a receipt."""
    is_value = one.has(F.OWN_LINE) and one.has(F.LABEL_ABOVE) and one.has(F.PRICE)
    return is_value and not one.has(F.LIFETIME, F.SIGN_IN, F.SUBJECT_OF_CODE, F.TOLD_TO_ENTER)


VETOES: tuple[Veto, ...] = (
    Veto(name="year", strikes=_year, why="year"),
    Veto(name="called-else", strikes=_called_else, why="a label names it something else"),
    Veto(name="out-of-sight", strikes=_out_of_sight, why="hidden from view"),
    Veto(name="subject-alone", strikes=_subject_alone, why="only the subject has it, and the mail speaks of no code"),
    Veto(name="meeting", strikes=_meeting, why="a meeting is joined with it"),
    Veto(name="word", strikes=_word, why="word"),
    Veto(name="word-and-number", strikes=_word_and_number, why="word and number"),
    Veto(name="of-something-else", strikes=_of_something_else, why="the subject mentions something else"),
    Veto(name="offered", strikes=_offered, why="the mail mentions an offer or order"),
    Veto(name="phrase", strikes=_phrase, why="nobody calls these words a code"),
    Veto(name="letters", strikes=_letters, why="nobody calls these letters a code"),
    Veto(name="small-letters", strikes=_small, why="small letters in a sentence"),
    Veto(name="receipt", strikes=_receipt, why="a line of a receipt"),
    Veto(name="mixed", strikes=_mixed, why="nobody calls it a code"),
    Veto(name="unnamed", strikes=_unnamed, why="nobody says what it is"),
)
"""In the order in which their reasons are told."""
