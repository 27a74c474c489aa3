"""Exit codes: sysexits(3) where it has one, and the few that scripts ask mailbridge for."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command tells the shell."""

    OK = 0
    GENERAL = 1
    USAGE = 2
    DOCTOR = 3
    NOT_FOUND = 4
    UNAVAILABLE = 69
    BUG = 70
    TRY_AGAIN = 75
    PERMISSION = 77
    CONFIG = 78
