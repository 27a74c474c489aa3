"""A secret that a command is given: from a file, from standard input, or asked for; never from the command line, which everybody can read."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.config.values import secret_file
from mailbridge.core.secret import Secret


def unread(fault: ValueError | OSError) -> str:
    """Why a file with a secret was not taken, with its name."""
    return f"{fault.filename}: {fault.strerror}" if isinstance(fault, OSError) and fault.filename is not None else str(fault)


def secret_of(path: Path | None, *, prompt: str) -> Secret:
    """The secret. A file that cannot be read, or that others may read, is one message and exit 77 or 78."""
    if path is None:
        if sys.stdin.isatty():
            return Secret(click.prompt(prompt, hide_input=True, err=True).strip())
        return Secret(sys.stdin.read(10_000).strip())
    try:
        return secret_file(path, is_mode_checked=True)
    except (ValueError, OSError) as fault:
        complain(unread(fault))
        raise SystemExit(Exit.PERMISSION if isinstance(fault, PermissionError) else Exit.CONFIG) from None
