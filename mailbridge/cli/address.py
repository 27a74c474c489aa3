"""`address`: recipients that mail is taken for, added without a file and in force at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from mailbridge.cli import completing
from mailbridge.cli.client import client
from mailbridge.cli.entries import entries, origin_of
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option, load_or_exit
from mailbridge.cli.printing import Column, Row, dumped, print_list, sentence, visible
from mailbridge.config.settings import Settings
from mailbridge.core.addresses import parse_mailbox
from mailbridge.core.recipients import RANDOM_LENGTH, unguessable_address
from mailbridge.operator import verbs
from mailbridge.operator.entries import AddEntry, OneEntry


@click.group("address", cls=Group)
def address_group() -> None:
    """Addresses at which mail is taken: add, list, remove."""


@address_group.command("add")
@config_option
@json_option
@click.option("--for", "identifier", metavar="IDENTIFIER", help="Push codes under this identifier, whatever the mail says.")
@click.option("--rcpt", metavar="ADDRESS", help="The address (default: one that nobody can guess).")
@click.option("--domain", metavar="DOMAIN", help="The domain of such an address (default: the first of [domains] accept).")
@click.option(
    "--accept-from", "senders", multiple=True, metavar="SENDER", help="The senders whose mails it takes; several allowed."
)
@click.option(
    "--site", "sites", multiple=True, metavar="SITE", help="The site whose codes come there, such as github.com; several allowed."
)
@click.option("--trust", "proofs", multiple=True, metavar="PROOF", help="The proof that its mails need; several allowed.")
def add_address(
    *,
    config: Path | None,
    as_json: bool,
    identifier: str | None,
    rcpt: str | None,
    domain: str | None,
    senders: tuple[str, ...],
    sites: tuple[str, ...],
    proofs: tuple[str, ...],
) -> None:
    """Add an address at which mail is taken, and print it. It is in force at once."""
    if rcpt is not None and domain is not None:
        raise click.UsageError("--rcpt is a whole address; leave out --domain")
    one = client(config)
    wanted = rcpt or _unguessable(domain, one.loaded.settings)
    values: dict[str, Any] = {"rcpt": wanted}
    values |= {"identifier": identifier} if identifier is not None else {}
    values |= {"accept_from": list(senders)} if senders else {}
    values |= {"site": list(sites)} if sites else {}
    values |= {"trust": list(proofs)} if proofs else {}
    one.do(verbs.ENTRY_ADD, AddEntry(kind="address", name=wanted, settings=values))
    shown = {"rcpt": wanted, "identifier": identifier} | ({"site": list(sites)} if sites else {})
    click.echo(dumped(shown) if as_json else wanted)


@address_group.command("list")
@config_option
@json_option
def list_addresses(*, config: Path | None, as_json: bool) -> None:
    """List every address and its origin."""
    one = client(config)
    rows = []
    for entry in entries(one, "address"):
        rcpt, identifier = entry.settings.get("rcpt", entry.name), entry.settings.get("identifier")
        origin = origin_of(one, entry)
        shown = Row(cells=[rcpt, identifier or "whom the mail names"], details=[sentence(origin)])
        rows.append((shown, {"rcpt": rcpt, "identifier": identifier, "origin": origin}))
    columns = (Column(title="ADDRESS", width=46), Column(title="FOR", width=32))
    print_list(rows, *columns, empty="there is no address; `mailbridge address add` makes one", as_json=as_json)


@address_group.command("remove")
@config_option
@json_option
@click.argument("rcpt", shell_complete=completing.entries("address"))
def remove_address(*, config: Path | None, as_json: bool, rcpt: str) -> None:
    """Remove an address that was added by command. Its mail is refused from then on."""
    client(config).do(verbs.ENTRY_REMOVE, OneEntry(kind="address", name=rcpt))
    click.echo(dumped({"removed": rcpt}) if as_json else visible(f"{rcpt} is removed"))


@address_group.command("new", hidden=True)
@config_option
@json_option
@click.option("--for", "identifier", metavar="IDENTIFIER", help="Push codes under this identifier, whatever the mail says.")
@click.option("--domain", metavar="DOMAIN", help="The domain of the address (default: the first of [domains] accept).")
def new_address(*, config: Path | None, as_json: bool, identifier: str | None, domain: str | None) -> None:
    """Print an unguessable address and the lines for a file; nothing is added."""
    rcpt = _unguessable(domain, load_or_exit(config).settings if domain is None else None)
    if as_json:
        click.echo(dumped({"rcpt": rcpt, "identifier": identifier}))
        return
    lines = ["[[address]]", f"rcpt = {json.dumps(rcpt)}"]
    if identifier is not None:
        lines.append(f"identifier = {dumped(identifier)}")
    click.echo(rcpt)
    click.echo("\n".join(("", "# add to mailbridge.toml, then `mailbridge check-config` and reload (HUP):", *lines)), err=True)


def _unguessable(domain: str | None, settings: Settings | None) -> str:
    """An address of a domain, by default of the first one that is accepted; exit 2 if there is none."""
    chosen = domain or (next(iter(settings.domains.accept), None) if settings is not None else None)
    if chosen is None or parse_mailbox(f"x@{chosen}") is None:
        complain("name the domain whose mail comes here with --domain, such as bridge.example.com")
        raise SystemExit(Exit.USAGE)
    return unguessable_address(chosen, os.urandom(RANDOM_LENGTH))
