"""Checks of this machine: configuration, daemon, folders and files, disk, clock, versions."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from mailbridge import __version__
from mailbridge.operator.doctor.finding import Finding, Patient, failure, ok, unknown, warning
from mailbridge.operator.faults import Fault

LITTLE, TOO_LITTLE = 500_000_000, 50_000_000
"""Octets free on the disk of the database, below which is warned and failed."""

DRIFT = timedelta(seconds=5)


async def configuration(patient: Patient) -> AsyncIterator[Finding]:
    """The configuration as it is on disk: what a start or a reload would refuse."""
    problems = await asyncio.to_thread(patient.probes.problems)
    for problem in problems:
        yield failure("configuration", problem, "fix it; `mailbridge check-config` says when it is good")
    if not problems:
        yield ok("configuration", "the configuration is good")
    settings = patient.settings
    if not settings.domains.accept and not settings.address and not settings.imap:
        yield failure("configuration", "no mail can come in: no address, no domain, no mailbox", "mailbridge setup")


async def daemon(patient: Patient) -> AsyncIterator[Finding]:
    """Whether a daemon runs and takes mail."""
    status = patient.status
    if isinstance(status, Fault):
        yield failure("daemon", "no daemon is running with this configuration", "mailbridge serve, or systemctl start mailbridge")
        return
    if status.level == "unready":
        reasons = "; ".join(f"{name}: {reason}" for name, reason in status.checks.items())
        yield failure("daemon", f"it runs and cannot take mail: {reasons}", "the log says more")
    else:
        yield ok("daemon", f"version {status.version} runs and takes mail")
    if status.is_practice:
        yield warning(
            "practice",
            "no Skyvern key: codes go to the practice receiver on this machine",
            "set [skyvern] api_key_file, then restart the daemon; or run mailbridge setup",
        )


async def replicas(patient: Patient) -> AsyncIterator[Finding]:
    """The daemons on the same database: each must have the same configuration."""
    if isinstance(patient.status, Fault) or not patient.status.replicas:
        return
    for one in patient.status.replicas:
        if one.differs:
            sections = ", ".join(f"[{name}]" for name in one.differs)
            yield warning(
                "replicas",
                f"{one.name} has another configuration in {sections}",
                "give all replicas the same configuration; then mailbridge reload, or restart",
            )
    if not any(one.differs for one in patient.status.replicas):
        yield ok("replicas", f"{len(patient.status.replicas)} alive, all with this configuration")


async def folders(patient: Patient) -> AsyncIterator[Finding]:
    """The database, its key and their folder: they exist, can be written, and cannot be read by others."""
    folder = patient.database.parent
    if not folder.is_dir():
        yield failure("folder", f"{folder} does not exist", f"install -d -m 700 {folder}")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield unknown("folder", f"this user cannot write {folder}; the daemon's user may be able to")
    found = False
    for path in (folder, patient.database, patient.key):
        mode = _mode(path)
        if mode is None:
            if path == patient.key and patient.database.exists():
                yield failure(
                    "folder", f"{path} is missing: nothing in the database can be read without it", "restore it from a backup"
                )
                found = True
        elif mode & (0o007 if path == folder else 0o077):
            yield failure("folder", f"other users can read {path} (mode {mode:04o})", f"chmod go= {path}")
            found = True
    if not found:
        yield ok("folder", f"other users cannot read {folder}")


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


async def disk(patient: Patient) -> AsyncIterator[Finding]:
    """Room for the database. A full disk makes every sender come again."""
    folder = next((one for one in (patient.database.parent, *patient.database.parents) if one.is_dir()), Path("/"))
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free beside the database"
    if free < TOO_LITTLE:
        yield failure("disk", text, "free some space: mail is refused for the time when the disk is full")
    elif free < LITTLE:
        yield warning("disk", text, "free some space")
    else:
        yield ok("disk", text)


async def clock(patient: Patient) -> AsyncIterator[Finding]:
    """Our clock against the database server's, and against itself since the start."""
    if not isinstance(patient.status, Fault) and "clock" in patient.status.checks:
        yield warning("clock", patient.status.checks["clock"], "timedatectl set-ntp true, on both machines")
    elif abs(patient.drift) > DRIFT:
        seconds = patient.drift.total_seconds()
        yield warning("clock", f"the clock was set by {seconds:+.0f} s since the daemon started", "keep it by NTP (timedatectl)")
    else:
        yield ok("clock", "the clock was not set since the daemon started")


async def versions(patient: Patient) -> AsyncIterator[Finding]:
    """What runs here, and whether somebody else's package is in the way."""
    beside = await asyncio.to_thread(patient.probes.stranger)
    if beside is not None:
        yield failure("package", beside, "see docs/install.md, Upgrade")
    status = patient.status
    running = None if isinstance(status, Fault) else status.version
    if running is not None and running != __version__:
        yield warning("version", f"the daemon is {running}, this command {__version__}", "restart the daemon")
    else:
        yield ok(
            "version", f"mailbridge {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
        )
