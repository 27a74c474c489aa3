"""The attack set's table: nothing of it gets in, and the genuine twin of each row does."""

from __future__ import annotations

import pytest

from tests.attacks import rows_copies, rows_keys, rows_links, rows_mailboxes, rows_named, rows_seals, rows_shared, rows_sites
from tests.attacks.rows import Row, is_in, passes
from tests.loop import looped

MODULES = (rows_named, rows_mailboxes, rows_seals, rows_copies, rows_keys, rows_links, rows_shared, rows_sites)
ROWS: dict[str, Row] = {row.title: row for module in MODULES for group in module.GROUPS for row in group()}


def test_the_table_is_what_it_says() -> None:
    """Every row has a title of its own and says in a sentence what is tried."""
    every = [row for module in MODULES for group in module.GROUPS for row in group()]
    assert len(ROWS) == len(every) >= 1_000
    assert all(len(row.says.split()) >= 4 for row in every)


@pytest.mark.parametrize("title", ROWS)
@looped
async def test_no_row_gets_in(title: str) -> None:
    """Nothing is pushed of the row for anybody but the attacker."""
    row = ROWS[title]
    found = await is_in(row)
    assert not found, f"{found}: {row.says}"


@pytest.mark.parametrize("title", ROWS)
@looped
async def test_the_twin_of_each_row_passes(title: str) -> None:
    """The same mail without the trick, on the same way, is pushed for Ann."""
    assert await passes(ROWS[title])
