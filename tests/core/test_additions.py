"""What the HTML part of a mail may show beyond its plain part."""

from __future__ import annotations

import html
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailbridge.core.additions import UNSEEN, WORD, YEAR, has_another_value
from mailbridge.core.candidates import ascii_digits
from mailbridge.core.swallowed import MARKS, TAG

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


SHEET = re.compile(r"(?is)<(style|script|title)\b[^<>]*>(?:[^<]|<!--)*</\1\s*>")
BETWEEN = re.compile(r"([0-9])[\s\u00a0.\-–‐‑]+(?=[0-9])")
BOXES = re.compile(r"(?<![A-Za-z0-9])[A-Z0-9](?:\s+[A-Z0-9]){3,9}(?![A-Za-z0-9])")
GENERATED = 20_000
PIECES = (
    *(
        "<",
        "<!--",
        "-->",
        "--!>",
        "--",
        "->",
        "!",
        "?",
        "<?",
        "?>",
        "<![if mso]>",
        "<![endif]-->",
        "<!DOCTYPE html>",
        "[endif]",
        "]>",
    ),
    *(
        "<style>",
        "</style>",
        "<STYLE type=x>",
        "</sTyle >",
        "<script>",
        "</script\n>",
        "<title>",
        "</title>",
        "<stylex>",
        "{a:b}",
    ),
    *("<p>", "</p>", "<b>", "<a href=", "'", '"', ">", "=", "<td>", " 7", "7", "71 22 04", "482913", "482 913", "48\u00a02913"),
    *("48\u20132913", "4\u20112\u20101 3", "&nbsp;", "&#55;", "&amp;", "&am", "p;", "&", "&lt", "&#60;", "&copy", "2026", "1999"),
    *("KQ77XZ", "K Q X Z", "K", "A B", "A\nB\tC D", "(A", "D.", "ABCD", "ABCDE", "Hello", "hello.", "abc-def", "abc-", "-def"),
    *(
        "fix-tap-run",
        "\u0664\u0668",
        "\uff17\uff11",
        "\uff21",
        "é",
        "中A",
        "\u200b",
        "\u00ad",
        "\ufeff",
        "\u2003",
        "\x1c",
        "\x85",
    ),
    *("\u2028", "\ud800", "\0", " ", "\n", "word", "Your code", "it's", "I", "x"),
)
PLAINS = ("", PLAIN, "code 482 913 K Q X", "KQ77XZ 7122 04 abc-def ABCDE", "\u0664\u0668 2913 hello. Hello")


def by_patterns(source: str, plain: str, is_shaped: Callable[[str], bool]) -> bool:
    """The same question, answered by patterns that go over the whole text one after the other."""
    shown = html.unescape(TAG.sub(" ", MARKS.sub(" ", SHEET.sub(" ", source))))
    shown, known = (UNSEEN.sub("", ascii_digits(one)) for one in (shown, plain))
    joined, known_joined = (BETWEEN.sub(r"\1", one) for one in (shown, known))
    return (
        BOXES.search(shown) is not None
        or any(one not in known_joined and not YEAR.fullmatch(one) for one in re.findall("[0-9]{4,}", joined))
        or any(one not in known and not one.isdigit() and is_shaped(one) for one in WORD.findall(shown))
    )


def generated(dice: random.Random) -> Iterator[tuple[str, str]]:
    """Pages of pieces that have to do with each other, and plain texts."""
    for _ in range(GENERATED):
        page = "".join(dice.choices(PIECES, k=dice.randrange(14)))
        yield page, dice.choice(PLAINS) + (page[: dice.randrange(len(page) + 1)] if dice.random() < 0.3 else "")


def test_generated_pages_get_the_answer_of_the_patterns() -> None:
    """Whatever stands in a page, in whatever order."""
    for page, plain in generated(random.Random(20)):
        assert has_another_value(page, plain, is_shaped) == by_patterns(page, plain, is_shaped), (page, plain)


@pytest.mark.parametrize("letter", [chr(one) for one in range(0x3001) if chr(one).isspace()] + list("–‐‑.-"), ids=ascii)
def test_whatever_parts_digits_joins_them(letter: str) -> None:
    """A blank of any script, a dot or a dash."""
    assert has_another_value(f"<p>77{letter}12</p>", PLAIN, is_shaped)
    assert not has_another_value(f"<p>482{letter}913</p>", PLAIN, is_shaped)


def test_pages_of_the_corpus_get_the_answer_of_the_patterns(shared: Path) -> None:
    """Those that sites have sent, beside their own plain text and beside none."""
    for name in ("cases.jsonl", "second/cases.jsonl"):
        for case in map(json.loads, (shared / "corpus" / name).read_text(encoding="utf-8").splitlines()):
            page = case.get("html")
            for plain in (case.get("text") or "", TAG.sub(" ", page or "")):
                assert page is None or has_another_value(page, plain, is_shaped) == by_patterns(page, plain, is_shaped), case
