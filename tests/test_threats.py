"""The page of threats names tests that are there."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_threat_names_a_test_that_exists() -> None:
    """Each row of docs/threats.md ends in a test, and that test is in that file."""
    rows = [line for line in (ROOT / "docs" / "threats.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 20
    for row in rows:
        found = NAMED.search(row)
        assert found is not None, row
        tree = ast.parse((ROOT / found[1]).read_text())
        assert found[2] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}, row
