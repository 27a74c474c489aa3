"""`ingest`: the services that may post mail here, as `setup` added them."""

from __future__ import annotations

from pathlib import Path

import click

from mailbridge.cli import completing
from mailbridge.cli.client import client
from mailbridge.cli.entries import entries, origin_of
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.printing import Column, Row, dumped, print_list, sentence, visible
from mailbridge.config.added import INGEST
from mailbridge.operator import verbs
from mailbridge.operator.entries import OneEntry


@click.group("ingest", cls=Group)
def ingest_group() -> None:
    """Services that post mail over HTTP, as `mailbridge setup` adds them."""


@ingest_group.command("list")
@config_option
@json_option
def list_services(*, config: Path | None, as_json: bool) -> None:
    """List every service whose key or password setup added.

    `mailbridge config show` lists what is in [ingest] of the file.
    """
    one = client(config)
    rows = []
    for entry in entries(one, INGEST):
        origin = origin_of(one, entry)
        keys = [*entry.settings, *entry.secrets]
        details = [sentence(origin)]
        rows.append(
            (Row(cells=[entry.name, ", ".join(keys)], details=details), {"name": entry.name, "keys": keys, "origin": origin})
        )
    columns = (Column(title="SERVICE", width=16), Column(title="KEYS", width=32))
    print_list(rows, *columns, empty="no service was added by setup", as_json=as_json)


@ingest_group.command("remove")
@config_option
@json_option
@click.argument("name", shell_complete=completing.entries(INGEST))
def remove_service(*, config: Path | None, as_json: bool, name: str) -> None:
    """Remove the service NAME and erase its secret: its posts are refused at once."""
    client(config).do(verbs.ENTRY_REMOVE, OneEntry(kind=INGEST, name=name))
    click.echo(dumped({"removed": name}) if as_json else visible(f"{name} is removed"))
