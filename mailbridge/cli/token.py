"""`token`: bearer tokens for agents, viewers and operators."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from msgspec import to_builtins

from mailbridge.cli.client import client, fail
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.printing import dumped, visible
from mailbridge.config.values import duration
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.tokens import AddToken, OneToken
from mailbridge.store.entries import Role


@click.group()
def token() -> None:
    """Make, list and remove bearer tokens for the API."""


def _expiry(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """A duration from now, or a moment with a zone; ``never``."""
    if text is None or text == "never":
        return None
    now = datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text) if "-" in text else now + duration(text)
    except ValueError:
        raise click.BadParameter("write a duration such as 30d, a moment such as 2027-01-31T00:00:00Z, or never") from None
    if moment.tzinfo is None:
        moment = moment.astimezone()
    if moment <= now:
        raise click.BadParameter("that time has passed")
    return moment.astimezone(UTC)


def _adding(command: Callable[..., None]) -> Callable[..., None]:
    """The options of both names of the command."""
    for option in (
        click.option("--name", default="", help="What to call it (default: the identifiers, or the role)."),
        click.option(
            "--expires",
            "expires_at",
            callback=_expiry,
            default="90d",
            show_default=True,
            help="After so long, at a moment, or never.",
        ),
        click.option("--identifier", "identifiers", multiple=True, help="Whose codes an agent may read; * is any text."),
        click.option(
            "--role",
            type=click.Choice(["agent", "viewer", "operator"]),
            default="agent",
            show_default=True,
            help="What it allows.",
        ),
        json_option,
        config_option,
    ):
        command = option(command)
    return command


@token.command("add")
@_adding
def add(**options: Any) -> None:
    """Print a new token. It is shown this once: only a hash is kept.

    An agent reads the codes of its identifiers; a viewer sees mails,
    deliveries and settings but no code; an operator does everything.
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
        click.echo(dumped(to_builtins(made)))
        return
    click.echo(made.token)
    about = f"for {', '.join(made.identifiers)}" if role == "agent" else f"of role {role}"
    click.echo(
        visible(f"token {made.id} {about}, expires {made.expires_at or 'never'}; `mailbridge token remove {made.id}` removes it"),
        err=True,
    )


@token.command("list")
@config_option
@json_option
def list_tokens(*, config: Path | None, as_json: bool) -> None:
    """Every token, without its text."""
    for one in client(config).do(verbs.TOKEN_LIST, Nothing()).tokens:
        if as_json:
            click.echo(dumped(to_builtins(one)))
            continue
        end = f"{'expired' if one.is_expired else 'expires'} {one.expires_at or 'never'}"
        click.echo(visible(f"{one.id:>4}  {one.name:32} {one.role:8} for {', '.join(one.identifiers)}, {end}"))


@token.command("remove")
@config_option
@click.argument("number", type=int)
def remove(*, config: Path | None, number: int) -> None:
    """Make a token worthless at once."""
    if number < 1:
        fail(Fault(kind=Kind.NOT_FOUND, title=f"there is no token {number}; `mailbridge token list` shows what there is"))
    client(config).do(verbs.TOKEN_REMOVE, OneToken(id=number))
    click.echo(f"token {number} is removed")
