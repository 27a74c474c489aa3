"""How a command ends: what went wrong as one line a mistake, an exit code, and a traceback only where it is asked for.

Whoever reads our output may go at any time (``mailbridge mail list | head``): that is no fault, and is said by 141 alone, as the
shell says it of a program that SIGPIPE ended.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence

import click

from mailbridge.cli.exits import Exit
from mailbridge.config.problems import Problem

INTERRUPTED = 130
PIPE_CLOSED = 141
DEBUG = "MAILBRIDGE_DEBUG"
OF_THE_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE})
"""What a machine can run out of under any command."""


def ended(work: Callable[[], object]) -> int:
    """Do ``work`` and give its exit code. What it raises is told on stderr; a bug is exit 70 and where it happened."""
    try:
        code = work()
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.ClickException as refusal:
        refusal.show()
        return refusal.exit_code
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as fault:  # noqa: BLE001  (the end of the program)
        return _told(fault)
    return code if isinstance(code, int) else Exit.OK


def tell(problems: Iterable[Problem]) -> int:
    """Each mistake as a line on stderr. Returns their exit code."""
    told = list(problems)
    for problem in told:
        _say(str(problem))
    return exit_code(told)


def exit_code(problems: Sequence[Problem]) -> int:
    """78 for a bad configuration, 77 where nothing but permission is missing, 0 without a problem."""
    if not problems:
        return Exit.OK
    return Exit.PERMISSION if all(problem.is_permission for problem in problems) else Exit.CONFIG


def _told(fault: BaseException) -> int:
    leaves = _leaves(fault)
    if os.environ.get(DEBUG):
        traceback.print_exception(fault)
    if any(isinstance(leaf, BrokenPipeError) for leaf in leaves):
        return leave_quietly()
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return INTERRUPTED
    try:
        codes = [_code_of(leaf) for leaf in leaves]
    except ImportError:  # a broken installation: what could be foreseen cannot even be named
        codes = [_bug(leaf) for leaf in leaves]
    return max(codes, key=lambda code: (code == Exit.BUG, code))


def _leaves(fault: BaseException) -> list[BaseException]:
    if isinstance(fault, BaseExceptionGroup):
        return [leaf for inner in fault.exceptions for leaf in _leaves(inner)]
    return [fault]


def leave_quietly() -> int:
    """Nobody reads what we print: let the flush at the interpreter's end go nowhere, instead of failing once more."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    return PIPE_CLOSED


def _code_of(leaf: BaseException) -> int:
    """Tell one fault. What a set-up can do wrong has a class; everything else is a bug of ours."""
    from mailbridge.config.problems import ConfigError
    from mailbridge.core.rules import RuleError
    from mailbridge.net.listening import ListenError
    from mailbridge.store import StoreError, StoreUnavailable

    match leaf:
        case ConfigError():
            return tell(leaf.problems)
        case RuleError() | ListenError() | StoreError():
            for line in str(leaf).splitlines():
                _say(line)
            return leaf.exit_code if isinstance(leaf, ListenError) else Exit.CONFIG
        case StoreUnavailable():
            _say(str(leaf))
            return Exit.UNAVAILABLE
        case PermissionError() if leaf.filename is not None:
            _say(f"{leaf.filename}: {leaf.strerror}")
            return Exit.PERMISSION
        case OSError() if leaf.errno in OF_THE_MACHINE:
            _say(f"{leaf.filename or 'the output'}: {leaf.strerror}")
            leave_quietly()
            return Exit.GENERAL
        case _:
            return _bug(leaf)


def _bug(fault: BaseException) -> int:
    """Where it happened, without the words of the exception: they may hold what a mail held."""
    from mailbridge import __version__
    from mailbridge.logs import whereabouts

    _say(f"a bug in mailbridge {__version__}: {whereabouts(fault)}")
    if not os.environ.get(DEBUG):
        _say(f"{DEBUG}=1 shows the whole traceback, which may hold secrets; without it this line can be reported as it is")
    return Exit.BUG


def _say(line: str) -> None:
    click.echo(f"mailbridge: {line}", err=True)
