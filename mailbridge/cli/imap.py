"""`imap`: how the watched mailboxes are, live from the daemon, and a try of one account without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mailbridge.cli import completing
from mailbridge.cli.client import client
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option, load_or_exit
from mailbridge.cli.params import Seconds
from mailbridge.cli.printing import as_row, dumped
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing


@click.group(cls=Group)
def imap() -> None:
    """Watched mailboxes: how they are, and whether an account works."""


@imap.command()
@config_option
@json_option
def status(*, config: Path | None, as_json: bool) -> None:
    """Every watched mailbox, and canary, as the daemon sees it now.

    Exit 1 if one is not well, 69 if no daemon is running.
    """
    rows = client(config).do(verbs.STATUS, Nothing()).mailboxes
    canaries = _canaries(rows)
    for row in rows if as_json else ():
        click.echo(dumped(as_row(row)))
    if not rows and not as_json:
        click.echo("no mailbox is watched: the configuration has no [[imap]]")
    for row in () if as_json else rows:
        mark = "ok  " if row["is_well"] else "FAIL"
        click.echo(
            f"{mark} {row['mailbox']:30} {row['mode']:10} answered {_ago(row['last_roundtrip']):>10}, last mail {_ago(row['last_mail']):>10},"
            f" {row['mails']} mails, {row['reconnects']} reconnects"
        )
        for text in (row["reason"], *row.get("notes", ())):
            if text:
                click.echo(f"     {text}")
    for name, canary in () if as_json else canaries.items():
        mark = "ok  " if canary["is_well"] else "FAIL"
        took = "" if canary["latency"] is None else f", took {canary['latency']:.1f} s"
        click.echo(f"{mark} {name + ' canary':30} arrived {_ago(canary['seen'])}{took}")
        if canary["reason"]:
            click.echo(f"     {canary['reason']}")
    if not all(row["is_well"] for row in (*rows, *canaries.values())):
        raise SystemExit(Exit.GENERAL)


@imap.command()
@click.argument("name", shell_complete=completing.accounts)
@click.option("--idle", type=Seconds(600), default=2.0, show_default=True, metavar="SECONDS", help="How long to wait in IDLE.")
@click.option("--canary", is_flag=True, help="Send a mail to the mailbox itself, and see it arrive.")
@config_option
@json_option
def test(*, name: str, idle: float, canary: bool, config: Path | None, as_json: bool) -> None:
    """Try the account NAME and say what is wrong.

    Logs in, lists the folders, opens the watched ones and waits in IDLE. Exit 69 on a failure.
    """
    from mailbridge.ingress.imap.probe import probe
    from mailbridge.ingress.imap.trial import trial
    from mailbridge.ingress.imap.vault import open_vault
    from mailbridge.store import StoreError

    settings = load_or_exit(config).settings
    account = next((one for one in settings.imap if one.label == name), None)
    if account is None:
        known = ", ".join(one.label for one in settings.imap) or "none is configured"
        complain(f"no account is called {name!r}; there is {known}")
        raise SystemExit(Exit.NOT_FOUND)
    try:
        vault = open_vault(settings.store) if account.oauth is not None else None
    except StoreError as fault:
        complain(f"{fault}")
        raise SystemExit(Exit.CONFIG) from None
    is_good = True
    for finding in probe(account, vault, idle_for=idle, then=trial if canary else None):
        is_good = is_good and finding.is_good
        if as_json:
            click.echo(dumped({"step": finding.step, "ok": finding.is_good, "text": finding.text}))
        else:
            click.echo(f"{'ok  ' if finding.is_good else 'FAIL'} {finding.step}: {finding.text}")
    if not is_good:
        raise SystemExit(Exit.UNAVAILABLE)


def _canaries(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each account's canary once, by the account's name."""
    return {row["mailbox"].partition("/")[0]: row["canary"] for row in rows if row.get("canary")}


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for limit, unit, divisor in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit} ago"
    return f"{seconds / 86_400:.0f} d ago"
