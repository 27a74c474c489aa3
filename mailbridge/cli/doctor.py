"""`doctor`: everything that can be wrong, one line each, with what fixes it."""

from __future__ import annotations

import re
from pathlib import Path

import click
from msgspec import to_builtins

from mailbridge.cli.client import client
from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.printing import dumped, visible
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.shapes import Examined

MARKS = {"ok": "✓", "warning": "!", "failure": "✗", "unknown": "?"}
COLOURS = {"ok": "green", "warning": "yellow", "failure": "red", "unknown": None}
PRIVATE = re.compile(
    r"[^\s<>,;:()'\"]+@[^\s<>,;:()'\"]+|\b(?:\d{1,3}\.){3}\d{1,3}\b|\b[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){2,7}\b"
    r"|(?<![\w/.-])/(?:[\w.-]+/)*[\w.-]+|\b(?:[a-z0-9-]+\.)+[a-z]{2,}\b",
    re.IGNORECASE,
)
PUBLIC = re.compile(r"[\w.]+\.(?:toml|service|socket|md)|api\.skyvern\.com|(?:[\w-]+\.)*localhost", re.IGNORECASE)


@click.command()
@config_option
@json_option
@click.option("--report", is_flag=True, help="Leave out addresses, hosts and paths, to show the result to others.")
def doctor(*, config: Path | None, as_json: bool, report: bool) -> None:
    """Check everything that can be wrong, and name the fix.

    It asks mailboxes, DNS, port 25 and Skyvern. This takes some seconds. Exit 3 if something does not work.
    """
    found = client(config).do(verbs.DOCTOR, Nothing())
    plain = to_builtins(found)
    if report:
        plain = _without_names(plain)
    if as_json:
        click.echo(dumped(plain))
    else:
        _print(plain, found)
    raise SystemExit(Exit.DOCTOR if found.failures else Exit.OK)


def _print(plain: dict[str, list[dict[str, list[dict[str, str]]]]], found: Examined) -> None:
    for group in plain["groups"]:
        click.secho(str(group["name"]), bold=True)
        for one in group["findings"]:
            click.echo(f" {click.style(MARKS[one['level']], fg=COLOURS[one['level']])} {one['check']:13} {visible(one['text'])}")
            if one["hint"]:
                click.echo(f"                 → {visible(one['hint'])}")
    if found.failures or found.warnings:
        click.echo(f"{found.failures} to fix, {found.warnings} to look at")
    else:
        click.echo("nothing to fix")


def _without_names(row: object) -> dict[str, list[dict[str, list[dict[str, str]]]]]:
    """The same without private data: each address, host, number of a host and path becomes a placeholder, always the same one."""
    known: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        text = match.group()
        if PUBLIC.fullmatch(text):
            return text
        return known.setdefault(
            text.casefold(), f"<{'address' if '@' in text else 'path' if text[0] == '/' else 'host'} {len(known) + 1}>"
        )

    def walk(value: object) -> object:
        if isinstance(value, dict):
            return {key: walk(one) if key in ("groups", "findings", "text", "hint") else one for key, one in value.items()}
        if isinstance(value, list):
            return [walk(one) for one in value]
        return PRIVATE.sub(name, value) if isinstance(value, str) else value

    walked = walk(row)
    assert isinstance(walked, dict)
    return walked
