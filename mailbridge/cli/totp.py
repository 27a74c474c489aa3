"""`totp`: authenticator secrets, stored encrypted and never printed again, and their codes."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.qr import read_qr
from mailbridge.cli.stored import visit
from mailbridge.core.otpauth import SecretError, read_secrets, warnings
from mailbridge.core.totp import Authenticator
from mailbridge.store import Store
from mailbridge.store.reading import StoredTotp
from mailbridge.operator.fresh import current

for_option = click.option(
    "--for", "identifier", metavar="IDENTIFIER", help="Answer for this identifier (Skyvern's totp_identifier)."
)


@click.group()
def totp() -> None:
    """Authenticator secrets, and their codes."""


@totp.command("add")
@config_option
@click.argument("name")
@click.argument("secret", required=False)
@click.option("--qr", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="An image file with the QR code.")
@for_option
def add(*, config: Path | None, name: str, secret: str | None, qr: Path | None, identifier: str | None) -> None:
    """Store a secret: Base32 as the site shows it, an otpauth:// address, Google's otpauth-migration:// export, or a QR code.

    Without SECRET it is asked for unseen, or read from standard input: what stands on the command line stays in its history. The
    accounts of an export are stored as NAME/ACCOUNT each.
    """
    found = _read(secret, qr)
    if len(found) > 1 and identifier is not None:
        raise click.UsageError(f"--for needs one secret, and there are {len(found)} in it; bind them with `mailbridge totp bind`")
    named = [(name if len(found) == 1 else f"{name}/{one.account or number}", one) for number, one in enumerate(found, 1)]
    for called, one in named:
        if not visit(config, partial(_stored, called, one, identifier)):
            other = f", or another secret answers for {identifier}" if identifier else ""
            click.echo(f"mailbridge: there is a secret {called!r} already{other}; see `mailbridge totp list`", err=True)
            raise SystemExit(Exit.GENERAL)
        for warning in warnings(one):
            click.echo(f"mailbridge: {called}: {warning}", err=True)
        click.echo(f"{called}: {_about(one)}, stored" + (f", answers for {identifier}" if identifier else ""))


async def _stored(name: str, one: Authenticator, identifier: str | None, store: Store) -> bool:
    return await store.vault.add_totp(name, one, identifier=identifier)


def _read(secret: str | None, qr: Path | None) -> tuple[Authenticator, ...]:
    """The secrets that were given in one of the four ways; a clean message and exit 2 where they are none."""
    if qr is not None and secret is not None:
        raise click.UsageError("give SECRET or --qr, not both")
    try:
        if qr is not None:
            return read_secrets(read_qr(qr))
        if secret is None and sys.stdin.isatty():
            secret = click.prompt("Secret", hide_input=True, err=True)
        return read_secrets(sys.stdin.read(200_000) if secret in (None, "-") else secret or "")
    except SecretError as fault:
        click.echo(f"mailbridge: {fault}", err=True)
        raise SystemExit(Exit.USAGE) from None


@totp.command("list")
@config_option
@json_option
def list_totps(*, config: Path | None, as_json: bool) -> None:
    """Every authenticator, without its secret."""
    for one in visit(config, lambda store: store.vault.totps()):
        made = one.authenticator
        if as_json:
            row = {
                "name": one.name,
                "identifier": one.identifier,
                "issuer": made.issuer,
                "account": made.account,
                "algorithm": made.algorithm,
                "digits": made.digits,
                "period": made.period,
                "is_steam": made.is_steam,
                "bits": made.bits,
            }
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            click.echo(f"{one.name:24} {_about(made)}" + (f", answers for {one.identifier}" if one.identifier else ""))


@totp.command("code")
@config_option
@json_option
@click.argument("name")
def code(*, config: Path | None, name: str, as_json: bool) -> None:
    """Print the current code, and on standard error the seconds that it has left."""
    stored = find(config, name)
    now = time.time()
    made = current(stored, now)
    left = int(stored.authenticator.remaining(now))
    if as_json:
        click.echo(json.dumps({"code": made.code.reveal(), "seconds_remaining": left}))
    else:
        click.echo(made.code.reveal())
        click.echo(f"{left} s left", err=True)


@totp.command("bind")
@config_option
@click.argument("name")
@for_option
def bind(*, config: Path | None, name: str, identifier: str | None) -> None:
    """Let a secret answer for an identifier; without --for, for none."""
    find(config, name)
    if not visit(config, lambda store: store.vault.bind_totp(name, identifier)):
        click.echo(f"mailbridge: another secret answers for {identifier}; see `mailbridge totp list`", err=True)
        raise SystemExit(Exit.GENERAL)
    click.echo(f"{name}: answers for {identifier or 'nobody'}")


@totp.command("remove")
@config_option
@click.argument("name")
def remove(*, config: Path | None, name: str) -> None:
    """Erase a secret."""
    find(config, name)
    visit(config, lambda store: store.vault.remove_totp(name))
    click.echo(f"{name}: erased")


def find(config: Path | None, name: str) -> StoredTotp:
    """A stored authenticator; a clean message and exit 4 where there is none of that name."""
    stored = visit(config, lambda store: store.vault.totp(name))
    if stored is None:
        click.echo(f"mailbridge: there is no secret {name!r}; `mailbridge totp list` shows what there is", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    return stored


def _about(one: Authenticator) -> str:
    kind = "Steam" if one.is_steam else f"{one.algorithm}, {one.digits} digits"
    owner = " ".join(part for part in (one.issuer, one.account) if part)
    return f"{kind}, every {one.period} s, {one.bits} bits" + (f" ({owner})" if owner else "")
