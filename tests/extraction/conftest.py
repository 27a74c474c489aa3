"""What the engine says of every mail with a known answer, once for all tests."""

from __future__ import annotations

import pytest

from tests.extraction.cases import NoSharedError, load_cases, shared_folder
from tests.extraction.table import Row, rows_of


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """A row for each mail of the folder that is kept beside the project, where it is there."""
    try:
        folder = shared_folder()
    except NoSharedError as missing:
        pytest.skip(str(missing))
    return rows_of(folder, load_cases(folder))
