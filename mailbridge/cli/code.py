"""`code`: what came, the next one that comes, who waits for it, and what everybody was given."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from msgspec import to_builtins

from mailbridge.cli.client import agent, client
from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, json_option, token_option, url_option
from mailbridge.cli.printing import dumped, local, visible
from mailbridge.operator import verbs
from mailbridge.operator.codes import CodeList, GivenList, LatestCode
from mailbridge.operator.shapes import LiveCode

LONGEST_WAIT = 60.0
"""Seconds for which the daemon holds one request open (`mailbridge.web.codes`)."""

ANSWER_PATIENCE = 10.0
"""Seconds beyond a long poll's own time that its answer may take."""

for_option = click.option(
    "--for", "identifier", required=True, metavar="IDENTIFIER", help="Whose code (Skyvern's totp_identifier)."
)
from_option = click.option("--from", "sender", default="", metavar="SENDER", help="Only of this address, domain, or pattern.")


@click.group()
def code() -> None:
    """Live codes: list, take the newest, wait for the next, expect one."""


@code.command("list")
@config_option
@json_option
@click.option("--for", "identifier", default="*", metavar="IDENTIFIER", help="Only this one's; * stands for any text.")
@click.option("--reveal", is_flag=True, help="Show the codes.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def list_codes(*, config: Path | None, as_json: bool, identifier: str, reveal: bool, limit: int) -> None:
    """The live codes, newest first; masked unless asked for."""
    ask, one = CodeList(identifier=identifier, limit=limit), client(config)
    rows: list[Any] = list(one.do(verbs.CODE_REVEAL, ask).codes) if reveal else list(one.do(verbs.CODE_LIST, ask).codes)
    for row in rows:
        click.echo(dumped(to_builtins(row)) if as_json else visible(_line(row)))


def _line(row: LiveCode) -> str:
    left = max(0, round((datetime.fromisoformat(row.expires_at) - datetime.now(UTC)).total_seconds()))
    end = "consumed" if row.is_consumed else f"{left} s left"
    bound = f" for {row.run} only" if row.run else ""
    return f"{local(row.received_at or '')}  {row.code:10} {row.identifier:32} from {row.from_}, {end}{bound}, mail {row.mail}"


@code.command("latest")
@config_option
@json_option
@for_option
@from_option
def latest(*, config: Path | None, as_json: bool, identifier: str, sender: str) -> None:
    """Print the newest live code of an identifier; exit 4 for none."""
    found = client(config).do(verbs.CODE_LATEST, LatestCode(identifier=identifier, sender=sender))
    click.echo(dumped(to_builtins(found)) if as_json else found.code)


@code.command("wait")
@config_option
@json_option
@for_option
@click.option("--timeout", type=click.FloatRange(0, 86_400), default=60.0, show_default=True, metavar="SECONDS", help="How long.")
@click.option("--since", metavar="WHEN", help="Only received since: 2026-01-31T12:00:00Z, or seconds since 1970.")
@from_option
@click.option("--kind", type=click.Choice(["code", "link", "totp"]), help="Only this kind.")
@click.option("--run", metavar="ID", help="The run, workflow or task that the code may be bound to.")
@click.option("--consume", is_flag=True, help="Nobody else may have it afterwards.")
@url_option
@token_option
def wait(*, config: Path | None, url: str | None, token_file: Path | None, timeout: float, **wish: Any) -> None:
    """Print the bare code when it comes, exit 4 when it does not.

    Asks the running daemon, so that a mailbox that is watched lazily is
    watched closely meanwhile. A code that came in the last two minutes
    ([pull] grace) counts as the awaited one; --since chooses another moment.
    """
    identifier = wish["identifier"]
    params = {"identifier": identifier, "from": wish["sender"], "consume": "true" if wish["consume"] else ""}
    params |= {name: wish[name] or "" for name in ("since", "kind", "run")}
    until = time.monotonic() + timeout
    with agent(config, url=url, token_file=token_file) as one:
        while True:
            left = min(max(until - time.monotonic(), 0.0), LONGEST_WAIT)
            asked = {**{name: value for name, value in params.items() if value}, "timeout": f"{left:.3f}"}
            found = one.ask("/api/v1/codes/wait", asked, patience=left + ANSWER_PATIENCE)
            if found.get("code") is not None or time.monotonic() >= until:
                break
    if found.get("code") is None:
        click.echo(f"mailbridge: no code for {identifier}", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    click.echo(dumped(found) if wish["as_json"] else found["code"])


@code.command("expect")
@config_option
@json_option
@for_option
@click.option(
    "--seconds", type=click.FloatRange(0, 600), default=120.0, show_default=True, metavar="SECONDS", help="For how long."
)
@url_option
@token_option
def expect(
    *, config: Path | None, as_json: bool, identifier: str, seconds: float, url: str | None, token_file: Path | None
) -> None:
    """Say that a code is wanted soon: mailboxes are watched closely."""
    with agent(config, url=url, token_file=token_file) as one:
        found = one.ask("/api/v1/expect", {"identifier": identifier, "seconds": f"{seconds:g}"}, method="POST")
    click.echo(dumped(found) if as_json else f"{visible(found['identifier'])} is expected until {local(found['until'])}")


@code.command("waiting")
@config_option
@json_option
@url_option
@token_option
def waiting(*, config: Path | None, as_json: bool, url: str | None, token_file: Path | None) -> None:
    """Who waits for a code now: polling runs, and requests held open."""
    with agent(config, url=url, token_file=token_file) as one:
        rows = one.ask("/api/v1/waiting", {})["waiting"]
    for row in rows:
        if as_json:
            click.echo(dumped(row))
            continue
        unknown = "" if row["is_known"] else "  unknown identifier: nothing can come for it ([identity] known)"
        given = f", given {row['given'][0]['what']} at {row['given'][0]['last_at']}" if row["given"] else ", given nothing yet"
        who = row["who"] or "(no ids)"
        click.echo(
            visible(
                f"{row['identifier']:32} {row['way']:4} {who} since {row['since']}, asked {row['asked']} times{given}{unknown}"
            )
        )


@code.command("given")
@config_option
@json_option
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def given(*, config: Path | None, as_json: bool, limit: int) -> None:
    """What was given to which run or reader, and when; never the code."""
    for one in client(config).do(verbs.CODE_GIVEN, GivenList(limit=limit)).given:
        if as_json:
            click.echo(dumped(to_builtins(one)))
            continue
        times = "consumed" if one.is_consumed else f"{one.times} time{'s' if one.times != 1 else ''}"
        click.echo(visible(f"{local(one.last_at)}  {one.identifier:32} {one.way:4} {one.who or '(no ids)'}: {one.what}, {times}"))
