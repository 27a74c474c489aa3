"""`delivery`: the outbox, and a second chance for what ended badly."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from mailbridge.cli import completing
from mailbridge.cli.client import client, fail
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.mail import became
from mailbridge.cli.options import config_option, json_option, moment
from mailbridge.cli.params import GREATEST, NUMBER, is_number
from mailbridge.cli.printing import Column, Row, Table, as_row, counted, dumped, local, sentence, visible
from mailbridge.operator import verbs
from mailbridge.operator.deliveries import DeliveryList, OneDelivery, Retry
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.mails import StateName
from mailbridge.operator.shapes import DeliveryShape

PAGE = 1_000

COLUMNS = (
    Column(title="NUMBER", width=6, is_right=True),
    Column(title="RECEIVED", width=19),
    Column(title="STATE", width=12),
    Column(title="FOR", width=32),
)
COLOURS = {"delivered": "green", "pending": "cyan", "in_flight": "cyan", "expired": "yellow", "dead": "red"}


@click.group(cls=Group)
def delivery() -> None:
    """List and show deliveries, retry dead ones."""


@delivery.command("list")
@config_option
@json_option
@click.option("--state", "states", multiple=True, type=click.Choice(get_args(StateName)), help="Only these.")
@click.option("--for", "identifier", default="", metavar="IDENTIFIER", help="Only of this identifier.")
@click.option(
    "--mail", type=click.IntRange(1, GREATEST), metavar="NUMBER", shell_complete=completing.mails, help="Only of this mail."
)
@click.option("--since", callback=moment, metavar="WHEN", help="Only received since: 2026-01-31T12:00:00Z, or 15m (ago).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
def list_deliveries(*, config: Path | None, as_json: bool, limit: int, **wish: Any) -> None:
    """List the newest deliveries and their states, without codes.

    `--state dead` shows the dead letters.
    """
    one = client(config)
    before: int | None = None
    left = limit
    table = Table(*COLUMNS)
    while left > 0:
        ask = DeliveryList(
            state=wish["states"],
            identifier=wish["identifier"],
            mail=wish["mail"],
            since=wish["since"],
            before=before,
            limit=min(left, PAGE),
        )
        page = one.do(verbs.DELIVERY_LIST, ask)
        for row in page.deliveries:
            if as_json:
                click.echo(dumped(as_row(row)))
            else:
                table.add(_row(row))
        left -= len(page.deliveries)
        before = page.next
        if before is None:
            break
    if not as_json:
        is_narrowed = any(wish.values())
        table.end("no delivery matches; `mailbridge delivery list` shows all" if is_narrowed else "nothing was sent yet")


@delivery.command("show")
@config_option
@json_option
@click.argument("number", type=NUMBER, shell_complete=completing.deliveries)
def show_delivery(*, config: Path | None, as_json: bool, number: int) -> None:
    """Show one delivery: its state, its history, and its mail."""
    if not is_number(number):
        fail(Fault(kind=Kind.NOT_FOUND, title=f"there is no delivery {number}; `mailbridge delivery list` lists them"))
    detail = client(config).do(verbs.DELIVERY_SHOW, OneDelivery(id=number))
    if as_json:
        click.echo(dumped(as_row(detail)))
        return
    click.echo(visible(became(detail)))
    if detail.of is not None:
        click.echo(visible(f"of mail {detail.of.id}, from {detail.of.from_ or '<>'}, received {local(detail.of.received_at)}"))
    for line in detail.history:
        click.echo(visible(f"{local(line.at)} {line.event}{f': {line.detail}' if line.detail else ''}"))


@delivery.command("retry")
@config_option
@json_option
@click.argument("numbers", type=NUMBER, shell_complete=completing.deliveries, nargs=-1)
@click.option("--state", "states", multiple=True, type=click.Choice(["dead", "expired"]), help="All that ended so.")
@click.option("--for", "identifier", default="", metavar="IDENTIFIER", help="With --state: only of this identifier.")
def retry(*, config: Path | None, as_json: bool, numbers: tuple[int, ...], states: tuple[str, ...], identifier: str) -> None:
    """Try dead or expired deliveries once more, by number or by state.

    For each identifier only the newest is retried, because an older code must not replace it.
    """
    if not numbers and not states:
        raise click.UsageError("name deliveries by their numbers, or --state dead")
    if any(not is_number(number) for number in numbers):
        fail(Fault(kind=Kind.NOT_FOUND, title="there is no such delivery; `mailbridge delivery list` lists them"))
    found = client(config).do(verbs.DELIVERY_RETRY, Retry(ids=numbers, state=states, identifier=identifier))  # type: ignore[arg-type]
    if as_json:
        click.echo(dumped(as_row(found)))
    else:
        for number in found.retried:
            click.echo(f"{number}: will be tried again")
        for one in found.refused:
            complain(f"{one.id}: {one.why}")
    if found.refused and (numbers or not found.retried):
        raise SystemExit(Exit.NOT_FOUND)


def _row(row: DeliveryShape) -> Row:
    how = f"{row.kind} → {row.target}, {counted(row.attempts, 'attempt')}, mail {row.mail}"
    why = f"{how}. {sentence(row.reason)}" if row.reason else how
    return Row(
        cells=[str(row.id), local(row.received_at), row.state, row.identifier],
        coloured=2,
        colour=COLOURS.get(row.state),
        details=[why],
    )
