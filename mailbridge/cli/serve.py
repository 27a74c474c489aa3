"""`serve`: the daemon in the foreground, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mailbridge import log_events
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain, tell
from mailbridge.cli.options import config_option, load_or_exit, load_quietly
from mailbridge.config.problems import ConfigError
from mailbridge.intake.launch import UNDERSTAND, Launched, launch

if TYPE_CHECKING:
    from mailbridge.app.daemon import Bridge
    from mailbridge.config.load import Loaded

log = logging.getLogger("mailbridge.serve")

GARBAGE = 20_000
"""Number of new objects after which the garbage collector runs; reading a mail makes some hundred."""

TO_THE_END = timedelta(seconds=15)
"""The longest stop after the listeners are closed: the 10 s of `app.engine.FLUSH`, and the time to close the rest."""

OWN_FILES = 256
"""What is open beside the connections of strangers: database, workers, mailboxes, targets."""


@click.command()
@config_option
def serve(config: Path | None) -> None:
    """Run the daemon: receive mail, find codes, push them to Skyvern.

    TERM and INT: finish what is in hand, then exit 0. A second one: exit at once. HUP: reload the configuration.
    """
    gc.disable()  # until everything is there (`_settle_memory`): what is loaded is no garbage, and to look through it takes 60 ms
    worker = launch(UNDERSTAND)  # it loads while the daemon does
    try:
        code = _run_daemon(load_or_exit(config), config, worker)
    finally:
        worker.discard()
    if code == Exit.INTERRUPTED:
        complain("interrupted before it was ready")
    raise SystemExit(code)


def _run_daemon(loaded: Loaded, config: Path | None, worker: Launched) -> int:
    from mailbridge import systemd
    from mailbridge.app.preparation import file_problems, listener_problems

    sockets = systemd.listen_sockets()
    found = [*file_problems(loaded.settings), *listener_problems(loaded.settings, handed=sockets)]
    if found:
        return tell(found)
    return run(_serve(loaded, config, sockets, worker), at_interrupt=Exit.INTERRUPTED)


def run(main: Coroutine[None, None, int], *, at_interrupt: int = Exit.OK) -> int:
    """Run a coroutine on the fastest loop there is, until it ends, or Ctrl-C or its own handler of a signal cancels it."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    try:
        with contextlib.suppress(ImportError):
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return at_interrupt
    finally:
        main.close()  # where it was interrupted before it began


def _open_files(wanted: int) -> None:
    """Take as many open files as the limits of connections add up to; shells hand out 1,024, which one stranger could use up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):  # macOS has another limit below the one that it tells
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning(
            "only %d files can be open at once, %d are wanted: raise the limit (LimitNOFILE=, ulimits)",
            most,
            wanted,
            extra={"event": log_events.FILES_LIMITED},
        )


def _settle_memory() -> None:
    """Exclude all objects that stay from garbage collection, which would check them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    gc.enable()


def _warn_of_stranger() -> None:
    """Warn if another package is installed over ours. This takes 15 ms, so it runs after the start."""
    from mailbridge.app.installed import stranger

    if (beside := stranger()) is not None:
        log.warning("%s", beside, extra={"event": log_events.CONFIG_WARNING})


async def _serve(loaded: Loaded, config: Path | None, sockets: Mapping[str, Sequence[socket.socket]], worker: Launched) -> int:
    from mailbridge import logs, systemd
    from mailbridge.app.daemon import bridge, state_dir
    from mailbridge.app.parts import PARTS
    from mailbridge.web.connection import BOUNDS

    began = time.perf_counter()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold codes and keys
    settings = loaded.settings
    log_formatter = logs.configure(settings.log, sys.stderr)
    _open_files(settings.smtp.max_connections + BOUNDS.connections + OWN_FILES)
    logs.adopt_unhandled()
    stop = asyncio.Event()
    hangup = asyncio.Event()
    _own_signals(stop, hangup)
    async with bridge(
        settings,
        state_dir=state_dir(settings),
        sockets=sockets,
        masks=log_formatter.masks,
        parts=replace(PARTS, worker=worker),
        reread=lambda: load_quietly(config).settings,
    ) as running:
        log.info(
            "ready",
            extra={
                "event": log_events.DAEMON_READY,
                "smtp": ",".join(running.smtp_addresses),
                "http": running.http_address,
                "practice": receiver.address if (receiver := running.engine.targets.receiver) is not None else "",
                "ms": round((time.perf_counter() - began) * 1000),
            },
        )
        await _banner(running, settings.domains.accept, config)
        _warn_of_stranger()
        _settle_memory()
        systemd.notify(f"READY=1\nMAINPID={os.getpid()}")
        async with asyncio.TaskGroup() as group:
            chores = [group.create_task(_watchdog()), group.create_task(_reloads(running, hangup, config))]
            await stop.wait()
            drain = running.settings.http.drain
            systemd.notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={(drain + TO_THE_END) // timedelta(microseconds=1)}")
            log.info(
                "stopping: %smails and pushes in progress are finished",
                f"no new mail after {drain.total_seconds():g} s; " if drain else "no new mail; ",
                extra={"event": log_events.DAEMON_STOPPING},
            )
            await running.leave()
            for chore in chores:
                chore.cancel()
    log.info("stopped", extra={"event": log_events.DAEMON_STOPPED})
    return Exit.OK


def _own_signals(stop: asyncio.Event, hangup: asyncio.Event) -> None:
    """The first TERM or INT asks, the second insists: everything accepted is on disk, so leaving at once loses nothing."""

    def ask() -> None:
        if stop.is_set():
            os._exit(Exit.GENERAL)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)


async def _watchdog() -> None:
    from mailbridge import systemd

    interval = systemd.watchdog_interval()
    while interval is not None:
        systemd.notify("WATCHDOG=1")
        await asyncio.sleep(interval.total_seconds())


async def _reloads(running: Bridge, hangup: asyncio.Event, config: Path | None) -> None:
    """HUP: use the new configuration completely, or keep the old one and log why."""
    from mailbridge import systemd

    while True:
        await hangup.wait()
        hangup.clear()
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        problems = await reload_running(running, config)
        for problem in problems:
            log.error("reload refused, the old configuration stays: %s", problem, extra={"event": log_events.RELOAD_REFUSED})
        if not problems:
            log.info("reloaded", extra={"event": log_events.RELOAD_DONE})
        systemd.notify("READY=1")


async def reload_running(running: Bridge, config: Path | None) -> Sequence[str]:
    """Read and use the configuration on disk. Returns what is wrong with it; then nothing has changed."""
    try:
        await running.reload(load_quietly(config).settings)
    except ConfigError as fault:
        return [str(problem) for problem in fault.problems]
    return []


async def _banner(running: Bridge, domains: tuple[str, ...], config: Path | None) -> None:
    """Print where to send the first mail and where to see it, only on a terminal. The login link is never logged."""
    if not sys.stderr.isatty() and "MAILBRIDGE_BANNER" not in os.environ:
        return
    rcpt = f"codes@{domains[0]}" if domains else "ADDRESS"
    first = next(iter(running.smtp_addresses), "no listener")
    lines = ["", f"  mailbridge takes mail on smtp://{first}   health and metrics on http://{running.http_address}"]
    if running.engine.targets.receiver is not None:
        lines.append(
            f"  no Skyvern key is configured: codes go to the practice receiver on http://{running.engine.targets.receiver.address}"
        )
    link = await _login_link(running)
    lines += [
        *(["", "  See it work (the link logs in one browser, within five minutes):", f"      {link}"] if link else []),
        "",
        "  Send the first mail, from another terminal in this folder:",
        f"      {_own_name()} send-test{f' --config {config}' if config is not None else ''}",
        "  or, to see the wire:",
        "      printf 'To: ann@example.com\\nSubject: Your code\\n\\nYour code is 482913\\n' \\",
        f"        | curl -sv --crlf smtp://{first} --mail-from a@example.com --mail-rcpt {rcpt} -T -",
        "",
    ]
    click.echo("\n".join(lines), err=True)


async def _login_link(running: Bridge) -> str:
    """A link to the page; "" if standard error is not a terminal."""
    from mailbridge.operator.faults import Fault
    from mailbridge.operator.sessions import Invite

    if not sys.stderr.isatty():
        return ""
    made = await running.operator.sessions.invite(Invite(), "serve")
    return "" if isinstance(made, Fault) else made.url


def _own_name() -> str:
    """The words that start this program: its name if the shell finds it, else its path from here."""
    own = Path(sys.argv[0])
    if own.name == "__main__.py":
        return f"{sys.executable} -m mailbridge"
    found = shutil.which(own.name)
    if found is not None and Path(found).resolve() == own.resolve():
        return own.name
    with contextlib.suppress(ValueError):
        return str(own.absolute().relative_to(Path.cwd()))
    return str(own.absolute())
