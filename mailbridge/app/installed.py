"""Whether another package is installed over ours: both are imported as ``mailbridge``, so they share one folder."""

from __future__ import annotations

from importlib import metadata

OURS = "mailbridge-2fa"


def stranger() -> str | None:
    """What stands beside us and how to part the two; None where there is nothing.

    The name ``mailbridge`` on the package index belongs to a library that sends mail. Whichever of the two is installed later
    replaces files of the other. The distribution of release 0.1 had that name too, and is told apart by its command.
    """
    try:
        beside = metadata.distribution("mailbridge")
    except metadata.PackageNotFoundError:
        return None
    is_own_old_name = any(one.value == "mailbridge.cli:main" for one in beside.entry_points)
    what = "an older release of this program" if is_own_old_name else "somebody else's library"
    return (
        f"the package mailbridge {beside.version} ({what}) is installed in the same environment and shares our files: "
        f"uninstall mailbridge and {OURS} there, then install {OURS} again, alone"
    )
