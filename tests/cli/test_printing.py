"""What is printed of strangers' words is text, and nothing that a terminal obeys."""

from __future__ import annotations

import json

import pytest

from mailbridge.cli.printing import dumped, visible

HOSTILE = ["a\x1b[31mb", "a\nb", "a\r\nb", "a\x9b2Jb", "a\u202eb", "a\u2028b", "a\x00b", "a\ud800b", "a\u2066b", "a\u200fb"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_stays_one_line(text: str) -> None:
    """Everything between the letters is written out, and can be encoded."""
    shown = visible(text)
    assert shown.startswith("a\\")
    assert shown.isprintable()
    shown.encode("utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_json_stays_json(text: str) -> None:
    """It reads back as the same text, and none of it is obeyed on the way."""
    line = dumped({"subject": text})
    assert line.isprintable()
    assert json.loads(line) == {"subject": text}


def test_other_languages_are_left_as_they_are() -> None:
    """Escapes are for control characters only."""
    text = "確認コード: код подтверждения, Bestätigung ✓"
    assert visible(text) == text
    assert text in dumped([text])
