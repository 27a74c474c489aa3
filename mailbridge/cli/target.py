"""`target`: further places where codes go, added without a file and in force at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
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
from mailbridge.operator.shapes import TargetTest
from mailbridge.operator.targets import OneTarget
from mailbridge.sinks.signing import new_secret
from mailbridge.sinks.skyvern import endpoint

KINDS: tuple[str, ...] = get_args(TargetKind)
SHOWN = ("name", "kind", "base_url", "identifiers")
"""What `list` shows of a target; nothing of it is secret."""

PATH = click.Path(path_type=Path)
OF_KIND: Mapping[str, tuple[str, ...]] = {
    "source": ("skyvern",),
    "api_key_file": ("skyvern",),
    "include_code": ("webhook",),
    "events": ("webhook", "http"),
    "allow_private": ("webhook", "http"),
    "url_file": ("webhook", "http"),
    "headers_file": ("webhook", "http"),
    "secret_file": ("webhook", "http"),
    "template": ("http",),
}
"""For which kinds an option is."""

NAMES = {"events": "event"}

DEFAULTS: dict[str, Any] = {key: getattr(TargetSettings(name=""), key) for key in SHOWN}


@click.group("target", cls=Group)
def target_group() -> None:
    """Further receivers of codes: add, list, test, remove."""


@target_group.command("add")
@click.argument("name")
@config_option
@json_option
@click.option(
    "--for",
    "identifiers",
    multiple=True,
    required=True,
    metavar="PATTERN",
    help="The identifiers whose codes it gets; several allowed.",
)
@click.option("--kind", type=click.Choice(KINDS), default="skyvern", show_default=True)
@click.option("--url", metavar="URL", help="Its address (default: Skyvern's cloud).")
@click.option("--url-file", type=PATH, metavar="PATH", help="A file with the address of a webhook or an HTTP target.")
@click.option("--source", metavar="TEXT", help="What Skyvern shows as the code's source.")
@click.option("--event", "events", multiple=True, metavar="PATTERN", help="The events that a webhook gets; several allowed.")
@click.option("--include-code", is_flag=True, help="Send the code itself to a webhook.")
@click.option("--allow-private", is_flag=True, help="It may be on this machine or in a private network.")
@click.option("--template", type=PATH, metavar="PATH", help="A TOML file for kind http: method, and json, form or raw.")
@click.option("--headers-file", type=PATH, metavar="PATH", help="A file of headers, one a line.")
@click.option("--secret-file", type=PATH, metavar="PATH", help="A file with the webhook's secret (default: a new one).")
@click.option("--api-key-file", type=PATH, metavar="PATH", help="A file with Skyvern's key (default: asked for, or stdin).")
def add_target(
    *, name: str, config: Path | None, as_json: bool, identifiers: tuple[str, ...], kind: str, url: str | None, **more: Any
) -> None:
    """Add NAME, a receiver of the codes of these identifiers. It is in force at once.

    An identifier may hold * for any text. The codes that a Skyvern target lists no longer go to [skyvern]; a webhook or an HTTP target
    gets codes in addition to Skyvern. A webhook's new secret is printed once.
    """
    values: dict[str, Any] = {"name": name, "kind": kind, "identifiers": list(identifiers)}
    secrets: dict[str, str] = {}
    new = ""
    _only_for(kind, url, more)
    if kind == "skyvern":
        values |= {"source": more["source"]} if more["source"] is not None else {}
        values |= {"base_url": _checked(url)} if url is not None else {}
        secrets["api_key"] = secret_of(more["api_key_file"], prompt="API key").reveal()
    else:
        values |= {"events": list(more["events"])} if more["events"] else {}
        values |= {key: True for key in ("include_code", "allow_private") if more[key]}
        values |= _template(more["template"])
        secrets["url"] = url or secret_of(more["url_file"], prompt="").reveal()
        if more["headers_file"] is not None:
            secrets["headers"] = secret_of(more["headers_file"], prompt="").reveal()
        if more["secret_file"] is not None:
            secrets["secret"] = secret_of(more["secret_file"], prompt="").reveal()
        elif kind == "webhook":
            secrets["secret"] = new = new_secret().reveal()
    client(config).do(verbs.ENTRY_ADD, AddEntry(kind="target", name=name, settings=values, secrets=secrets))
    if as_json:
        told = {"name": name, "kind": kind, "identifiers": list(identifiers)}
        click.echo(dumped(told | ({"secret": new} if new else {})))
    else:
        click.echo(f"{name} is added" + (f"\nits secret, shown only now: {new}" if new else ""))


def _only_for(kind: str, url: str | None, more: Mapping[str, Any]) -> None:
    """A usage error for an option that belongs to another kind, and for one that is missing."""
    for option in (one for one, value in more.items() if value):
        if kind not in OF_KIND[option]:
            raise click.UsageError(f"--{NAMES.get(option, option.replace('_', '-'))} is not for --kind {kind}")
    if kind != "skyvern" and not url and more["url_file"] is None:
        raise click.UsageError(f"--kind {kind} needs --url or --url-file")
    if kind == "http" and more["template"] is None:
        raise click.UsageError("--kind http needs --template")


def _template(path: Path | None) -> dict[str, Any]:
    """What a template's file sets; a usage error where it cannot be read."""
    if path is None:
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise click.UsageError(f"--template: {fault}") from None
    foreign = found.keys() - {"method", "json", "form", "raw"}
    if foreign:
        raise click.UsageError(f"--template: {', '.join(sorted(foreign))}: only method, json, form and raw")
    return found


@target_group.command("list")
@config_option
@json_option
def list_targets(*, config: Path | None, as_json: bool) -> None:
    """List every target except [skyvern], and its origin."""
    one = client(config)
    rows = []
    for entry in entries(one, "target"):
        shown = {**DEFAULTS, **{key: entry.settings[key] for key in SHOWN if key in entry.settings}}
        origin = origin_of(one, entry)
        about = f"For {', '.join(shown['identifiers'])}; {origin}."
        shown["base_url"] = shown["base_url"] if shown["kind"] == "skyvern" else ""
        cells = [shown["name"], shown["kind"], shown["base_url"] or "(kept as a secret)"]
        rows.append((Row(cells=cells, details=[about]), {**shown, "origin": origin}))
    columns = (Column(title="TARGET", width=20), Column(title="KIND", width=10), Column(title="URL", width=40))
    print_list(rows, *columns, empty="there is no target beside [skyvern]", as_json=as_json)


@target_group.command("test")
@click.argument("name", shell_complete=completing.entries("target"))
@config_option
@json_option
def test_target(*, name: str, config: Path | None, as_json: bool) -> None:
    """Test whether the target NAME answers and accepts the key.

    No code is pushed. A webhook or an HTTP target gets an event of the type test, and its answer is shown. A disabled target that
    accepts the test is enabled again. Exit 69 if it does not accept it, 4 if there is no such target.
    """
    found = client(config).do(verbs.TARGET_TEST, OneTarget(name=name))
    if as_json:
        answered = {"status": found.status, "answer": found.answer} if found.status else {}
        click.echo(dumped({"name": name, "ok": found.ok, "text": found.text, **answered}))
    elif found.ok and not found.status:
        click.echo(f"ok   {name}: {found.url} takes the key")
    else:
        click.echo(tested_line(found))
    if not found.ok:
        raise SystemExit(Exit.UNAVAILABLE)


@target_group.command("remove")
@config_option
@json_option
@click.argument("name", shell_complete=completing.entries("target"))
def remove_target(*, config: Path | None, as_json: bool, name: str) -> None:
    """Remove a target that was added by command.

    Nothing more is sent to it, and its key is erased. Pushes under way are finished. Codes that still wait for it become dead
    letters; `mailbridge delivery retry` sends them if you add a target of that name again.
    """
    client(config).do(verbs.ENTRY_REMOVE, OneEntry(kind="target", name=name))
    click.echo(dumped({"removed": name}) if as_json else visible(f"{name} is removed"))


def tested_line(found: TargetTest) -> str:
    """What a receiver said to a test, in a line or two; its own text is shown with what cannot be seen made visible."""
    answered = f"it answered {found.status}" if found.status else "sent"
    said = f"ok   {found.name}: {answered}" if found.ok else f"FAIL {found.name}: {found.text}"
    return visible(said) + (f"\n     {visible(' '.join(found.answer.split())[:300])}" if found.answer.strip() else "")


def _checked(url: str) -> str:
    """The URL, if it is one that a sink can have as its base."""
    try:
        endpoint(url)
    except ValueError as fault:
        raise click.UsageError(f"--url: {fault}") from None
    return url
