"""`codes`: what came, the next one that comes, who waits for it, and what everybody was given."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from mailbridge.cli.api import daemon, token_option, url_option
from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.stored import visit
from mailbridge.core.secret import MASK
from mailbridge.store import Store
from mailbridge.store.reading import Wanted, literal
from mailbridge.web.codes import LONGEST_WAIT, as_json, given_json, totp_json
from mailbridge.web.fresh import fresh

READER = "cli"
ANSWER_PATIENCE = 10.0
"""Seconds beyond a long poll's own time that its answer may take."""

for_option = click.option(
    "--for", "identifier", required=True, metavar="IDENTIFIER", help="Whose code (Skyvern's totp_identifier)."
)
from_option = click.option(
    "--from", "sender", default="", metavar="SENDER", help="Only of this address, domain, or pattern with *."
)


@click.group()
def codes() -> None:
    """Live codes: list them, take the newest, wait for the next; see who waits."""


@codes.command("list")
@config_option
@json_option
@click.option("--for", "identifier", default="*", metavar="IDENTIFIER", help="Only this one's; * stands for any text.")
@click.option("--reveal", is_flag=True, help="Show the codes.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def list_codes(*, config: Path | None, identifier: str, reveal: bool, limit: int, **options: bool) -> None:
    """The live codes, newest first; masked unless asked for."""
    for one in visit(config, lambda store: store.codes.live(identifiers=(identifier,), limit=limit)):
        row = as_json(one)
        if not reveal:
            row["code"] = MASK
        if options["as_json"]:
            click.echo(json.dumps(row, ensure_ascii=False))
            continue
        left = max(0, round(one.expires_at.timestamp() - time.time()))
        end = "consumed" if one.is_consumed else f"{left} s left"
        bound = f" for {one.run} only" if one.run else ""
        click.echo(
            f"{one.received_at.astimezone():%H:%M:%S}  {row['code']:10} {one.identifier:32} from {one.sender}, {end}{bound}"
        )


@codes.command("latest")
@config_option
@json_option
@for_option
@from_option
def latest(*, config: Path | None, identifier: str, sender: str, **options: bool) -> None:
    """Print the newest live code of an identifier, however long ago it came; exit 4 if there is none."""
    found = visit(config, lambda store: _latest(store, identifier, sender))
    _show(found, identifier, is_json=options["as_json"])


async def _latest(store: Store, identifier: str, sender: str) -> dict[str, object] | None:
    bound = await store.vault.bound(identifier) if not sender else None
    if bound is not None:
        made = await fresh(bound)
        if made is None:
            return None
        await store.codes.note(identifier, way="api", reader=READER, what=made.what, is_consumed=False)
        return totp_json(identifier, made)
    code = await store.codes.newest(Wanted(identifier=identifier, sender=sender))
    if code is None:
        return None
    await store.codes.note(code.identifier, way="api", reader=READER, what=code.what, is_consumed=False)
    return as_json(code)


@codes.command("wait")
@config_option
@json_option
@for_option
@click.option("--timeout", type=click.FloatRange(0, 86_400), default=60.0, show_default=True, metavar="SECONDS", help="How long.")
@click.option("--since", metavar="WHEN", help="Only received at or after it: 2026-01-31T12:00:00Z, or seconds since 1970.")
@from_option
@click.option("--kind", type=click.Choice(["code", "link", "totp"]), help="Only this kind.")
@click.option("--run", metavar="ID", help="The run, workflow or task that the code may be bound to.")
@click.option("--consume", is_flag=True, help="Nobody else may have it afterwards.")
@url_option
@token_option
def wait(*, config: Path | None, url: str | None, token_file: Path | None, timeout: float, **wish: Any) -> None:
    """Print the bare code when it comes, exit 4 when it does not.

    Asks the running daemon, so that a mailbox that is watched lazily is watched closely meanwhile. A code that came in the last two
    minutes ([pull] grace) counts as the awaited one; --since chooses another moment.
    """
    identifier = wish["identifier"]
    params = {"identifier": identifier, "from": wish["sender"], "consume": "true" if wish["consume"] else ""}
    params |= {name: wish[name] or "" for name in ("since", "kind", "run")}
    until = time.monotonic() + timeout
    with daemon(config, url=url, token_file=token_file, identifiers=(literal(identifier),), lasting=timeout) as one:
        while True:
            left = min(max(until - time.monotonic(), 0.0), LONGEST_WAIT)
            asked = {**{name: value for name, value in params.items() if value}, "timeout": f"{left:.3f}"}
            found = one.ask("/api/v1/codes/wait", asked, patience=left + ANSWER_PATIENCE)
            if found.get("code") is not None or time.monotonic() >= until:
                break
    _show(found if found.get("code") is not None else None, identifier, is_json=wish["as_json"])


@codes.command("waiting")
@config_option
@json_option
@url_option
@token_option
def waiting(*, config: Path | None, url: str | None, token_file: Path | None, **options: bool) -> None:
    """Who waits for a code now: runs of Skyvern that poll, and requests that are held open."""
    with daemon(config, url=url, token_file=token_file, identifiers=("*",), lasting=10) as one:
        rows = one.ask("/api/v1/waiting", {})["waiting"]
    for row in rows:
        if options["as_json"]:
            click.echo(json.dumps(row, ensure_ascii=False))
            continue
        unknown = "" if row["is_known"] else "  unknown identifier: nothing can come for it ([identity] known)"
        given = f", given {row['given'][0]['what']} at {row['given'][0]['last_at']}" if row["given"] else ", given nothing yet"
        click.echo(
            f"{row['identifier']:32} {row['way']:4} {row['who'] or '(no ids)'} since {row['since']}, asked {row['asked']} times{given}{unknown}"
        )


@codes.command("given")
@config_option
@json_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
def given(*, config: Path | None, limit: int, **options: bool) -> None:
    """What was given to which run or reader, and when; never the code."""
    for one in visit(config, lambda store: store.codes.given(limit=limit)):
        if options["as_json"]:
            click.echo(json.dumps(given_json(one), ensure_ascii=False))
            continue
        times = "consumed" if one.is_consumed else f"{one.times} time{'s' if one.times != 1 else ''}"
        click.echo(
            f"{one.last_at.astimezone():%d %b %H:%M:%S}  {one.identifier:32} {one.way:4} {one.reader or '(no ids)'}: {one.what}, {times}"
        )


def _show(found: dict[str, Any] | None, identifier: str, *, is_json: bool) -> None:
    """The bare code, or exit 4."""
    if found is None:
        click.echo(f"mailbridge: no code for {identifier}", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    click.echo(json.dumps(found, ensure_ascii=False) if is_json else found["code"])
