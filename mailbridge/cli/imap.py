"""`imap`: the watched mailboxes: added, removed, listed, tried, and how the daemon sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mailbridge.cli import completing
from mailbridge.cli.client import client, fail
from mailbridge.cli.entries import entries, origin_of
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.imap_add import add_mailbox
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.params import Seconds
from mailbridge.cli.printing import Column, Row, as_row, dumped, print_list, visible
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.mailboxes import OneMailbox, TryMailbox


@click.group(cls=Group)
def imap() -> None:
    """Watched mailboxes: add, list, test, status, remove."""


@imap.command()
@config_option
@json_option
def status(*, config: Path | None, as_json: bool) -> None:
    """Show the state of every watched mailbox and canary.

    Exit 1 if a mailbox does not work, 69 if no daemon is running.
    """
    rows = client(config).do(verbs.STATUS, Nothing()).mailboxes
    canaries = _canaries(rows)
    for row in rows if as_json else ():
        click.echo(dumped(as_row(row)))
    if not rows and not as_json:
        click.echo("no mailbox is watched; `mailbridge imap add ADDRESS` adds one")
    for row in () if as_json else rows:
        mark = "ok  " if row["is_well"] else "FAIL"
        if row["watched_by"] is not None:
            by = f"watched by {row['watched_by']}, " if row["watched_by"] else ""
            click.echo(visible(f"{mark} {row['mailbox']:30} {row['mode']:10} {by}{row['mails']} mails"))
        else:
            click.echo(_line(mark, row))
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
@click.option("--canary", is_flag=True, help="Send a mail to the mailbox itself, and wait until it arrives.")
@config_option
@json_option
def test(*, name: str, idle: float, canary: bool, config: Path | None, as_json: bool) -> None:
    """Test the account NAME and say what is wrong.

    It logs in, opens the watched folders, fetches one mail and waits in IDLE. Exit 69 on a failure.
    """
    from mailbridge.ingress.imap.probe import probe
    from mailbridge.ingress.imap.trial import trial
    from mailbridge.ingress.imap.vault import open_vault
    from mailbridge.store import StoreError

    one = client(config)
    account = next((box for box in one.loaded.settings.imap if box.label == name), None)
    if account is None:
        if not one.is_daemon and not one.has_database:
            known = ", ".join(box.label for box in one.loaded.settings.imap)
            hint = f"there is {known}" if known else "none is configured; `mailbridge imap add ADDRESS` adds one"
            fail(Fault(kind=Kind.NOT_FOUND, title=f"no account is called {name!r}; {hint}"))
        found = one.do(verbs.MAILBOX_TEST, TryMailbox(name=name, idle=idle, canary=canary))
        for step in found.steps:
            _tell(step.step, step.ok, step.text, as_json=as_json)
        raise SystemExit(Exit.OK if found.ok else Exit.UNAVAILABLE)
    try:
        vault = open_vault(one.loaded.settings.store) if account.oauth is not None else None
    except StoreError as fault:
        complain(f"{fault}")
        raise SystemExit(Exit.CONFIG) from None
    is_good = True
    for finding in probe(account, vault, idle_for=idle, then=trial if canary else None):
        is_good = is_good and finding.is_good
        _tell(finding.step, finding.is_good, finding.text, as_json=as_json)
    if not is_good:
        raise SystemExit(Exit.UNAVAILABLE)


@imap.command("list")
@config_option
@json_option
def list_mailboxes(*, config: Path | None, as_json: bool) -> None:
    """List every account that is watched, and its origin."""
    one = client(config)
    rows = []
    for entry in entries(one, "imap"):
        values = entry.settings
        username, server = values.get("username", ""), values.get("host") or values.get("preset") or ""
        folders, origin = values.get("folders", ["INBOX"]), origin_of(one, entry)
        shown = {"name": entry.name, "username": username, "server": server, "folders": folders, "origin": origin}
        rows.append((Row(cells=[entry.name, str(username), str(server)], details=[f"{', '.join(folders)}; {origin}."]), shown))
    columns = (Column(title="NAME", width=20), Column(title="USERNAME", width=32), Column(title="SERVER", width=24))
    print_list(rows, *columns, empty="no mailbox is watched: `mailbridge imap add ADDRESS` adds one", as_json=as_json)


@imap.command("remove")
@click.argument("name", shell_complete=completing.accounts)
@config_option
@json_option
def remove_mailbox(*, name: str, config: Path | None, as_json: bool) -> None:
    """Stop watching a mailbox that was added by command.

    Its secret is erased. NAME is its name or its address.
    """
    client(config).do(verbs.MAILBOX_REMOVE, OneMailbox(name=name))
    click.echo(dumped({"removed": name}) if as_json else visible(f"{name} is removed"))


imap.add_command(add_mailbox)


def _tell(step: str, is_good: bool, text: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(dumped({"step": step, "ok": is_good, "text": text}))
    else:
        click.echo(visible(f"{'ok  ' if is_good else 'FAIL'} {step}: {text}"))


def _line(mark: str, row: dict[str, Any]) -> str:
    """A mailbox that the daemon watches itself."""
    return (
        f"{mark} {row['mailbox']:30} {row['mode']:10} answered {_ago(row['last_roundtrip']):>10}, last mail {_ago(row['last_mail']):>10},"
        f" {row['mails']} mails, {row['reconnects']} reconnects"
    )


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
