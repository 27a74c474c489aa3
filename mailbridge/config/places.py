"""Where the configuration and the database are: the file that is named or found, the drop-ins next to it, the state folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.values import shortened

DROP_INS = "conf.d"
"""The folder next to the configuration file. Its ``*.toml`` files are read after that file, in the order of their names."""


SYSTEM = Path("/etc/mailbridge/mailbridge.toml")
"""The configuration of a machine, and of a container."""

DATABASE = "mailbridge.db"
LONGEST_PATH = 255
"""The longest path, in characters, that a message shows whole."""


def find(
    explicit: Path | None, *, environ: Mapping[str, str], cwd: Path, is_blank: Callable[[Path], bool] = lambda _: False
) -> Path | None:
    """The configuration file: the named one, or the first that exists in the usual places. None: only defaults apply.

    ``is_blank`` says whether a file in the working folder sets nothing. Such a file is skipped: it is the manual of a checkout,
    and must not hide the configuration of the user or of the machine.

    Raises:
        ConfigError: the named file does not exist.
    """
    named = explicit or (Path(environ["MAILBRIDGE_CONFIG"]) if environ.get("MAILBRIDGE_CONFIG") else None)
    if named is not None:
        shown = shortened(str(named)).strip("'\"") if len(str(named)) > LONGEST_PATH else str(named)
        try:
            is_folder, is_there = named.is_dir(), named.exists()
        except OSError as fault:
            raise ConfigError((Problem(where=shown, what=f"cannot be read: {fault.strerror}"),)) from None
        if is_folder:
            raise ConfigError((Problem(where=shown, what="is a folder; name the file in it"),))
        if not is_there:
            raise ConfigError((Problem(where=shown, what="no such file; name one with --config, or leave it out"),))
        return named
    here = cwd / "config" / "mailbridge.toml"
    places = (here, _base(environ, "XDG_CONFIG_HOME", ".config") / SYSTEM.name, SYSTEM)
    # Not Path.is_file, which raises if we may not look there: for us such a file does not exist.
    there = (place for place in places if os.path.isfile(place))  # noqa: PTH113
    return next((place for place in there if place != here or not is_blank(place)), None)


def new_file(environ: Mapping[str, str]) -> Path:
    """Where this user's configuration file belongs (XDG Base Directory Specification 0.8)."""
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "mailbridge.toml"


def state_folder(*, environ: Mapping[str, str], cwd: Path) -> Path:
    """Where the database is, unless the configuration names a place.

    In this order: ``state/`` in the working folder, if a database is in it (`make run` makes it there); the folder that systemd
    gives (``$STATE_DIRECTORY``, systemd.exec(5)); the user's folder for state (XDG Base Directory Specification 0.8).
    """
    here = cwd / "state"
    if os.path.isfile(here / DATABASE):  # noqa: PTH113
        return here
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(given) if given else _base(environ, "XDG_STATE_HOME", ".local/state")


def _base(environ: Mapping[str, str], variable: str, usual: str) -> Path:
    """Our folder in one of the user's base folders. A relative path in the variable is ignored, as the specification asks."""
    named = Path(environ.get(variable, ""))
    home = named if named.is_absolute() else Path(environ.get("HOME") or "/") / usual
    return home / "mailbridge"


def drop_ins(file: Path | None) -> tuple[Path, ...]:
    """The files of the folder ``conf.d`` next to the configuration file, by name. Empty without a configuration file.

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
