"""`totp`: authenticator secrets, stored encrypted and never printed again, and their codes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mailbridge.cli import completing
from mailbridge.cli.client import client
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain, note
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.printing import Column, Row, as_row, dumped, print_list, visible
from mailbridge.core.otpauth import SecretError, read_secrets
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.authenticators import AddAuthenticator, Bind, OneAuthenticator
from mailbridge.operator.qr import is_installed, qr_text
from mailbridge.operator.shapes import AuthenticatorShape

for_option = click.option(
    "--for", "identifier", metavar="IDENTIFIER", help="Answer for this identifier (Skyvern's totp_identifier)."
)


@click.group(cls=Group)
def totp() -> None:
    """Authenticator secrets, and their codes."""


@totp.command("add")
@config_option
@json_option
@click.argument("name")
@click.argument("secret", required=False)
@click.option("--qr", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="An image file with the QR code.")
@for_option
def add(*, config: Path | None, as_json: bool, name: str, secret: str | None, qr: Path | None, identifier: str | None) -> None:
    """Store the secret of an authenticator.

    SECRET is Base32 as the site shows it, an otpauth:// address, Google's otpauth-migration:// export, or a QR code. Without
    SECRET the command asks for it and does not show it, or reads it from standard input. Prefer this: a command line stays in
    the history of the shell. The accounts of an export are stored as NAME/ACCOUNT each.
    """
    text, count = _read(secret, qr)
    if count > 1 and identifier is not None:
        raise click.UsageError(f"--for needs one secret, and there are {count} in it; bind them with `mailbridge totp bind`")
    found = client(config).do(verbs.TOTP_ADD, AddAuthenticator(name=name, secret=text, identifier=identifier or ""))
    for warning in found.warnings:
        note(f"{warning}")
    for one in found.authenticators:
        if as_json:
            click.echo(dumped(as_row(one)))
            continue
        answers = f", answers for {one.identifier}" if one.identifier else ""
        click.echo(visible(f"{one.name}: {_about(one)}, stored{answers}"))


def _read(secret: str | None, qr: Path | None) -> tuple[str, int]:
    """The text of the secret and how many are in it, given in one of the four ways; a clean message and exit 2 where it is none."""
    if qr is not None and secret is not None:
        raise click.UsageError("give SECRET or --qr, not both")
    try:
        if qr is not None:
            text = _in_picture(qr)
        elif secret is None and sys.stdin.isatty():
            text = click.prompt("Secret", hide_input=True, err=True)
        else:
            text = sys.stdin.read(200_000) if secret in (None, "-") else secret or ""
        count = len(read_secrets(text))
    except SecretError as fault:
        complain(f"{fault}")
        raise SystemExit(Exit.USAGE) from None
    return text, count


def _in_picture(path: Path) -> str:
    """The text of the QR code in a file. Raises SecretError."""
    try:
        return qr_text(path.read_bytes())
    except OSError as fault:
        raise SecretError(f"{path}: {fault.strerror}") from None
    except SecretError as fault:
        if is_installed():
            raise SecretError(f"{path}: {fault}") from None
        raise


@totp.command("list")
@config_option
@json_option
def list_totps(*, config: Path | None, as_json: bool) -> None:
    """List every authenticator, without secrets."""
    rows = client(config).do(verbs.TOTP_LIST, Nothing()).authenticators
    columns = (Column(title="NAME", width=24), Column(title="ANSWERS FOR", width=32))
    empty = "there is no authenticator; `mailbridge totp add` stores one"
    print_list(((_row(one), one) for one in rows), *columns, empty=empty, as_json=as_json)


def _row(one: AuthenticatorShape) -> Row:
    return Row(cells=[one.name, one.identifier or "nobody"], details=[f"{_about(one)}."])


@totp.command("code")
@config_option
@json_option
@click.argument("name", shell_complete=completing.authenticators)
def code(*, config: Path | None, name: str, as_json: bool) -> None:
    """Print the current code.

    Standard error says for how many seconds it is valid.
    """
    found = client(config).do(verbs.TOTP_CODE, OneAuthenticator(name=name))
    if as_json:
        click.echo(dumped(as_row(found)))
    else:
        click.echo(found.code)
        note(f"{found.seconds_remaining} s left")


@totp.command("bind")
@config_option
@json_option
@click.argument("name", shell_complete=completing.authenticators)
@for_option
def bind(*, config: Path | None, as_json: bool, name: str, identifier: str | None) -> None:
    """Bind a secret to an identifier; without --for, to none."""
    client(config).do(verbs.TOTP_BIND, Bind(name=name, identifier=identifier or ""))
    told = visible(f"{name}: answers for {identifier or 'nobody'}")
    click.echo(dumped({"name": name, "identifier": identifier or None}) if as_json else told)


@totp.command("remove")
@config_option
@json_option
@click.argument("name", shell_complete=completing.authenticators)
def remove(*, config: Path | None, as_json: bool, name: str) -> None:
    """Erase a secret."""
    client(config).do(verbs.TOTP_REMOVE, OneAuthenticator(name=name))
    click.echo(dumped({"removed": name}) if as_json else visible(f"{name}: erased"))


def _about(one: AuthenticatorShape) -> str:
    kind = "Steam" if one.is_steam else f"{one.algorithm}, {one.digits} digits"
    owner = " ".join(part for part in (one.issuer, one.account) if part)
    return f"{kind}, every {one.period} s, {one.bits} bits" + (f" ({owner})" if owner else "")
