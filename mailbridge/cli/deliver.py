"""`deliver`: the outbox, and a second chance for what ended badly."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.printing import dumped, visible
from mailbridge.cli.stored import visit
from mailbridge.core.delivery import Delivery, State
from mailbridge.store import Filter, Store


@click.group()
def deliver() -> None:
    """List deliveries, retry dead ones."""


@deliver.command("list")
@config_option
@json_option
@click.option("--state", "states", multiple=True, type=click.Choice([str(state) for state in State]), help="Only these.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
def list_deliveries(*, config: Path | None, as_json: bool, states: tuple[str, ...], limit: int) -> None:
    """The newest deliveries and where they stand; never their codes. `--state dead` shows the dead letters."""
    wanted = Filter(states=tuple(State(state) for state in states))
    rows = visit(config, lambda store: store.outbox.deliveries(wanted, limit=limit))
    for row in rows:
        click.echo(dumped(_as_dict(row)) if as_json else visible(_line(row)))


@deliver.command("retry")
@config_option
@click.argument("numbers", type=int, nargs=-1, required=True)
def retry(*, config: Path | None, numbers: tuple[int, ...]) -> None:
    """Try dead or expired deliveries once more; the running daemon takes them up within two seconds."""
    is_refused = False
    for number in numbers:
        if visit(config, partial(_retried, number)):
            click.echo(f"{number}: will be tried again")
        else:
            is_refused = True
            click.echo(f"{number}: neither dead nor expired, its code is erased, or a newer one would be undone by it", err=True)
    if is_refused:
        raise SystemExit(Exit.NOT_FOUND)


async def _retried(number: int, store: Store) -> bool:
    return await store.outbox.retry(number)


def _as_dict(row: Delivery) -> dict[str, object]:
    return {
        "id": row.id,
        "state": str(row.state),
        "target": row.draft.target,
        "identifier": row.draft.identifier,
        "kind": row.draft.kind,
        "attempts": row.attempts,
        "rule": row.rule,
        "received_at": row.received_at.isoformat().replace("+00:00", "Z"),
        "deadline": row.deadline.isoformat().replace("+00:00", "Z"),
        "reason": row.reason,
    }


def _line(row: Delivery) -> str:
    at = row.received_at.astimezone().strftime("%d %b %H:%M:%S")
    tries = f"{row.attempts} attempt{'s' if row.attempts != 1 else ''}"
    return f"{row.id:>6}  {at}  {row.state:10} {row.draft.kind:5} {row.draft.identifier:32} → {row.draft.target}, {tries}  {row.reason}"
