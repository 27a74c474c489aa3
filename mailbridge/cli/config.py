"""`check-config`, `config` and `address`: what the operator configured, and whether it can work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from mailbridge.cli.faults import exit_code, note, tell
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, examine_config, json_option
from mailbridge.cli.printing import as_row, dumped
from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.settings import Section, Settings
from mailbridge.config.values import strangers_meaning, written


@click.command()
@config_option
@json_option
def check_config(*, config: Path | None, as_json: bool) -> None:
    """Check the configuration, rules, certificates and keys, and what was added by command.

    Prints every mistake, and a warning for each risky setting. It opens no port, so it can run beside the daemon, and does not
    see whether a port is free. Exit 78 on a mistake; 77 if only a permission is missing.
    """
    from mailbridge.config.warnings import has_key, warnings_of

    problems: list[Problem] = []
    ignored: tuple[str, ...] = ()
    warnings: list[Problem] = []
    strangers = ""
    is_practice = False
    try:
        loaded, found = examine_config(config)
    except ConfigError as fault:
        problems = list(fault.problems)
    else:
        ignored, is_practice = loaded.ignored, not has_key(loaded.settings)
        problems = list(dict.fromkeys((*found, *_of_this_machine(loaded.settings, is_sound=not found))))
        warnings = list(warnings_of(loaded))
        is_only_practice = is_practice and not loaded.settings.target
        strangers = strangers_meaning(loaded.settings.trust.strangers, is_practice=is_only_practice)
    if as_json:
        row = {"ok": not problems, "problems": [str(problem) for problem in problems], "ignored": list(ignored)}
        row |= {"strangers": strangers or None, "warnings": [str(one) for one in warnings], "practice": is_practice}
        click.echo(dumped(row))
        raise SystemExit(exit_code(problems))
    for name in ignored:
        note(f"note: ${name} is not one of ours, and is ignored")
    if problems:
        raise SystemExit(tell(problems))
    for one in warnings:
        note(f"warning: {one}")
    click.echo("configuration is good")
    click.echo(strangers)


def _of_this_machine(settings: Settings, *, is_sound: bool) -> Iterator[Problem]:
    """Mistakes that only this machine shows; additions are read only if the rest has none."""
    from mailbridge.app.alone import with_additions
    from mailbridge.app.preparation import file_problems, without_a_way_in
    from mailbridge.store import StoreError, StoreUnavailable

    found = list(file_problems(settings))
    yield from found
    if found or not is_sound:
        yield from without_a_way_in(settings)
        return
    try:
        whole = asyncio.run(with_additions(settings))
    except ConfigError as fault:
        yield from fault.problems
    except (StoreError, StoreUnavailable) as fault:
        yield Problem(where="[store] url", what=str(fault))
    else:
        yield from file_problems(whole) if whole is not settings else ()
        yield from without_a_way_in(whole)


@click.command("reload")
@config_option
@json_option
def reload_command(*, config: Path | None, as_json: bool) -> None:
    """Tell the daemon to read its configuration again.

    Rules, addresses, trust, mailboxes, listeners and certificates change at
    once. If there is a mistake, the old configuration stays in force
    (exit 78). The answer names what needs a restart.
    """
    from mailbridge.cli.client import client
    from mailbridge.operator import verbs
    from mailbridge.operator.asks import Nothing

    found = client(config).do(verbs.RELOAD, Nothing())
    if as_json:
        click.echo(dumped(as_row(found)))
        return
    click.echo("the configuration is in force")
    if found.after_restart:
        changed = ", ".join(f"[{name}]" for name in found.after_restart)
        note(f"a restart is needed for what changed in {changed}")


@click.group("config", cls=Group)
def config_group() -> None:
    """Show the configuration in force, what was added by command, or the schema."""


@config_group.command("show")
@config_option
@json_option
def show(*, config: Path | None, as_json: bool) -> None:
    """Print every key with its value and the origin of the value; secrets are masked."""
    from mailbridge.cli.client import client
    from mailbridge.cli.entries import added as added_by
    from mailbridge.config.added import header

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
        click.echo(f"{header(one.kind)}  # added by {one.by}, {one.at:%Y-%m-%d %H:%M}Z")
        for key, value in {**one.values, **dict.fromkeys(one.secrets, "***")}.items():
            click.echo(f"{key:20} = {dumped(value)}")


@config_group.command("export")
@config_option
@json_option
def export(*, config: Path | None, as_json: bool) -> None:
    """Print what was added by command as TOML for a file.

    It names the secrets and does not print them.
    """
    from mailbridge.cli.client import client
    from mailbridge.cli.entries import added
    from mailbridge.config.added import as_toml

    text = as_toml(added(client(config)))
    if as_json:
        click.echo(dumped({"toml": text}))
    elif text:
        click.echo(text, nl=False)
    else:
        click.echo("# nothing was added by command")


@config_group.command("schema")
@json_option
def schema(*, as_json: bool) -> None:
    """Print the JSON Schema of mailbridge.toml, for editors."""
    from mailbridge.config.schema import schema as of_file

    click.echo(dumped(of_file()) if as_json else json.dumps(of_file(), indent=2))


def _written(section: str, value: Section | tuple[Section, ...]) -> Any:
    """A section, or a list of tables, as plain values in the spelling of the file."""
    if isinstance(value, tuple):
        return [_written(section, one) for one in value]
    keys = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    return {key: written(f"{section}.{key}", getattr(value, field)) for key, field in keys}
