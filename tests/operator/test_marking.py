"""The text of a mail with marks: in clear it is the text, and masked it holds nothing that may be a part of a code."""

from __future__ import annotations

import pytest

from mailbridge.core.secret import MASK
from mailbridge.operator.marking import Piece, marked

CHOSEN = (
    ("Your code is 482913.", "482913"),
    ("Your code is 482 913.", "482913"),
    ("Your code is 482-913, valid", "482913"),
    ("4\n8\n2\n9\n1\n3", "482913"),
    ("Code: QXR-PLM now", "QXR-PLM"),
    ("Code: QXRPLM now", "QXR-PLM"),
    ("رمزك ٤٨٢٩١٣ هنا", "482913"),
    ("code ４８２９１３", "482913"),
    ("あなたのコードは482913です", "482913"),
    ("Open https://x.example/in?t=aBcDeFgH now", "https://x.example/in?t=aBcDeFgH"),
    ("kib-dol-mav is your code", "kib-dol-mav"),
)


def kinds(pieces: list[Piece], kind: str) -> list[str]:
    """The texts of one kind of mark."""
    return [one.text for one in pieces if one.kind == kind]


@pytest.mark.parametrize(("text", "value"), CHOSEN)
def test_in_clear_the_pieces_are_the_text(text: str, value: str) -> None:
    """Nothing is lost or added, and the code is the one that is marked, as it stands there."""
    pieces = marked(text, [value], [], is_clear=True)
    assert "".join(one.text for one in pieces) == text
    assert len(kinds(pieces, "chosen")) == 1


@pytest.mark.parametrize(("text", "value"), CHOSEN)
def test_masked_the_code_is_one_mark(text: str, value: str) -> None:
    """A mark says where it stands; no group of it is left, and nobody counts them."""
    pieces = marked(text, [value], [], is_clear=False)
    assert kinds(pieces, "chosen") == [MASK]
    told = "".join(one.text for one in pieces)
    assert not any(letter.isdigit() for letter in told)
    for group in (value, *value.split("-"), "aBcDeFgH"):
        assert group not in told


def test_a_candidate_has_the_number_of_its_reason() -> None:
    """Those that were passed over are counted as they are listed; a value that is chosen too is chosen."""
    text = "Order 20417, code 482913, of 2026"
    pieces = marked(text, ["482913"], ["20417", "482913", "2026"], is_clear=True)
    assert [(one.text, one.kind, one.number) for one in pieces if one.kind] == [
        ("20417", "passed", 1),
        ("482913", "chosen", 0),
        ("2026", "passed", 3),
    ]
    masked = marked(text, ["482913"], ["20417", "482913", "2026"], is_clear=False)
    assert [(one.text, one.number) for one in masked if one.kind == "passed"] == [(MASK, 1), (MASK, 3)]


def test_a_number_is_no_part_of_a_longer_one() -> None:
    """Nor is a word that was passed over a part of another word."""
    assert kinds(marked("Parcel 14829137", ["482913"], ["1234"], is_clear=True), "chosen") == []
    assert kinds(marked("ABCDEFG", [], ["ABCD"], is_clear=True), "passed") == []


@pytest.mark.parametrize(
    "text",
    [
        "half 482 and 913 apart",
        "https://user:482913@x.example/482913?482913#482913",
        "https://482913.x.example/",
        "a-very-long-token-of-small-letters-without-digits",
        "a482913b",
        "४८२९१३",
    ],
)
def test_masked_nothing_is_left_that_was_not_found(text: str) -> None:
    """Where the extractor saw nothing, a word with a digit, the rest of an address and a long word are masks all the same."""
    told = "".join(one.text for one in marked(text, [], [], is_clear=False))
    assert not any(letter.isdigit() for letter in told)
    assert "token" not in told
    assert "user" not in told


def test_words_stay_readable() -> None:
    """What is no part of a code is shown as it is, line by line."""
    text = "Hello Ann,\nyour code is 482913.\nSee you"
    assert "".join(one.text for one in marked(text, ["482913"], [], is_clear=False)) == "Hello Ann,\nyour code is ***\nSee you"


def test_hostile_values_cost_a_pass_over_the_text() -> None:
    """Values of grouping marks, empty and endless ones mark nothing; the longest text with the most values is done."""
    text = ("1.1-1 1" * 3_000)[:20_000]
    passed = ["", " ", "." * 60, "1." * 500, "(" * 30, "[a-z]+", *("1" * 40 + str(number) for number in range(5_000))]
    pieces = marked(text, ["1" * 64], passed, is_clear=True)
    assert "".join(one.text for one in pieces) == text
    assert marked("....", ["...."], ["--"], is_clear=True) == [Piece("....")]
