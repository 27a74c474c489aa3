"""`check-config`, `config` and `address`: what the operator configured, and whether it can work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from mailbridge.cli.faults import exit_code, tell
from mailbridge.cli.options import config_option, json_option, load_quietly
from mailbridge.cli.printing import dumped
from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.settings import Section, Settings
from mailbridge.config.values import strangers_meaning, written

NO_KEY = (
    "practice: no Skyvern key is configured ([skyvern] api_key_file, or $SKYVERN_API_KEY), so codes leave this machine for nobody"
)


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
    strangers = ""
    is_practice = False
    try:
        loaded = load_quietly(config)
    except ConfigError as fault:
        problems = list(fault.problems)
    else:
        problems, ignored = list(file_problems(loaded.settings)), loaded.ignored
        is_practice = loaded.settings.skyvern.api_key is None and loaded.settings.skyvern.credentials_file is None
        is_only_practice = is_practice and not loaded.settings.target
        strangers = strangers_meaning(loaded.settings.trust.strangers, is_practice=is_only_practice)
    if as_json:
        row = {"ok": not problems, "problems": [str(problem) for problem in problems], "ignored": list(ignored)}
        row |= {"strangers": strangers} if strangers else {}
        click.echo(dumped({**row, "practice": is_practice}))
        raise SystemExit(exit_code(problems))
    for name in ignored:
        click.echo(f"mailbridge: note: ${name} is not one of ours, and is ignored", err=True)
    if problems:
        raise SystemExit(tell(problems))
    if is_practice:
        click.echo(f"mailbridge: note: {NO_KEY}", err=True)
    click.echo("configuration is good")
    click.echo(strangers)


@click.command("reload")
@config_option
@json_option
def reload_command(*, config: Path | None, as_json: bool) -> None:
    """Have the daemon read its configuration again, or say why it cannot.

    Rules, addresses, trust, mailboxes and certificates change at once; the
    old ones stay in force where there is a mistake (exit 78).
    """
    from msgspec import to_builtins

    from mailbridge.cli.client import client
    from mailbridge.operator import verbs
    from mailbridge.operator.asks import Nothing

    found = client(config).do(verbs.RELOAD, Nothing())
    if as_json:
        click.echo(dumped(to_builtins(found)))
        return
    click.echo("the configuration is in force")
    if found.after_restart:
        changed = ", ".join(f"[{name}]" for name in found.after_restart)
        click.echo(f"mailbridge: a restart is needed for what changed in {changed}", err=True)


@click.group("config")
def config_group() -> None:
    """Show the effective configuration, what was added by command, or the schema."""


@config_group.command("show")
@config_option
@json_option
def show(*, config: Path | None, as_json: bool) -> None:
    """Every key with its value and where that came from; secrets masked."""
    from mailbridge.cli.client import client
    from mailbridge.cli.entries import added as added_by

    one_client = client(config)
    loaded, added = one_client.loaded, added_by(one_client)
    plain = {name: _written(name, getattr(loaded.settings, name)) for name in Settings.__struct_fields__}
    if as_json:
        row = {"file": str(loaded.path) if loaded.path else None, "settings": plain, "origins": dict(loaded.origins)}
        kept = [
            {
                "kind": one.kind,
                "name": one.name,
                "by": one.by,
                "at": f"{one.at:%Y-%m-%dT%H:%M:%SZ}",
                "settings": dict(one.values),
                "secrets": sorted(one.secrets),
            }
            for one in added
        ]
        drop_ins = [str(one) for one in loaded.drop_ins]
        click.echo(dumped({**row, "drop_ins": drop_ins, "ignored": list(loaded.ignored), "added": kept}))
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
    for one in added:
        click.echo(f"[[{one.kind}]]  # added by {one.by}, {one.at:%Y-%m-%d %H:%M}Z")
        for key, value in {**one.values, **dict.fromkeys(one.secrets, "***")}.items():
            click.echo(f"{key:20} = {dumped(value)}")


@config_group.command("export")
@config_option
def export(*, config: Path | None) -> None:
    """Print what was added by command as TOML for a file.

    Secrets are named and left out.
    """
    from mailbridge.cli.client import client
    from mailbridge.cli.entries import added
    from mailbridge.config.added import as_toml

    click.echo(as_toml(added(client(config))), nl=False)


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
