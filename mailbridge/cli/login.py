"""`login` and `session`: a link to the page, who is logged in there, and a password for it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click
from msgspec import to_builtins

from mailbridge.cli.client import client, fail
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.params import NUMBER
from mailbridge.cli.printing import dumped, local, visible
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.sessions import SHORTEST, Invite, NewPassword, OneSession


@click.command()
@config_option
@json_option
@click.option(
    "--role", type=click.Choice(["viewer", "operator"]), default="operator", show_default=True, help="A viewer sees no code."
)
def login(*, config: Path | None, as_json: bool, role: Literal["viewer", "operator"]) -> None:
    """Print a link that logs a browser in to the page. It works once, within five minutes."""
    made = client(config).do(verbs.LOGIN, Invite(role=role))
    if as_json:
        click.echo(dumped(to_builtins(made)))
        return
    click.echo(visible(made.url))
    click.echo(visible(f"it logs in one browser as {made.role}, until {local(made.expires_at)}"), err=True)


@click.group()
def session() -> None:
    """Who is logged in to the page, and its password."""


@session.command("list")
@config_option
@json_option
def list_sessions(*, config: Path | None, as_json: bool) -> None:
    """List every session, newest login first."""
    for one in client(config).do(verbs.SESSION_LIST, Nothing()).sessions:
        if as_json:
            click.echo(dumped(to_builtins(one)))
            continue
        line = (
            f"{one.id:>4}  {one.name:20} {one.role:8} by {one.way}, logged in {local(one.created_at)}, used {local(one.seen_at)}"
        )
        click.echo(visible(line))


@session.command("remove")
@config_option
@json_option
@click.argument("number", type=NUMBER)
def remove(*, config: Path | None, as_json: bool, number: int) -> None:
    """End a session at once."""
    if number < 1:
        fail(Fault(kind=Kind.NOT_FOUND, title=f"there is no session {number}; `mailbridge session list` lists them"))
    client(config).do(verbs.SESSION_REMOVE, OneSession(id=number))
    click.echo(dumped({"removed": number}) if as_json else f"session {number} is ended")


@session.command("password")
@config_option
@json_option
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its first line.")
@click.option("--remove", "is_removed", is_flag=True, help="Remove the password: only links log in.")
def password(*, config: Path | None, as_json: bool, path: Path | None, is_removed: bool) -> None:
    """Set a password for the page, or remove it.

    The command asks for it, or reads the first line of a file. Sessions that
    began with the old password end.
    """
    text = ""
    if not is_removed and path is not None:
        text = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip("\r")
    elif not is_removed:
        text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not is_removed and len(text) < SHORTEST:
        fail(Fault(kind=Kind.REFUSED, title=f"password: needs {SHORTEST} characters at least"))
    client(config).do(verbs.SESSION_PASSWORD, NewPassword(password=text))
    told = "the password is removed: links alone log in" if is_removed else "the password is set"
    click.echo(dumped({"has_password": not is_removed}) if as_json else told)
