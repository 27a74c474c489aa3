"""Exit codes: those of sysexits(3), and a few that scripts need."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit code of a command."""

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
    INTERRUPTED = 130
    PIPE_CLOSED = 141

    @property
    def meaning(self) -> str:
        """What it says, for the table of the manual."""
        return MEANINGS[self]


MEANINGS = {
    Exit.OK: "the command did what it should",
    Exit.GENERAL: "it did not work, and the message says why: a test that failed, a mail that was refused, an entry that exists already",
    Exit.USAGE: "the command cannot be understood: an unknown word, or a value that it does not take",
    Exit.DOCTOR: "`doctor` or `skyvern check` found something that does not work",
    Exit.NOT_FOUND: "there is no such mail, delivery, code, file or entry, or no code came in time",
    Exit.UNAVAILABLE: "the daemon, the database, or another server does not answer",
    Exit.BUG: "a bug in mailbridge; please report the line that it prints",
    Exit.TRY_AGAIN: "try again later: the daemon is starting or stopping, or another command is working",
    Exit.PERMISSION: "this user does not have the permission",
    Exit.CONFIG: "the configuration, a rule or a file that it names has a mistake",
    Exit.INTERRUPTED: "ended by Ctrl-C",
    Exit.PIPE_CLOSED: "the reader of the output has closed it, as in `mailbridge mail list | head`",
}
