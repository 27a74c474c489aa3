"""What the HTML part of a mail may show beyond its plain part."""

from __future__ import annotations

import pytest

from mailbridge.core.additions import has_another_value

PLAIN = "Your code is 482913. It is valid for 10 minutes."
ADDING = {
    "another number": "<p>Your code is 771204</p>",
    "its digits apart": "<p>77 12 04</p>",
    "its digits in cells": "<td>7</td><td>7</td><td>1</td><td>2</td>",
    "letters in boxes": "<b>K</b> <b>Q</b> <b>X</b> <b>Z</b>",
    "a word with digits": "<p>KQ77XZ</p>",
    "a number in a comment": "<p>hello</p><!-- 771204 -->",
    "a number behind an instruction": "<p>hello</p><?x 771204 ?>",
    "a number as characters": "<p>&#55;&#55;&#49;&#50;&#48;&#52;</p>",
}
SAYING_THE_SAME = {
    "the same number": "<p>Your code is <b>482913</b></p>",
    "the same number, apart": "<p>482 913</p>",
    "a year": "<p>482913</p><p>(c) 2026 Acme</p>",
    "a number of a style sheet": "<style>p { width: 771204px }</style><p>482913</p>",
    "a number of a tag": "<p style='width: 771204px'>482913</p>",
    "few single letters": "<p>I am A 1</p>",
}


def is_shaped(word: str) -> bool:
    """As codes of letters and digits are."""
    return len(word) >= 4 and any(one.isdigit() for one in word) and any(one.isalpha() for one in word)


@pytest.mark.parametrize("page", ADDING.values(), ids=ADDING)
def test_what_may_be_another_code_is_seen(page: str) -> None:
    """However it is written: the plain part does not decide alone then."""
    assert has_another_value(page, PLAIN, is_shaped)


@pytest.mark.parametrize("page", SAYING_THE_SAME.values(), ids=SAYING_THE_SAME)
def test_what_says_the_same_is_nothing_new(page: str) -> None:
    """The plain part decides, and the page need not be read."""
    assert not has_another_value(page, PLAIN, is_shaped)
