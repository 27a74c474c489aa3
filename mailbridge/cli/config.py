"""`check-config`, `config` and `address`: what the operator configured, and whether it can work."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import exit_code, tell
from mailbridge.cli.options import config_option, json_option, load_or_exit, load_quietly
from mailbridge.cli.printing import dumped
from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.settings import Section, Settings
from mailbridge.config.values import written


@click.command()
@config_option
@json_option
def check_config(*, config: Path | None, as_json: bool) -> None:
    """Validate configuration, rules, certificates and keys; print every mistake at once.

    Exit 78 on any; 77 where nothing but this user's permission is missing.
    """
    from mailbridge.app.preparation import file_problems

    problems: list[Problem]
    ignored: tuple[str, ...] = ()
    try:
        loaded = load_quietly(config)
    except ConfigError as fault:
        problems = list(fault.problems)
    else:
        problems, ignored = list(file_problems(loaded.settings)), loaded.ignored
    if as_json:
        row = {"ok": not problems, "problems": [str(problem) for problem in problems], "ignored": list(ignored)}
        click.echo(dumped(row))
        raise SystemExit(exit_code(problems))
    for name in ignored:
        click.echo(f"mailbridge: note: ${name} is not one of ours, and is ignored", err=True)
    if problems:
        raise SystemExit(tell(problems))
    click.echo("configuration is good")


@click.group("config")
def config_group() -> None:
    """Show the effective configuration, or its schema."""


@config_group.command("show")
@config_option
@json_option
def show(*, config: Path | None, as_json: bool) -> None:
    """Every key with its value and where that came from; secrets masked."""
    loaded = load_or_exit(config)
    plain = {name: _written(name, getattr(loaded.settings, name)) for name in Settings.__struct_fields__}
    if as_json:
        row = {"file": str(loaded.path) if loaded.path else None, "settings": plain, "origins": dict(loaded.origins)}
        click.echo(dumped({**row, "ignored": list(loaded.ignored)}))
        return
    click.echo(f"# {loaded.path or 'no file: defaults and environment'}")
    for section, entries in plain.items():
        rows = entries if isinstance(entries, list) else [entries]
        for row in rows:
            is_table = isinstance(entries, list)
            click.echo(f"[[{section}]]  # {loaded.origins.get(section, 'default')}" if is_table else f"[{section}]")
            for key, value in row.items():
                origin = "" if is_table else f"# {loaded.origins.get(f'{section}.{key}', 'default')}"
                click.echo(f"{key:20} = {dumped(value):40} {origin}".rstrip())


@config_group.command("schema")
def schema() -> None:
    """The JSON Schema of mailbridge.toml, for editors."""
    from mailbridge.config.schema import schema as of_file

    click.echo(json.dumps(of_file(), indent=2))


def _written(section: str, value: Section | tuple[Section, ...]) -> Any:
    """A section, or a list of tables, as plain values in the spelling of the file."""
    if isinstance(value, tuple):
        return [_written(section, one) for one in value]
    return {key: written(f"{section}.{key}", getattr(value, key)) for key in value.__struct_fields__}


@click.group("address")
def address_group() -> None:
    """Make unguessable recipient addresses."""


@address_group.command("new")
@config_option
@json_option
@click.option(
    "--for", "identifier", metavar="IDENTIFIER", help="Push codes that come there under this identifier, whatever the mail says."
)
@click.option("--domain", metavar="DOMAIN", help="The domain of the address (default: the first of [domains] accept).")
def new_address(*, config: Path | None, as_json: bool, identifier: str | None, domain: str | None) -> None:
    """Print an address that nobody can guess, and the lines to paste into the configuration."""
    from mailbridge.core.addresses import parse_mailbox
    from mailbridge.core.recipients import TOKEN_LENGTH, token_address

    chosen = domain or next(iter(load_or_exit(config).settings.domains.accept), None)
    if chosen is None or parse_mailbox(f"x@{chosen}") is None:
        click.echo("mailbridge: name the domain whose mail comes here with --domain, such as bridge.example.com", err=True)
        raise SystemExit(Exit.USAGE)
    rcpt = token_address(chosen, os.urandom(TOKEN_LENGTH))
    if as_json:
        click.echo(dumped({"rcpt": rcpt, "identifier": identifier}))
        return
    lines = ["[[address]]", f"rcpt = {json.dumps(rcpt)}"]
    if identifier is not None:
        lines.append(f"identifier = {dumped(identifier)}")
    click.echo(rcpt)
    click.echo("\n".join(("", "# add to mailbridge.toml, then `mailbridge check-config` and reload (HUP):", *lines)), err=True)
