"""`token`: bearer tokens for agents and tests, each for the identifiers that it names."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.stored import visit
from mailbridge.config.values import duration
from mailbridge.core.token import RANDOM, token_digest, token_text
from mailbridge.web.codes import stamp


@click.group()
def token() -> None:
    """Make, list and remove bearer tokens for the codes API."""


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
        raise click.BadParameter("that is over already")
    return moment.astimezone(UTC)


@token.command("new")
@config_option
@json_option
@click.option("--identifier", "identifiers", multiple=True, required=True, help="Whose codes it may read; * stands for any text.")
@click.option(
    "--expires", "expires_at", callback=_expiry, default="90d", show_default=True, help="After so long, at a moment, or never."
)
@click.option("--name", default="", help="What to call it in lists and records (default: the identifiers).")
def new(*, config: Path | None, as_json: bool, identifiers: tuple[str, ...], expires_at: datetime | None, name: str) -> None:
    """Print a new token. It is shown this once: only a hash of it is kept."""
    if any(not one.strip() for one in identifiers):
        raise click.BadParameter("an identifier is empty", param_hint="--identifier")
    text = token_text(os.urandom(RANDOM))
    called = name.strip() or ", ".join(identifiers)
    made = visit(
        config,
        lambda store: store.entries.add_token(token_digest(text), name=called, identifiers=identifiers, expires_at=expires_at),
    )
    end = "never" if expires_at is None else stamp(expires_at)
    if as_json:
        click.echo(
            json.dumps({"id": made.id, "token": text, "identifiers": list(identifiers), "expires_at": end, "name": called})
        )
        return
    click.echo(text)
    click.echo(
        f"token {made.id} for {', '.join(identifiers)}, expires {end}; remove it with `mailbridge token remove {made.id}`",
        err=True,
    )


@token.command("list")
@config_option
@json_option
def list_tokens(*, config: Path | None, as_json: bool) -> None:
    """Every token, without its text."""
    now = datetime.now(UTC)
    for one in visit(config, lambda store: store.entries.tokens()):
        end = "never" if one.expires_at is None else stamp(one.expires_at)
        is_over = one.expires_at is not None and one.expires_at <= now
        if as_json:
            row = {"id": one.id, "name": one.name, "identifiers": list(one.identifiers), "expires_at": end, "is_expired": is_over}
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            click.echo(
                f"{one.id:>4}  {one.name:32} for {', '.join(one.identifiers)}, {'expired' if is_over else 'expires'} {end}"
            )


@token.command("remove")
@config_option
@click.argument("number", type=int)
def remove(*, config: Path | None, number: int) -> None:
    """Make a token worthless at once."""
    if not visit(config, lambda store: store.entries.remove_token(number)):
        click.echo(f"mailbridge: there is no token {number}; `mailbridge token list` shows what there is", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    click.echo(f"token {number} is removed")
