"""`token`: bearer tokens for agents, for those who bring mail, for viewers and operators."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mailbridge.cli import completing
from mailbridge.cli.client import client, fail
from mailbridge.cli.faults import note
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.params import NUMBER, is_number
from mailbridge.cli.printing import Column, Row, as_row, dumped, local, print_list
from mailbridge.config.values import duration
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.shapes import TokenShape
from mailbridge.operator.tokens import AddToken, OneToken
from mailbridge.store.entries import Role


@click.group(cls=Group)
def token() -> None:
    """Make, list and remove bearer tokens for the API."""


def _expiry(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """A duration from now, or a moment with a zone; ``never``."""
    if text is None or text == "never":
        return None
    now = datetime.now(UTC)
    try:
        moment = (datetime.fromisoformat(text) if "-" in text else now + duration(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("write a duration such as 30d, a moment such as 2027-01-31T00:00:00Z, or never") from None
    if moment <= now:
        raise click.BadParameter("that time has passed")
    return moment


def _adding(command: Callable[..., None]) -> Callable[..., None]:
    """The options of both names of the command."""
    for option in (
        click.option("--name", default="", help="The name of the token (default: the identifiers, or the role)."),
        click.option(
            "--expires",
            "expires_at",
            callback=_expiry,
            default="90d",
            show_default=True,
            help="After so long, at a moment, or never.",
        ),
        click.option(
            "--identifier",
            "identifiers",
            multiple=True,
            help="Whose codes an agent may read, or an ingest token may bring as text; * is any text.",
        ),
        click.option(
            "--role",
            type=click.Choice(["agent", "ingest", "viewer", "operator"]),
            default="agent",
            show_default=True,
            help="What the token allows.",
        ),
        json_option,
        config_option,
    ):
        command = option(command)
    return command


@token.command("add")
@_adding
def add(**options: Any) -> None:
    """Make a token and print it. It is shown only once: mailbridge keeps only a hash.

    An agent reads the codes of its identifiers; an ingest token posts mail
    over HTTP and does nothing else; a viewer sees mails, deliveries and
    settings but no code; an operator does everything.
    """
    _add(**options)


@token.command("new", hidden=True)
@_adding
def new(**options: Any) -> None:
    """The same; the command's name in release 0.1."""
    _add(**options)


def _add(
    *, config: Path | None, as_json: bool, role: Role, identifiers: tuple[str, ...], expires_at: datetime | None, name: str
) -> None:
    if any(not one.strip() for one in identifiers):
        raise click.BadParameter("an identifier is empty", param_hint="--identifier")
    if role == "agent" and not identifiers:
        raise click.UsageError("Missing option '--identifier': an agent's token names whose codes it may read.")
    ask = AddToken(role=role, identifiers=identifiers, expires_at=expires_at, name=name)
    made = client(config).do(verbs.TOKEN_ADD, ask)
    if as_json:
        click.echo(dumped(as_row(made)))
        return
    click.echo(made.token)
    about = f"for {', '.join(made.identifiers)}" if role == "agent" else f"of role {role}"
    if role == "ingest":
        about += f", for texts of {', '.join(made.identifiers)}" if made.identifiers else ", for raw mails only"
    note(f"token {made.id} {about}, expires {local(made.expires_at) or 'never'}; `mailbridge token remove {made.id}` removes it")


@token.command("list")
@config_option
@json_option
def list_tokens(*, config: Path | None, as_json: bool) -> None:
    """List every token, without its text."""
    rows = client(config).do(verbs.TOKEN_LIST, Nothing()).tokens
    columns = (
        Column(title="TOKEN", width=6, is_right=True),
        Column(title="ROLE", width=8),
        Column(title="EXPIRES", width=24),
        Column(title="NAME", width=32),
    )
    print_list(((_row(one), one) for one in rows), *columns, empty="there is no token", as_json=as_json)


def _row(one: TokenShape) -> Row:
    end = f"expired {local(one.expires_at)}" if one.is_expired else local(one.expires_at) or "never"
    details = [f"For {', '.join(one.identifiers)}."] if one.identifiers else ["For raw mails."] if one.role == "ingest" else []
    return Row(
        cells=[str(one.id), one.role, end, one.name], details=details, coloured=2, colour="red" if one.is_expired else None
    )


@token.command("remove")
@config_option
@json_option
@click.argument("number", type=NUMBER, shell_complete=completing.tokens)
def remove(*, config: Path | None, as_json: bool, number: int) -> None:
    """Revoke a token. It is invalid at once."""
    if not is_number(number):
        fail(Fault(kind=Kind.NOT_FOUND, title=f"there is no token {number}; `mailbridge token list` lists them"))
    client(config).do(verbs.TOKEN_REMOVE, OneToken(id=number))
    click.echo(dumped({"removed": number}) if as_json else f"token {number} is removed")
