"""`code`: the codes that came, the next one, who waits, and which code was given to whom."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mailbridge.cli import completing
from mailbridge.cli.client import agent, client
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option, token_option, url_option
from mailbridge.cli.params import Seconds
from mailbridge.cli.printing import Column, Row, as_row, counted, dumped, local, print_list, sentence, visible
from mailbridge.operator import verbs
from mailbridge.operator.codes import CodeList, GivenList, LatestCode
from mailbridge.operator.shapes import GivenShape, LiveCode

LONGEST_WAIT = 60.0
"""Seconds for which the daemon holds one request open (`mailbridge.web.codes`)."""

ANSWER_PATIENCE = 10.0
"""Seconds beyond a long poll's own time that its answer may take."""

COLUMNS = (
    Column(title="RECEIVED", width=19),
    Column(title="CODE", width=10),
    Column(title="LEFT", width=10),
    Column(title="FOR", width=32),
)

for_option = click.option(
    "--for",
    "identifier",
    required=True,
    metavar="IDENTIFIER",
    shell_complete=completing.identifiers,
    help="Whose code (Skyvern's totp_identifier).",
)
from_option = click.option("--from", "sender", default="", metavar="SENDER", help="Only of this address, domain, or pattern.")


@click.group(cls=Group)
def code() -> None:
    """Live codes: list, take the newest, wait for the next, expect one."""


@code.command("list")
@config_option
@json_option
@click.option(
    "--for", "identifier", default="*", metavar="IDENTIFIER", help="Only codes of this identifier; * stands for any text."
)
@click.option("--reveal", is_flag=True, help="Show the codes.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def list_codes(*, config: Path | None, as_json: bool, identifier: str, reveal: bool, limit: int) -> None:
    """List the codes that are still valid, newest first; masked without --reveal."""
    ask, one = CodeList(identifier=identifier, limit=limit), client(config)
    rows: list[Any] = list(one.do(verbs.CODE_REVEAL, ask).codes) if reveal else list(one.do(verbs.CODE_LIST, ask).codes)
    print_list(((_row(row), row) for row in rows), *COLUMNS, empty="no code is valid now", as_json=as_json)


def _row(row: LiveCode) -> Row:
    left = max(0, round((datetime.fromisoformat(row.expires_at) - datetime.now(UTC)).total_seconds()))
    end = "consumed" if row.is_consumed else f"{left} s left"
    bound = f" for {row.run} only" if row.run else ""
    about = f"From {row.from_}, mail {row.mail}{bound}." if row.from_ else f"Mail {row.mail}{bound}, which names no sender."
    return Row(cells=[local(row.received_at or ""), row.code, end, row.identifier], details=[about])


@code.command("latest")
@config_option
@json_option
@for_option
@from_option
def latest(*, config: Path | None, as_json: bool, identifier: str, sender: str) -> None:
    """Print the newest live code of an identifier; exit 4 for none."""
    found = client(config).do(verbs.CODE_LATEST, LatestCode(identifier=identifier, sender=sender))
    click.echo(dumped(as_row(found)) if as_json else found.code)


@code.command("wait")
@config_option
@json_option
@for_option
@click.option("--timeout", type=Seconds(), default=60.0, show_default=True, metavar="SECONDS", help="How long.")
@click.option("--since", metavar="WHEN", help="Only received since: 2026-01-31T12:00:00Z, or seconds since 1970.")
@from_option
@click.option("--kind", type=click.Choice(["code", "link", "totp"]), help="Only this kind.")
@click.option("--run", metavar="ID", help="The run, workflow or task that the code may be bound to.")
@click.option("--consume", is_flag=True, help="Give the code to nobody else afterwards.")
@url_option
@token_option
def wait(*, config: Path | None, url: str | None, token_file: Path | None, timeout: float, **wish: Any) -> None:
    """Wait for a code and print it alone. Exit 4 if none comes in time.

    The daemon asks the mailboxes more often meanwhile. A code that came in
    the last two minutes ([pull] grace) counts too; --since sets another
    moment.
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
        complain(f"no code for {identifier}")
        raise SystemExit(Exit.NOT_FOUND)
    click.echo(dumped(found) if wish["as_json"] else found["code"])


@code.command("expect")
@config_option
@json_option
@for_option
@click.option("--seconds", type=Seconds(600), default=120.0, show_default=True, metavar="SECONDS", help="For how long.")
@url_option
@token_option
def expect(
    *, config: Path | None, as_json: bool, identifier: str, seconds: float, url: str | None, token_file: Path | None
) -> None:
    """Tell the daemon that a code is needed soon: it asks mailboxes more often."""
    with agent(config, url=url, token_file=token_file) as one:
        found = one.ask("/api/v1/expect", {"identifier": identifier, "seconds": f"{seconds:g}"}, method="POST")
    click.echo(dumped(found) if as_json else f"{visible(found['identifier'])} is expected until {local(found['until'])}")


@code.command("waiting")
@config_option
@json_option
@url_option
@token_option
def waiting(*, config: Path | None, as_json: bool, url: str | None, token_file: Path | None) -> None:
    """List who waits for a code now: runs that poll, and open requests."""
    with agent(config, url=url, token_file=token_file) as one:
        rows = one.ask("/api/v1/waiting", {})["waiting"]
    columns = (Column(title="SINCE", width=19), Column(title="ASKED", width=10), Column(title="FOR", width=32))
    print_list(((_waiter(row), row) for row in rows), *columns, empty="nobody waits for a code now", as_json=as_json)


def _waiter(row: Mapping[str, Any]) -> Row:
    who = row["who"] or "somebody without a run's id"
    given = row["given"][0] if row["given"] else None
    what = f"was given {given['what']} at {local(given['last_at'])}" if given else "was given nothing yet"
    details = [f"{who} by {row['way']} {what}."]
    if not row["is_known"]:
        details.append("Nothing can come for it: the identifier is not known ([identity] known).")
    return Row(cells=[local(row["since"]), counted(row["asked"], "time"), row["identifier"]], details=details)


@code.command("given")
@config_option
@json_option
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def given(*, config: Path | None, as_json: bool, limit: int) -> None:
    """List which run or reader was given a code, and when, without the code."""
    rows = client(config).do(verbs.CODE_GIVEN, GivenList(limit=limit)).given
    columns = (Column(title="LAST GIVEN", width=19), Column(title="HOW OFTEN", width=10), Column(title="FOR", width=32))
    empty = "nobody was given a code yet"
    print_list(((_given(one), one) for one in rows), *columns, empty=empty, as_json=as_json)


def _given(one: GivenShape) -> Row:
    times = "consumed" if one.is_consumed else counted(one.times, "time")
    who = one.who or "somebody without a run's id"
    return Row(cells=[local(one.last_at), times, one.identifier], details=[f"{sentence(one.what)} To {who} by {one.way}."])
