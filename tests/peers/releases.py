"""Later releases, for tests of upgrades: this tree's package with the next migration of PostgreSQL, in a folder of its own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import mailbridge
from mailbridge.store.postgres import migrations

PACKAGE = Path(mailbridge.__file__).parent

MIGRATION = """
ALTER TABLE mail ADD COLUMN later_{number} text NOT NULL DEFAULT '';
CREATE TABLE later_{number} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mail bigint REFERENCES mail (id) ON DELETE CASCADE);
CREATE INDEX mail_later_{number} ON mail (later_{number}) WHERE later_{number} <> '';
"""
"""What a release may change while the one before runs: a column that has a default, a table, an index."""


def later(folder: Path, steps: int) -> Path:
    """A folder for PYTHONPATH with a release that is ``steps`` schemas ahead, and on whose schema this one still runs."""
    package = folder / PACKAGE.name
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (package / "__init__.py").read_text(encoding="utf-8")
    changed, count = re.subn(r'(__version__ = ".*)"', rf'\1+later{steps}"', text)
    assert count == 1
    (package / "__init__.py").write_text(changed, encoding="utf-8")
    own = package / "store" / "postgres" / "migrations"
    for step in range(1, steps + 1):
        number = migrations.newest() + step
        (own / f"{number:04}.sql").write_text(MIGRATION.format(number=number), encoding="utf-8")
    return folder
