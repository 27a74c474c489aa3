"""`gmail`: the question that Gmail asks before it forwards here, and the answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option
from mailbridge.cli.stored import visit
from mailbridge.core.secret import Secret
from mailbridge.store import MailRow

SEARCHED = 500
"""Newest mails among which a confirmation is looked for."""


@click.group()
def gmail() -> None:
    """Say yes to Gmail's forwarding confirmation."""


@gmail.command("confirm")
@config_option
@click.argument("number", type=int, required=False)
@click.option("--print", "is_printed", is_flag=True, help="Only print the link, to open it yourself.")
def confirm(*, config: Path | None, number: int | None, is_printed: bool) -> None:
    """Allow the forwarding that the newest confirmation (or mail NUMBER) asks for. Look first whose account it is.

    Only a confirmation that google.com has signed has a link here, and nothing but Google's own page is opened. Exit 4: there is
    none that waits; 69: Google's page did not do what it should.
    """
    row = _chosen(config, number)
    if row is None or row.confirm_link is None:
        held = f": {row.held[0]}" if row is not None and row.held else ""
        click.echo(f"mailbridge: no confirmation with a link{held}; `mailbridge mail list` shows what came", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    click.echo(row.reason)
    if is_printed:
        click.echo(row.confirm_link)
        return
    why = asyncio.run(_confirmed(Secret(row.confirm_link)))
    if why:
        click.echo(f"mailbridge: not confirmed: {why}", err=True)
        raise SystemExit(Exit.UNAVAILABLE)
    click.echo("confirmed: Gmail may forward here now; choose the address in Gmail's settings, or in a filter")


def _chosen(config: Path | None, number: int | None) -> MailRow | None:
    if number is not None:
        return visit(config, lambda store: store.mail(number))
    rows = visit(config, lambda store: store.mails(limit=SEARCHED))
    asked = [row for row in rows if row.verdict == "confirmation"]
    return next((row for row in asked if row.confirm_link is not None), asked[0] if asked else None)


async def _confirmed(link: Secret) -> str:
    """Why it did not work; ``""`` where it did."""
    from mailbridge.trust.gmail import Confirmed, browser
    from mailbridge.trust.gmail import confirm as confirm_at_google

    async with browser() as client:
        answer = await confirm_at_google(link, client)
    return "" if isinstance(answer, Confirmed) else answer.why
