"""Where the configuration lies: the file that is named or found, and the drop-ins beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mailbridge.config.problems import ConfigError, Problem

DROP_INS = "conf.d"
"""The folder beside the configuration file whose ``*.toml`` are read after it, by name."""


def find(explicit: Path | None, *, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The configuration file: named, or the first of the usual places that has one. None: defaults alone.

    Raises:
        ConfigError: a file was named and is not there.
    """
    named = explicit or (Path(environ["MAILBRIDGE_CONFIG"]) if environ.get("MAILBRIDGE_CONFIG") else None)
    if named is not None:
        if named.is_dir():
            raise ConfigError((Problem(where=str(named), what="is a folder; name the file in it"),))
        if not named.exists():
            raise ConfigError((Problem(where=str(named), what="no such file; name one with --config, or leave it out"),))
        return named
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")
    places = (
        cwd / "config" / "mailbridge.toml",
        home / "mailbridge" / "mailbridge.toml",
        Path("/etc/mailbridge/mailbridge.toml"),
    )
    # Not Path.is_file, which raises where we may not look: there is none for us.
    return next((place for place in places if os.path.isfile(place)), None)  # noqa: PTH113


def drop_ins(file: Path | None) -> tuple[Path, ...]:
    """The files of the folder ``conf.d`` beside the configuration file, by name; without a file there are none.

    Raises:
        ConfigError: the folder cannot be read.
    """
    if file is None:
        return ()
    folder = file.resolve().parent / DROP_INS
    try:
        return tuple(one for one in sorted(folder.iterdir()) if one.suffix == ".toml" and not one.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as fault:
        problem = Problem(
            where=str(folder), what=f"cannot be read: {fault.strerror}", is_permission=isinstance(fault, PermissionError)
        )
        raise ConfigError((problem,)) from None
