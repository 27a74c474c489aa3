"""`why`: why no code came for somebody, the likeliest cause first, each with what fixes it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from mailbridge.cli import completing
from mailbridge.cli.client import client
from mailbridge.cli.options import config_option, json_option, moment
from mailbridge.cli.printing import as_row, dumped, local, visible
from mailbridge.operator import verbs
from mailbridge.operator.why import WhyAsk


@click.command()
@config_option
@json_option
@click.argument("identifier", shell_complete=completing.identifiers)
@click.option("--since", callback=moment, metavar="WHEN", help="Look at the time since then: 2026-01-31T12:00:00Z, or 15m (ago).")
def why(*, config: Path | None, as_json: bool, identifier: str, since: datetime | None) -> None:
    """Say why no code came for IDENTIFIER.

    Without --since it looks at the time since somebody began to wait for it, or at the last hour. A certain cause is in the records.
    A possible cause is something that is wrong now and would have this effect.
    """
    found = client(config).do(verbs.WHY, WhyAsk(identifier=identifier, since=since))
    if as_json:
        click.echo(dumped(as_row(found)))
        return
    awaited = ", somebody waits for a code" if found.is_waited_for else ""
    click.echo(visible(f"{found.identifier}{awaited}, since {local(found.since)}:"))
    for number, cause in enumerate(found.causes, start=1):
        sure = "" if cause.certainty == "certain" else f" ({cause.certainty})"
        click.echo(visible(f"{number}. {cause.text}{sure}"))
        if cause.hint:
            click.echo(visible(f"   → {cause.hint}"))
