"""The pages that promise something name the tests that hold it, and these are there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows_of(page: str, section: str = "") -> list[str]:
    """The rows of a page's table, or of that of one section, without its head."""
    text = (ROOT / "docs" / page).read_text()
    if section:
        text = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return [line for line in text.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize(
    ("page", "section", "count"), [("threats.md", "", 20), ("faults.md", "", 71), ("flow.md", "What it promises", 12)]
)
def test_every_row_names_a_test_that_exists(page: str, section: str, count: int) -> None:
    """Each row ends in a test, and that test is in that file."""
    rows = rows_of(page, section)
    assert len(rows) >= count
    for row in rows:
        found = NAMED.search(row)
        assert found is not None, row
        tree = ast.parse((ROOT / found[1]).read_text())
        assert found[2] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}, row


def test_every_fault_has_its_row() -> None:
    """One to 71, each once and in order, and every row says what happens and how soon it is over."""
    cells = [[cell.strip() for cell in row.strip("|\n ").split("|")] for row in rows_of("faults.md")]
    assert [row[0] for row in cells] == [str(number) for number in range(1, 72)]
    assert all(len(row) == 5 and all(row) for row in cells)
