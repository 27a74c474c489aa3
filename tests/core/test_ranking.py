"""The documented weights are the ones that count."""

from __future__ import annotations

from pathlib import Path

from mailbridge.core.features import CLEAR, THRESHOLD, weights_table

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "rules.md"


def test_the_document_holds_the_weights_of_the_code() -> None:
    """The table in docs/rules.md is the one that the code prints, and so are threshold and lead."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert weights_table() in text
    assert f"needs {THRESHOLD:g} to be a code" in text
    assert f"within {CLEAR:g}" in text
