"""`top`: what the daemon does, live: mails as they come, who waits for a code, mailboxes, and the outbox."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mailbridge.cli.client import Client, client, fail
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.params import Seconds
from mailbridge.cli.printing import as_row, dumped, local, visible
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.journal import TailAsk
from mailbridge.operator.shapes import Line, Status

if TYPE_CHECKING:
    from rich.console import Group as Blocks
    from rich.table import Table

FEED = 200
"""Lines of the journal that are kept to be shown."""

BESIDE = 14
"""Lines of a terminal that the blocks beside the feed take at least."""

LOOK_BACK = 50
"""Lines of the journal that are there at the beginning."""

COLOURS = {"delivered": "green", "dead": "red", "expired": "yellow", "held": "yellow", "stored": "cyan"}
WELL = {True: "[green]ok[/]", False: "[red]not well[/]"}


@click.command()
@config_option
@json_option
@click.option("--once", is_flag=True, help="Print it once and end, as it does when the output is not a terminal.")
@click.option("--every", type=Seconds(60), default=1.0, show_default=True, metavar="SECONDS", help="How often to update.")
def top(*, config: Path | None, as_json: bool, once: bool, every: float) -> None:
    """Show live what the daemon does, until Ctrl-C.

    Shows what happened to each mail, who waits for a code, the state of each mailbox, and the outbox. It shows no code.
    """
    one = client(config)
    if not one.is_daemon:
        fail(Fault(kind=Kind.NO_DAEMON, title="no daemon is running with this configuration; `mailbridge serve` starts it"))
    newest = one.do(verbs.JOURNAL_TAIL, TailAsk()).next
    seen = View(one, after=max(newest - LOOK_BACK, 0))
    is_once = once or not (sys.stdout.isatty() or as_json)
    if as_json:
        _as_json(seen, every, is_once=is_once)
    else:
        _shown(seen, every, is_once=is_once)


class View:
    """What is known of the daemon, brought up to date by `look`."""

    def __init__(self, one: Client, *, after: int) -> None:
        self._client = one
        self._after = after
        self.lines: deque[Line] = deque(maxlen=FEED)
        self.fresh: list[Line] = []
        self.status: Status | None = None
        self.waiting: list[dict[str, Any]] = []

    def look(self, patience: float) -> None:
        """Look again; ``patience``: seconds to wait for something to happen."""
        tail = self._client.do(verbs.JOURNAL_TAIL, TailAsk(after=self._after, timeout=patience))
        self._after, self.fresh = tail.next, list(tail.lines)
        self.lines += tail.lines
        self.status = self._client.do(verbs.STATUS, Nothing())
        self.waiting = self._client.get("/api/v1/waiting", {})["waiting"]


def _as_json(seen: View, every: float, *, is_once: bool) -> None:
    """One object a look."""
    patience = 0.0
    while True:
        seen.look(patience)
        row = {"status": as_row(seen.status), "waiting": seen.waiting, "lines": [as_row(one) for one in seen.fresh]}
        click.echo(dumped(row))
        if is_once:
            return
        patience = every


def _shown(seen: View, every: float, *, is_once: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    seen.look(0.0)
    if is_once:
        console.print(_blocks(seen, console.height))
        return
    with Live(_blocks(seen, console.height), console=console, screen=True, auto_refresh=False) as live:
        while True:
            began = time.monotonic()
            seen.look(every)
            live.update(_blocks(seen, console.height), refresh=True)
            time.sleep(max(0.0, min(0.1, every) - (time.monotonic() - began)))  # a flood of mails is no flood of pictures


def _blocks(seen: View, height: int) -> Blocks:
    """The whole picture."""
    from rich.console import Group as Blocks
    from rich.text import Text

    status = seen.status
    assert status is not None
    head = Text.assemble(
        (f"mailbridge {status.version}  ", "bold"),
        (status.level, "green" if status.level == "ready" else "yellow" if status.level == "degraded" else "red"),
        f"  {time.strftime('%H:%M:%S %Z')}  {'practice' if status.is_practice else ''}",
    )
    checks = [Text(f"  {name}: {visible(text)}", style="yellow") for name, text in status.checks.items()]
    mailboxes = _mailboxes(status) if status.mailboxes else None
    room = max(height - BESIDE - len(seen.waiting) - len(status.mailboxes) - len(checks), 5)
    blocks = [head, *checks, _outbox(status), _waiting(seen.waiting), mailboxes, _feed(list(seen.lines)[-room:])]
    return Blocks(*(one for one in blocks if one is not None))


def _table(title: str, *columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(*columns, title=title, title_justify="left", box=SIMPLE_HEAD, expand=True, pad_edge=False)


def _outbox(status: Status) -> Table:
    table = _table("Outbox", *status.outbox)
    table.add_row(*(str(number) for number in status.outbox.values()))
    return table


def _waiting(rows: list[dict[str, Any]]) -> Table:
    table = _table("Waiting for a code", "for", "since", "by", "who")
    for row in rows:
        table.add_row(_plain(row["identifier"]), local(row["since"]), _plain(row["way"]), _plain(row["who"] or "no ids"))
    if not rows:
        table.add_row("nobody", "", "", "")
    return table


def _mailboxes(status: Status) -> Table:
    table = _table("Mailboxes", "mailbox", "state", "mails", "reason")
    for row in status.mailboxes:
        table.add_row(_plain(row["mailbox"]), WELL[bool(row["is_well"])], str(row["mails"]), _plain(row["reason"] or ""))
    return table


def _feed(lines: list[Line]) -> Table:
    table = _table("What happened", "at", "mail", "what", "for")
    for line in lines:
        colour = COLOURS.get(line.event, "")
        about = f"{line.event}{f': {line.detail}' if line.detail else ''}"
        shown = f"[{colour}]{_plain(about)}[/]" if colour else _plain(about)
        table.add_row(local(line.at), str(line.mail), shown, _plain(", ".join(line.identifiers)))
    if not lines:
        table.add_row("", "", "nothing yet", "")
    return table


def _plain(text: str) -> str:
    """A stranger's words, which neither a terminal nor rich obeys."""
    from rich.markup import escape

    return escape(visible(text))
