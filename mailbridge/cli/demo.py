"""`demo`: the tour, in a folder of its own that is gone afterwards."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.printing import dumped, visible

if TYPE_CHECKING:
    from mailbridge.config.settings import Settings
    from mailbridge.demo.tour import Stop


USUAL = "127.0.0.1:2525"
TITLE, VALUE = 36, 40
"""Characters of a title and of a value on a line; a link is longer."""


@click.command()
@click.option("--once", is_flag=True, help="End after the example mails; else keep running, for your own mails.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a mail.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where to take mail (default: 127.0.0.1:2525; any free port if that one is used, and with --once).",
)
def demo(*, once: bool, as_json: bool, listen: str | None) -> None:
    """Send example mails over SMTP through a complete mailbridge to a receiver that behaves like Skyvern.

    Prints the result of each mail. Nothing leaves this machine. Exit 1 if a result is wrong.
    """
    from mailbridge.cli.serve import run

    with tempfile.TemporaryDirectory(prefix="mailbridge-demo-") as folder:
        address = listen or ("127.0.0.1:0" if once or not _is_free(USUAL) else USUAL)
        raise SystemExit(run(_demo(Path(folder), address, once=once, as_json=as_json)))


def _is_free(address: str) -> bool:
    """Whether the port is free; beside a running daemon the demo uses another port."""
    from mailbridge.net.listening import ListenError, bind

    try:
        bind(address).close()
    except ListenError:
        return False
    return True


def settings_of(folder: Path, address: str) -> Settings:
    """A complete mailbridge in a folder, with its practice receiver, that takes mail at this address."""
    from mailbridge.config import settings as s
    from mailbridge.demo.mails import HOME

    return s.Settings(
        smtp=s.SmtpSettings(listen=(address,)),
        domains=s.DomainSettings(accept=(HOME,)),
        practice=s.PracticeSettings(listen="127.0.0.1:0"),
        http=s.HttpSettings(listen="127.0.0.1:0"),
        store=s.StoreSettings(url=f"sqlite:///{folder}/mailbridge.db"),
    )


async def _demo(folder: Path, address: str, *, once: bool, as_json: bool) -> int:
    from mailbridge import logs
    from mailbridge.app.daemon import bridge
    from mailbridge.config import settings as s
    from mailbridge.demo.mails import HOME
    from mailbridge.demo.tour import Tour

    logs.configure(s.LogSettings(level="error", format="text"), sys.stderr)
    settings = settings_of(folder, address)
    is_good = True
    if (main := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    async with bridge(settings, state_dir=folder) as running:
        if not as_json:
            click.echo(f"mailbridge listens on smtp://{running.smtp_addresses[0]}; the practice receiver plays Skyvern.\n")
        tour = Tour(running)
        async for stop in tour.walk():
            is_good = is_good and stop.is_as_expected
            click.echo(dumped(stop.as_json()) if as_json else visible(_line(stop)))
        if not once:
            where = running.smtp_addresses[0]
            position = await tour.position()  # before the line that invites mails: one may come at once
            click.echo(f"\nStill listening on smtp://{where} for any address at {HOME}. Ctrl-C ends it.", err=True)
            async for stop in tour.visitors(position):
                click.echo(dumped(stop.as_json()) if as_json else visible(_line(stop)))
    return Exit.OK if is_good else Exit.GENERAL


def _line(stop: Stop) -> str:
    """One mail on one line: its title, what was found in it, for whom and by which rule, and how it ended."""
    head = f" {'✓' if stop.is_as_expected else '✗'} {_short(stop.title, TITLE):{TITLE}}  "
    if stop.state == "held":
        return f"{head}held, {stop.verdict}: {stop.reason}"
    latency = f"{stop.milliseconds} ms" if stop.milliseconds is not None else stop.reason or "not sent"
    tries = f", {stop.attempts} attempts" if stop.attempts > 1 else ""
    found = f"{stop.verdict} {_short(stop.code or '', VALUE)} → {stop.identifier} (rule {stop.rule})"
    return f"{head}{found}: {stop.state}{tries}, {latency}"


def _short(text: str, length: int) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= length else f"{plain[: length - 1]}…"
