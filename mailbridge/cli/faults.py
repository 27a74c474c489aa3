"""How a command ends: what went wrong as one line a mistake, an exit code, and a traceback only where it is asked for.

Whoever reads our output may go at any time (``mailbridge mail list | head``): that is no fault, and is said by 141 alone, as the
shell says it of a program that SIGPIPE ended.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import click

from mailbridge.cli.exits import Exit
from mailbridge.config.problems import Problem

DEBUG = "MAILBRIDGE_DEBUG"
LONGEST = 300
"""Characters of a message about what was typed."""

AS_JSON: ContextVar[bool] = ContextVar("AS_JSON", default=False)
"""Whether the command that runs was asked for JSON: errors are JSON too then."""

OF_A_NAME = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP})
"""What can be wrong with the name of a file."""

OF_THE_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE})
"""What a machine can run out of under any command."""


def ended(work: Callable[[], object]) -> int:
    """Run ``work`` and return its exit code. An exception is reported on stderr; a bug exits with 70 and says where it
    happened."""
    try:
        code = work()
    except click.exceptions.Abort:
        complain("interrupted")
        return Exit.INTERRUPTED
    except click.ClickException as refusal:
        complain(_usage(refusal))
        return refusal.exit_code
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as fault:  # noqa: BLE001  (the end of the program)
        return _told(fault)
    return code if isinstance(code, int) else Exit.OK


def tell(problems: Iterable[Problem]) -> int:
    """Print each mistake as a line on stderr. Returns the exit code."""
    told = list(problems)
    for problem in told:
        complain(str(problem))
    return exit_code(told)


def exit_code(problems: Sequence[Problem]) -> int:
    """78 for a bad configuration, 77 if only a permission is missing, 0 without a problem."""
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
        complain("interrupted")
        return Exit.INTERRUPTED
    try:
        codes = [_code_of(leaf) for leaf in leaves]
    except ImportError:  # a broken installation: what could be foreseen cannot even be named
        codes = [_bug(leaf) for leaf in leaves]
    return max(codes, key=lambda code: (code == Exit.BUG, code))


def _leaves(fault: BaseException) -> list[BaseException]:
    if isinstance(fault, BaseExceptionGroup):
        return [leaf for inner in fault.exceptions for leaf in _leaves(inner)]
    return [fault]


@contextmanager
def alone_on_the_store() -> Iterator[None]:
    """For a command that uses the database itself: exit 75 while another process has it, 69 if it cannot be used."""
    from mailbridge.store import StoreError, StoreInUse

    try:
        yield
    except StoreError as fault:
        complain(str(fault))
        raise SystemExit(Exit.TRY_AGAIN if isinstance(fault, StoreInUse) else Exit.UNAVAILABLE) from None


def leave_quietly() -> int:
    """Nobody reads what we print: let the flush at the interpreter's end go nowhere, instead of failing once more."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    return Exit.PIPE_CLOSED


def _code_of(leaf: BaseException) -> int:
    """Tell one fault. What a set-up can do wrong has a class; everything else is a bug of ours."""
    from mailbridge.config.problems import ConfigError
    from mailbridge.core.rule_error import RuleError
    from mailbridge.net.listening import ListenError
    from mailbridge.store import StoreError, StoreUnavailable

    match leaf:
        case ConfigError():
            return tell(leaf.problems)
        case RuleError() | ListenError() | StoreError():
            for line in str(leaf).splitlines():
                complain(line)
            return leaf.exit_code if isinstance(leaf, ListenError) else Exit.CONFIG
        case StoreUnavailable():
            complain(str(leaf))
            return Exit.UNAVAILABLE
        case PermissionError() if leaf.filename is not None:
            complain(f"{leaf.filename}: {leaf.strerror}")
            return Exit.PERMISSION
        case OSError() if leaf.errno in OF_A_NAME and leaf.filename is not None:
            complain(f"{str(leaf.filename)[:LONGEST]}: {leaf.strerror}")
            return Exit.NOT_FOUND
        case OSError() if leaf.errno in OF_THE_MACHINE:
            complain(f"{leaf.filename or 'the output'}: {leaf.strerror}")
            leave_quietly()
            return Exit.GENERAL
        case _:
            return _bug(leaf)


def _bug(fault: BaseException) -> int:
    """Where it happened, without the message of the exception, which may contain a mail's text."""
    from mailbridge import __version__
    from mailbridge.logs import whereabouts

    complain(f"a bug in mailbridge {__version__}: {whereabouts(fault)}")
    if not os.environ.get(DEBUG):
        complain(f"{DEBUG}=1 shows the whole traceback, which may hold secrets; without it this line can be reported as it is")
    return Exit.BUG


def _usage(refusal: click.ClickException) -> str:
    """Report what click refuses, on one line, with the command that shows the help."""
    text = " ".join(refusal.format_message().split())
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    context = refusal.ctx if isinstance(refusal, click.UsageError) else None
    if context is None:
        return text
    return f"{text.rstrip('.')}; see `{context.command_path} --help`"


def complain(line: str, **more: object) -> None:
    """Print an error on stderr: a line, or with ``--json`` an object with ``error`` and ``more``."""
    _say("error", line, more)


def note(line: str) -> None:
    """Print a remark on stderr: a line, or with ``--json`` an object with ``note``."""
    _say("note", line, {})


def _say(kind: str, line: str, more: Mapping[str, object]) -> None:
    from mailbridge.cli.printing import dumped, visible  # which takes 40 ms, for what is seldom said

    if AS_JSON.get():
        click.echo(dumped({kind: line, **more}), err=True)
    else:
        click.echo(f"mailbridge: {visible(line)}", err=True)
