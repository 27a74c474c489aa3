"""`inbox`: throw-away inboxes for browser agents and tests. Each command prints one JSON object and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from mailbridge.cli.client import Agent, agent, fail
from mailbridge.cli.code import ANSWER_PATIENCE, LONGEST_WAIT
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option, token_option, url_option
from mailbridge.cli.params import Seconds
from mailbridge.cli.printing import dumped
from mailbridge.core.secret import MASK
from mailbridge.operator.faults import Fault, Kind

INBOXES = "/api/v1/inboxes"

inbox_argument = click.argument("inbox", metavar="INBOX")
timeout_option = click.option("--timeout", type=Seconds(), default=60.0, show_default=True, metavar="SECONDS", help="How long.")
since_option = click.option(
    "--since", metavar="WHEN", help="Only received since: 2026-01-31T12:00:00Z, or seconds since 1970 (default: ever)."
)
from_option = click.option("--from", "sender", default="", metavar="SENDER", help="Only of this address, domain, or pattern.")
keep_option = click.option("--keep", is_flag=True, help="Leave it for others, and for the next call.")


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name the daemon. ``--json`` changes nothing."""
    for option in (token_option, url_option, json_option, config_option):
        command = option(command)
    return command


@click.group("inbox", cls=Group)
def inbox() -> None:
    """Throw-away inboxes: an address for one sign-up, its codes and links.

    INBOX is the address, which is also its identifier, or the number. Each
    command prints one JSON object. Where nothing came in time the object
    has "code": null, and the exit code is 4.
    """


@inbox.command("create")
@asking
@click.option(
    "--from", "senders", multiple=True, metavar="DOMAIN", help="Take mail of this domain or address only; several allowed."
)
@click.option("--lifetime", metavar="DURATION", help="How long it lives, such as 10m or 2h (default: [inboxes] lifetime).")
@click.option("--push", is_flag=True, help="Push its codes to Skyvern too.")
def create(*, senders: tuple[str, ...], lifetime: str | None, push: bool, **where: Any) -> None:
    """Make an inbox. It takes mail at once."""
    body: dict[str, Any] = {"push": push}
    body |= {"from": list(senders)} if senders else {}
    body |= {"lifetime": lifetime} if lifetime else {}
    with _agent(where) as one:
        click.echo(dumped(one.ask(INBOXES, {}, method="POST", body=body)))


@inbox.command("list")
@asking
def list_inboxes(**where: Any) -> None:
    """List the inboxes that exist, oldest first."""
    with _agent(where) as one:
        click.echo(dumped(one.ask(INBOXES, {})))


@inbox.command("wait-otp")
@asking
@inbox_argument
@timeout_option
@since_option
@from_option
@keep_option
def wait_otp(*, inbox: str, **wish: Any) -> None:
    """Wait for a code. The next call waits for the next one."""
    _wait(inbox, "code", wish)


@inbox.command("wait-link")
@asking
@inbox_argument
@timeout_option
@since_option
@from_option
@keep_option
def wait_link(*, inbox: str, **wish: Any) -> None:
    """Wait for a link. The next call waits for the next one."""
    _wait(inbox, "link", wish)


@inbox.command("latest")
@asking
@inbox_argument
def latest(*, inbox: str, **where: Any) -> None:
    """Print the newest code or link, even if it was given before."""
    with _agent(where) as one:
        identifier = _identifier(one, inbox)
        rows = one.ask("/api/v1/codes", {"identifier": identifier, "limit": "1"})["codes"]
        if rows and rows[0]["code"] == MASK:  # operators see a code where they ask for it by name
            asked = {"identifier": identifier, "limit": 1}
            rows = one.ask("/api/v1/codes/reveal", {}, method="POST", body=asked)["codes"]
    _tell(rows[0] if rows else {"identifier": identifier, "code": None}, identifier)


@inbox.command("release")
@asking
@inbox_argument
def release(*, inbox: str, **where: Any) -> None:
    """Delete an inbox and everything in it."""
    with _agent(where) as one:
        found = _found(one, inbox)
        one.ask(f"{INBOXES}/{found['id']}", {}, method="DELETE")
    click.echo(dumped({"id": found["id"], "identifier": found["identifier"], "released": True}))


def _agent(where: dict[str, Any]) -> Any:
    return agent(where["config"], url=where["url"], token_file=where["token_file"])


def _wait(inbox: str, kind: str, wish: dict[str, Any]) -> None:
    """Print what comes in time; exit 4 if nothing does."""
    until = time.monotonic() + wish["timeout"]
    with _agent(wish) as one:
        identifier = _identifier(one, inbox)
        asked = {"identifier": identifier, "kind": kind, "since": wish["since"] or "", "from": wish["sender"]}
        asked |= {"consume": "" if wish["keep"] else "true"}
        params = {name: value for name, value in asked.items() if value}
        while True:
            left = min(max(until - time.monotonic(), 0.0), LONGEST_WAIT)
            found = one.ask("/api/v1/codes/wait", {**params, "timeout": f"{left:.3f}"}, patience=left + ANSWER_PATIENCE)
            if found.get("code") is not None or time.monotonic() >= until:
                break
    _tell(found, identifier)


def _tell(found: dict[str, Any], identifier: str) -> None:
    click.echo(dumped(found))
    if found.get("code") is None:
        complain(f"nothing came for {identifier}")
        raise SystemExit(Exit.NOT_FOUND)


def _identifier(one: Agent, inbox: str) -> str:
    """The identifier of an inbox; a number is looked up."""
    return str(_found(one, inbox)["identifier"]) if inbox.isdigit() else inbox.strip()


def _found(one: Agent, inbox: str) -> dict[str, Any]:
    """The inbox of an address or a number; exit 4 if there is none."""
    rows: list[dict[str, Any]] = one.ask(INBOXES, {})["inboxes"]
    found = [row for row in rows if inbox.strip().casefold() in (str(row["id"]), row["address"].casefold())]
    if found:
        return found[0]
    return fail(Fault(kind=Kind.NOT_FOUND, title=f"there is no inbox {inbox} of yours; it may be over"))
