"""Known weaknesses of the locked packages: ``python -m tests.audit COMMAND…``, the command being pip-audit with ``--format json``.

Fails (1) where a package has a weakness that a newer version fixes. A weakness that nothing fixes yet is told, and so is every package
of which nothing is known: where no advisory can be had at all, or not in time, that is one line and no failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

PATIENCE = float(os.environ.get("AUDIT_TIMEOUT", "90"))
"""Seconds for all of it, fetching pip-audit included."""


def report_of(command: Sequence[str]) -> dict[str, Any] | str:
    """What pip-audit reports, or in a few words why it does not. It reads this process' standard input."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    except OSError as fault:
        return f"{command[0]} does not start: {fault.strerror}"
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"no answer within {PATIENCE:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    try:
        report = json.loads(out)
        return {"dependencies": [dict(one) for one in report["dependencies"]]}
    except (ValueError, LookupError, TypeError):
        return (err.strip().splitlines() or [f"exit {process.returncode}"])[-1][:200]


def main(command: Sequence[str]) -> int:
    """Print what is known, and return the exit code."""
    report = report_of(command)
    if isinstance(report, str):
        print(f"audit: NOT DONE, no advisories can be had here: {report}")
        return 0
    packages = report["dependencies"]
    unknown = [one["name"] for one in packages if "vulns" not in one]
    found = [(one, weakness) for one in packages for weakness in one.get("vulns", ())]
    fixable = [weakness for _, weakness in found if weakness.get("fix_versions")]
    for one, weakness in found:
        fix = ", ".join(weakness.get("fix_versions") or ()) or "nothing yet"
        print(f"audit: {one['name']} {one.get('version', '')}: {weakness['id']}, fixed by: {fix}")
    if len(unknown) == len(packages):
        print(f"audit: NOT DONE, no advisories can be had here: nothing is known of any of {len(packages)} packages")
    elif unknown:
        print(f"audit: nothing is known of {len(unknown)} of {len(packages)} packages: {', '.join(unknown)}")
    else:
        print(f"audit: {len(packages)} packages, {len(found)} known weaknesses, {len(fixable)} of them fixed by a newer version")
    return 1 if fixable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
