"""`notify`: notices to a person, added without a file and tried at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from mailbridge.cli import completing
from mailbridge.cli.client import client
from mailbridge.cli.entries import entries, origin_of
from mailbridge.cli.exits import Exit
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.printing import Column, Row, dumped, print_list, visible
from mailbridge.cli.secret import secret_of
from mailbridge.cli.target import tested_line
from mailbridge.config.receivers import NOTIFY_KEYS
from mailbridge.config.settings import NotifyKind
from mailbridge.core.happening import NEEDS_YOU
from mailbridge.operator import verbs
from mailbridge.operator.entries import AddEntry, OneEntry
from mailbridge.operator.targets import OneTarget

PATH = click.Path(path_type=Path)
KINDS = tuple(one for one in get_args(NotifyKind) if one != "http")
"""The kinds that can be added by command; a notice with its own template belongs in the file."""


@click.group("notify", cls=Group)
def notify_group() -> None:
    """Notices to a person: add, list, test, remove."""


@notify_group.command("add")
@click.argument("name")
@config_option
@json_option
@click.option("--kind", type=click.Choice(KINDS), required=True)
@click.option("--url-file", type=PATH, metavar="PATH", help="A file with its address; of Apprise several, one a line.")
@click.option("--topic-file", type=PATH, metavar="PATH", help="A file with the topic of ntfy.")
@click.option("--token-file", type=PATH, metavar="PATH", help="A file with the token of ntfy, Telegram or Gotify.")
@click.option("--chat", metavar="ID", help="The chat of Telegram.")
@click.option(
    "--event", "events", multiple=True, metavar="PATTERN", help="The events that it sends (default: what a person must look at)."
)
@click.option("--allow-private", is_flag=True, help="It may be on this machine or in a private network.")
def add_notice(*, name: str, config: Path | None, as_json: bool, kind: str, **more: Any) -> None:
    """Add NAME, a way to tell a person. It is in force at once; `mailbridge notify test NAME` tests it."""
    values: dict[str, Any] = {"name": name, "kind": kind}
    values |= {"chat": more["chat"]} if more["chat"] else {}
    values |= {"events": list(more["events"])} if more["events"] else {}
    values |= {"allow_private": True} if more["allow_private"] else {}
    secrets = {}
    for option, key in (("url_file", "urls" if kind == "apprise" else "url"), ("topic_file", "topic"), ("token_file", "token")):
        if more[option] is not None:
            secrets[key] = secret_of(more[option], prompt="").reveal()
    for key in (*values, *secrets):
        if key not in NOTIFY_KEYS[kind]:
            raise click.UsageError(f"{key} is not for --kind {kind}")
    client(config).do(verbs.ENTRY_ADD, AddEntry(kind="notify", name=name, settings=values, secrets=secrets))
    click.echo(dumped({"name": name, "kind": kind}) if as_json else visible(f"{name} is added"))


@notify_group.command("list")
@config_option
@json_option
def list_notices(*, config: Path | None, as_json: bool) -> None:
    """List every notice and its origin."""
    one = client(config)
    rows = []
    for entry in entries(one, "notify"):
        shown = {"name": entry.name, "kind": entry.settings["kind"], "events": list(entry.settings.get("events", NEEDS_YOU))}
        origin = origin_of(one, entry)
        row = Row(cells=[entry.name, str(shown["kind"])], details=[f"Tells {', '.join(shown['events'])}; {origin}."])
        rows.append((row, {**shown, "origin": origin}))
    print_list(rows, Column(title="NOTICE", width=30), Column(title="KIND", width=12), empty="nobody is told", as_json=as_json)


@notify_group.command("test")
@click.argument("name", shell_complete=completing.entries("notify"))
@config_option
@json_option
def test_notice(*, name: str, config: Path | None, as_json: bool) -> None:
    """Send a test by the notice NAME, and show the answer of the service.

    Exit 69 if it did not arrive, 4 if there is no such notice.
    """
    found = client(config).do(verbs.NOTIFY_TEST, OneTarget(name=name))
    told = {"name": name, "ok": found.ok, "text": found.text, "status": found.status, "answer": found.answer}
    click.echo(dumped(told) if as_json else tested_line(found))
    if not found.ok:
        raise SystemExit(Exit.UNAVAILABLE)


@notify_group.command("remove")
@config_option
@json_option
@click.argument("name", shell_complete=completing.entries("notify"))
def remove_notice(*, config: Path | None, as_json: bool, name: str) -> None:
    """Remove a notice that was added by command, and erase its secrets."""
    client(config).do(verbs.ENTRY_REMOVE, OneEntry(kind="notify", name=name))
    click.echo(dumped({"removed": name}) if as_json else visible(f"{name} is removed"))
