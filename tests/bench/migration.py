"""A large database moved to PostgreSQL and back, and killed on the way: ``python -m tests.bench.migration``.

    --mails 1000000     how many mails are stored before
    --kills 20          how often kill -9 ends each of the two moves, at random moments of `--seconds` at the mean
    --database PATH     a database that `tests.bench.filling` has made, instead of making one; it is not changed
    --folder DIR        where the files lie (default: a temporary folder; three databases need room)
    --json FILE         what was measured

The command itself is run, as a process; what it says of counts and digests of the first and the last database must be the same.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.filling import main as fill
from tests.peers.postgres import Postgres, found, given

CONFIG = """
[store]
url = "{url}"
folder = "{folder}"
key_file = "{key}"
"""
SETTINGS = "shared_buffers = 256MB\nmax_wal_size = 2GB\nautovacuum = on\n"


@dataclass
class Leg:
    """One way, with what was measured of it. ``seconds`` are those of every run, ``copying`` those of the last, which was not killed."""

    name: str
    kills: list[float] = field(default_factory=list)
    seconds: float = 0.0
    rows: int = 0
    last_run_copied: int = 0
    last_run_seconds: float = 0.0
    tables: list[dict[str, Any]] = field(default_factory=list)


def run(words: list[str], leg: Leg, *, kills: int, mean: float, dice: random.Random) -> None:
    """The command until it is through, killed so often on the way."""
    began = time.monotonic()
    while True:
        process = subprocess.Popen(
            [sys.executable, "-m", "mailbridge", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if len(leg.kills) < kills:
            wait = dice.uniform(0.5, 2 * mean - 0.5)
            try:
                out, err = process.communicate(timeout=wait)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                leg.kills.append(round(time.monotonic() - began, 1))
                print(f"{leg.name}: killed after {wait:.1f} s, {len(leg.kills)} of {kills}", flush=True)
                continue
        else:
            out, err = process.communicate()
        assert process.returncode == 0, err
        said = json.loads(out)
        leg.seconds, leg.tables, leg.rows = round(time.monotonic() - began, 1), said["tables"], said["rows"]
        leg.last_run_copied, leg.last_run_seconds = said["copied"], round(said["seconds"], 1)
        return


def measured(options: argparse.Namespace, folder: Path, server: Postgres) -> dict[str, Any]:
    """There and back."""
    dice = random.Random(options.seed)
    first, last = folder / "first" / "mailbridge.db", folder / "last" / "mailbridge.db"
    for one in (first, last):
        one.parent.mkdir()
    if options.database is None:
        asyncio.run(fill(first, options.mails))
    else:
        shutil.copy(options.database, first)
        shutil.copy(options.database.with_suffix(".key"), first.with_suffix(".key"))
    config = folder / "mailbridge.toml"
    config.write_text(CONFIG.format(url=server.url(), folder=folder, key=folder / "server.key"), encoding="utf-8")
    legs = []
    for name, words in (
        ("SQLite to PostgreSQL", ["--from", f"sqlite:///{first}"]),
        ("PostgreSQL to SQLite", ["--to", f"sqlite:///{last}"]),
    ):
        leg = Leg(name)
        arguments = ["migrate", *words, "--config", str(config), "--json"]
        run(arguments, leg, kills=options.kills, mean=options.seconds, dice=dice)
        print(f"{name}: {leg.rows} rows, {len(leg.kills)} kills, {leg.seconds} s", flush=True)
        legs.append(leg)
    assert legs[0].tables == legs[1].tables, "digests differ between the first and the last database"
    print("the digests of every table are equal in the first database, the server, and the last database")
    sizes = {"first": first.stat().st_size, "last": last.stat().st_size}
    sizes["server"] = server.ask("SELECT pg_database_size(current_database())")[0][0]
    return {"legs": [asdict(leg) for leg in legs], "octets": sizes, "loaded": os.getloadavg(), "digests_equal": True}


def main(options: argparse.Namespace) -> None:
    """Make the databases, and measure."""
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="migration-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Postgres(folder=given(folder / "server"), installed=found()[0])
        server.prepare()
        with (server.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write(SETTINGS)
        server.start()
        try:
            said = measured(options, folder, server)
        finally:
            server.stop()
        if options.json is not None:
            options.json.write_text(json.dumps(said, indent=1), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    main(parser.parse_args())
