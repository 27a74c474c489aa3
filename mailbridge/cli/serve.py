"""`serve`: the daemon in the foreground, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, load_or_exit, load_quietly
from mailbridge.config.load import Loaded
from mailbridge.config.problems import ConfigError

if TYPE_CHECKING:
    from mailbridge.app import Bridge

log = logging.getLogger("mailbridge.serve")


@click.command()
@config_option
def serve(config: Path | None) -> None:
    """Listen on SMTP, understand what comes, push codes to Skyvern.

    TERM and INT finish what is in hand and exit 0, a second one exits at once; HUP reloads rules, recipients and certificates.
    """
    loaded = load_or_exit(config)
    raise SystemExit(run(_serve(loaded, config)))


def run(main: Coroutine[None, None, int]) -> int:
    """Run a coroutine on the fastest loop there is, and turn what a set-up can do wrong into a message and an exit code."""
    from mailbridge.core.rules import RuleError
    from mailbridge.net import ListenError
    from mailbridge.store import StoreError

    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    expected = (ListenError, StoreError, RuleError, ValueError)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)
    except (*expected, BaseExceptionGroup) as fault:
        leaves = _leaves(fault)
        if not all(isinstance(leaf, expected) for leaf in leaves):
            raise
        for leaf in leaves:
            for line in str(leaf).splitlines():
                click.echo(f"mailbridge: {line}", err=True)
        return max(leaf.exit_code if isinstance(leaf, ListenError) else Exit.CONFIG for leaf in leaves)
    except KeyboardInterrupt:
        return Exit.OK


def _leaves(group: BaseException) -> list[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        return [leaf for inner in group.exceptions for leaf in _leaves(inner)]
    return [group]


async def _serve(loaded: Loaded, config: Path | None) -> int:
    from mailbridge import logs, systemd
    from mailbridge.app import bridge, state_dir

    began = time.perf_counter()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold codes and keys
    settings = loaded.settings
    logs.configure(settings.log, sys.stderr)
    stop = asyncio.Event()
    hangup = asyncio.Event()
    _own_signals(stop, hangup)
    async with bridge(settings, state_dir=state_dir(settings), sockets=systemd.listen_sockets()) as running:
        log.info(
            "ready",
            extra={
                "smtp": ",".join(running.smtp_addresses),
                "http": running.http_address,
                "ms": round((time.perf_counter() - began) * 1000),
            },
        )
        _banner(running.smtp_addresses, running.http_address, running.practice_address, settings.domains.accept)
        systemd.notify(f"READY=1\nMAINPID={os.getpid()}")
        async with asyncio.TaskGroup() as group:
            chores = [group.create_task(_watchdog()), group.create_task(_reloads(running, hangup, config))]
            await stop.wait()
            systemd.notify("STOPPING=1")
            log.info("stopping: no new mail; what is in hand is finished")
            for chore in chores:
                chore.cancel()
    log.info("stopped")
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
    """HUP: take the new configuration as one, or keep the old and say why."""
    from mailbridge import systemd
    from mailbridge.core.rules import RuleError

    while True:
        await hangup.wait()
        hangup.clear()
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            await running.reload(load_quietly(config).settings)
        except (ConfigError, RuleError) as fault:
            for problem in fault.problems:
                log.error("reload refused, the old configuration stays: %s", problem)
        else:
            log.info("reloaded")
        systemd.notify("READY=1")


def _banner(smtp: tuple[str, ...], http: str, practice: str, domains: tuple[str, ...]) -> None:
    """Where to send the first mail: only to a person at a terminal."""
    if not sys.stderr.isatty() and "MAILBRIDGE_BANNER" not in os.environ:
        return
    rcpt = f"codes@{domains[0]}" if domains else "ADDRESS"
    first = smtp[0] if smtp else "no listener"
    lines = [
        "",
        f"  mailbridge takes mail on smtp://{first}   health and metrics on http://{http}",
    ]
    if practice:
        lines.append(f"  no Skyvern key is configured: codes go to the practice receiver on http://{practice}")
    lines += [
        "",
        "  Send the first mail, from another terminal:",
        "      mailbridge send-test",
        "  or, to see the wire:",
        f"      printf 'To: ann@example.com\\nSubject: Your code\\n\\nYour code is 482913\\n' | curl -sv smtp://{first} --mail-from a@example.com --mail-rcpt {rcpt} -T -",
        "",
    ]
    click.echo("\n".join(lines), err=True)
