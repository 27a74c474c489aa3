"""`check-config`, `config` and `address`: what the operator configured, and whether it can work."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, json_option, load_or_exit, load_quietly
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import Settings
from mailbridge.core.secret import MASK, Secret


@click.command()
@config_option
@json_option
def check_config(*, config: Path | None, as_json: bool) -> None:
    """Validate configuration, rules, certificates and keys; print every mistake at once; exit 78 on any, 77 for permissions."""
    problems: list[str] = []
    is_permission = False
    try:
        loaded = load_quietly(config)
    except ConfigError as fault:
        problems = [str(problem) for problem in fault.problems]
    else:
        for problem, about_permission in _deeper(loaded.settings):
            problems.append(problem)
            is_permission = is_permission or about_permission
    if as_json:
        click.echo(json.dumps({"ok": not problems, "problems": problems}))
    else:
        for problem in problems:
            click.echo(f"mailbridge: {problem}", err=True)
        if not problems:
            click.echo("configuration is good")
    if problems:
        raise SystemExit(Exit.PERMISSION if is_permission else Exit.CONFIG)


def _deeper(settings: Settings) -> Iterator[tuple[str, bool]]:
    """What only the files themselves can tell."""
    from mailbridge.core.rules import RuleError
    from mailbridge.core.rules import load as load_rules
    from mailbridge.ingress.tls import Certificate, Pair, TlsError
    from mailbridge.intake.guide import guide_of
    from mailbridge.sinks.skyvern import api_key_from_credentials_file, endpoint
    from mailbridge.store import StoreError
    from mailbridge.store.cipher import read_key
    from mailbridge.store.sqlite import key_path_of, path_of

    try:
        load_rules(guide_of(settings).rules)
    except RuleError as fault:
        yield from ((problem, False) for problem in fault.problems)
    if settings.smtp.tls_cert is not None and settings.smtp.tls_key is not None:
        try:
            Certificate(Pair(cert=settings.smtp.tls_cert, key=settings.smtp.tls_key))
        except TlsError as fault:
            yield str(fault), False
    for url in (settings.skyvern.base_url, *(target.base_url for target in settings.target)):
        try:
            endpoint(url)
        except ValueError as fault:
            yield f"[skyvern] base_url: {fault}", False
    if settings.skyvern.credentials_file is not None and settings.skyvern.api_key is None:
        try:
            api_key_from_credentials_file(settings.skyvern.credentials_file)
        except (ValueError, OSError) as fault:
            yield f"[skyvern] credentials_file: {fault}", isinstance(fault, PermissionError)
    database = path_of(settings.store)
    key = key_path_of(settings.store)
    if database.exists() or settings.store.key_file is not None:
        try:
            read_key(key, is_made=False)
        except StoreError as fault:
            yield f"[store] key_file: {fault}", "read by others" in str(fault)
    folder = next((place for place in (database.parent, *database.parent.parents) if place.exists()), Path("/"))
    if not os.access(folder, os.W_OK):
        yield f"[store] url: {folder} is not writable for this user", True


@click.group("config")
def config_group() -> None:
    """Show the effective configuration, or its schema."""


@config_group.command("show")
@config_option
@json_option
def show(*, config: Path | None, as_json: bool) -> None:
    """Every key with its value and where that came from; secrets masked."""
    loaded = load_or_exit(config)
    plain = msgspec.to_builtins(loaded.settings, enc_hook=_hook)
    if as_json:
        click.echo(
            json.dumps({"file": str(loaded.path) if loaded.path else None, "settings": plain, "origins": dict(loaded.origins)})
        )
        return
    click.echo(f"# {loaded.path or 'no file: defaults and environment'}")
    for section, entries in plain.items():
        click.echo(f"[{section}]" if isinstance(entries, dict) else f"[[{section}]] × {len(entries)}")
        for key, value in entries.items() if isinstance(entries, dict) else ():
            click.echo(f"  {key:20} = {json.dumps(value):40} # {loaded.origins.get(f'{section}.{key}', 'default')}")


@config_group.command("schema")
def schema() -> None:
    """The JSON Schema of mailbridge.toml, for editors."""
    click.echo(json.dumps(msgspec.json.schema(Settings, schema_hook=_schema_hook), indent=2))


@click.group("address")
def address_group() -> None:
    """Make unguessable recipient addresses."""


@address_group.command("new")
@config_option
@click.option(
    "--for", "identifier", metavar="IDENTIFIER", help="Push codes that come there under this identifier, whatever the mail says."
)
@click.option("--domain", metavar="DOMAIN", help="The domain of the address (default: the first of [domains] accept).")
def new_address(*, config: Path | None, identifier: str | None, domain: str | None) -> None:
    """Print an address that nobody can guess, and the lines to paste into the configuration."""
    from mailbridge.core.recipients import TOKEN_LENGTH, token_address

    settings = load_or_exit(config).settings
    chosen = domain or next(iter(settings.domains.accept), None)
    if chosen is None:
        click.echo("mailbridge: name the domain of your mail exchanger with --domain", err=True)
        raise SystemExit(Exit.USAGE)
    rcpt = token_address(chosen, os.urandom(TOKEN_LENGTH))
    click.echo(rcpt)
    click.echo(
        f'\n# add to mailbridge.toml, then `mailbridge check-config` and reload (HUP):\n[[address]]\nrcpt = "{rcpt}"', err=True
    )
    if identifier is not None:
        click.echo(f'identifier = "{identifier}"', err=True)


def _hook(value: object) -> object:
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value).__name__)


def _schema_hook(kind: type) -> dict[str, object]:
    if kind is Secret or issubclass(kind, Path):
        return {"type": "string"}
    raise NotImplementedError(kind.__name__)
