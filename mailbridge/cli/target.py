"""`target`: further places where codes go, added without a file and in force at once."""

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
from mailbridge.config.settings import TargetKind, TargetSettings
from mailbridge.operator import verbs
from mailbridge.operator.entries import AddEntry, OneEntry
from mailbridge.operator.targets import OneTarget
from mailbridge.sinks.skyvern import endpoint

KINDS: tuple[str, ...] = get_args(TargetKind)
SHOWN = ("name", "kind", "base_url", "identifiers")
"""What `list` shows of a target; nothing of it is secret."""

DEFAULTS: dict[str, Any] = {key: getattr(TargetSettings(name=""), key) for key in SHOWN}


@click.group("target", cls=Group)
def target_group() -> None:
    """Further places where codes go: add, list, test, remove."""


@target_group.command("add")
@click.argument("name")
@config_option
@json_option
@click.option("--for", "identifiers", multiple=True, required=True, metavar="PATTERN", help="Whom it serves; several allowed.")
@click.option("--kind", type=click.Choice(KINDS), default="skyvern", show_default=True)
@click.option("--url", metavar="URL", help="Its base URL (default: Skyvern's cloud).")
@click.option("--source", metavar="TEXT", help="What Skyvern shows as the code's source.")
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A file with the API key (default: asked for, or stdin).",
)
def add_target(
    *,
    name: str,
    config: Path | None,
    as_json: bool,
    identifiers: tuple[str, ...],
    kind: str,
    url: str | None,
    source: str | None,
    api_key_file: Path | None,
) -> None:
    """Send codes of these identifiers to NAME from now on. It is in force at once.

    A pattern is an identifier, with * for any text. What a target lists no longer goes to [skyvern].
    """
    values: dict[str, Any] = {"name": name, "kind": kind, "identifiers": list(identifiers)}
    values |= {"source": source} if source is not None else {}
    values |= {"base_url": _checked(url)} if url is not None else {}
    secrets = {"api_key": secret_of(api_key_file, prompt="API key").reveal()}
    client(config).do(verbs.ENTRY_ADD, AddEntry(kind="target", name=name, settings=values, secrets=secrets))
    click.echo(dumped({"name": name, "kind": kind, "identifiers": list(identifiers)}) if as_json else f"{name} is added")


@target_group.command("list")
@config_option
@json_option
def list_targets(*, config: Path | None, as_json: bool) -> None:
    """Every target beside [skyvern], and where it is from."""
    one = client(config)
    rows = []
    for entry in entries(one, "target"):
        shown = {**DEFAULTS, **{key: entry.settings[key] for key in SHOWN if key in entry.settings}}
        origin = origin_of(one, entry)
        about = f"For {', '.join(shown['identifiers'])}; {origin}."
        cells = [shown["name"], shown["kind"], shown["base_url"]]
        rows.append((Row(cells=cells, details=[about]), {**shown, "origin": origin}))
    columns = (Column(title="TARGET", width=20), Column(title="KIND", width=10), Column(title="URL", width=40))
    print_list(rows, *columns, empty="there is no target beside [skyvern]", as_json=as_json)


@target_group.command("test")
@click.argument("name", shell_complete=completing.entries("target"))
@config_option
@json_option
def test_target(*, name: str, config: Path | None, as_json: bool) -> None:
    """Ask the target NAME whether it takes the key.

    Nothing is pushed. Exit 69 where it does not take it, 4 where there is no such target.
    """
    found = client(config).do(verbs.TARGET_TEST, OneTarget(name=name))
    if as_json:
        click.echo(dumped({"name": name, "ok": found.ok, "text": found.text}))
    elif found.ok:
        click.echo(f"ok   {name}: {found.url} takes the key")
    else:
        click.echo(f"FAIL {name}: {found.text}")
    if not found.ok:
        raise SystemExit(Exit.UNAVAILABLE)


@target_group.command("remove")
@config_option
@json_option
@click.argument("name", shell_complete=completing.entries("target"))
def remove_target(*, config: Path | None, as_json: bool, name: str) -> None:
    """Remove a target that was added by command.

    Nothing more is sent to it, and its key is erased. What is on its way is finished; codes that still wait for it become dead
    letters: `mailbridge delivery retry` sends them once a target of that name is there again.
    """
    client(config).do(verbs.ENTRY_REMOVE, OneEntry(kind="target", name=name))
    click.echo(dumped({"removed": name}) if as_json else visible(f"{name} is removed"))


def _checked(url: str) -> str:
    """The URL, if it is one that a sink can have as its base."""
    try:
        endpoint(url)
    except ValueError as fault:
        raise click.UsageError(f"--url: {fault}") from None
    return url
