"""What release 0.1.0 left behind, copied for one test."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from tests.moved_time import MovedTime
from tests.upgrade.make_0_1_0 import START

RELEASE = Path(__file__).parent / "release_0_1_0"
GRACE = timedelta(seconds=5)


class Left:
    """A copy of what release 0.1.0 left, and what it said of that."""

    def __init__(self, folder: Path) -> None:
        for name in ("mailbridge.db", "mailbridge.key", "mailbridge.toml"):
            shutil.copy(RELEASE / name, folder / name)
        (folder / "mailbridge.key").chmod(0o600)
        self.folder = folder
        self.said: dict[str, Any] = json.loads((RELEASE / "expected.json").read_text(encoding="utf-8"))
        micros = self.said["micros"]
        self.time = MovedTime(wall=micros, since_boot=micros - START + 100_000_000, boot="the fixture's boot")

    def open(self) -> SqliteStore:
        """As a daemon that starts in the moment after the last word of the release."""
        settings = StoreSettings(url=f"sqlite:///{self.folder / 'mailbridge.db'}")
        return open_sqlite(settings, RetentionSettings(), clock=self.time.clock(), grace=GRACE)
