"""`sender`: known and forbidden senders, changed without a file and in force at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mailbridge.cli.client import Client, client
from mailbridge.cli.entries import entries, origin_of
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain, note
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.printing import Column, Row, dumped, print_list, sentence, visible
from mailbridge.config.settings import SenderSettings
from mailbridge.operator import verbs
from mailbridge.operator.asks import Nothing
from mailbridge.operator.entries import AddEntry, OneEntry
from mailbridge.operator.shapes import EntryShape
from mailbridge.store.reading import literal
from mailbridge.trust.known import domain_of

for_option = click.option(
    "--for", "identifiers", multiple=True, metavar="IDENTIFIER", help="For this identifier alone; several allowed (default: all)."
)

LEARNED = "a credential of Skyvern names this site"


@click.group("sender", cls=Group)
def sender_group() -> None:
    """Known senders, whose codes and links are pushed, and forbidden senders."""


@sender_group.command("allow")
@config_option
@json_option
@for_option
@click.argument("sender", metavar="DOMAIN|ADDRESS")
def allow(*, config: Path | None, as_json: bool, identifiers: tuple[str, ...], sender: str) -> None:
    """Make a sender known, by domain or address: its codes and links are pushed.

    A domain stands for its whole registrable domain. Give an address for a platform, whose notices are held otherwise.

    It counts for mails whose From is proven. It is in force at once.
    """
    _say(_put(client(config), sender, identifiers, is_allowed=True), as_json=as_json, is_allowed=True)


@sender_group.command("forbid")
@config_option
@json_option
@for_option
@click.argument("sender", metavar="DOMAIN|ADDRESS")
def forbid(*, config: Path | None, as_json: bool, identifiers: tuple[str, ...], sender: str) -> None:
    """Push nothing more from a domain or an address.

    This holds even if something else makes the sender known.
    """
    _say(_put(client(config), sender, identifiers, is_allowed=False), as_json=as_json, is_allowed=False)


@sender_group.command("list")
@config_option
@json_option
def list_senders(*, config: Path | None, as_json: bool) -> None:
    """List every sender that is known or forbidden.

    Each line says for which identifier, and its origin.
    """
    one = client(config)
    rows = []
    for entry in entries(one, "sender"):
        table, origin = _table(entry), origin_of(one, entry)
        row = {"sender": table.sender, "identifiers": list(table.identifiers), "allow": table.allow, "origin": origin}
        cells = ["allowed" if table.allow else "forbidden", table.sender, ", ".join(table.identifiers)]
        rows.append((Row(cells=cells, details=[sentence(origin)]), row))
    known = one.do(verbs.SENDER_KNOWN, Nothing())
    for found in known.learned:
        for site in found.sites:
            row = {"sender": site, "identifiers": [found.identifier], "allow": True, "origin": LEARNED}
            rows.append((Row(cells=["known", site, found.identifier], details=[sentence(LEARNED)]), row))
    columns = (Column(title="IS", width=9), Column(title="SENDER", width=32), Column(title="FOR", width=32))
    print_list(
        rows,
        *columns,
        empty="no sender is allowed or forbidden by name, and no credential of Skyvern names a site",
        as_json=as_json,
    )


@sender_group.command("remove")
@config_option
@json_option
@for_option
@click.argument("sender", metavar="DOMAIN|ADDRESS")
def remove_sender(*, config: Path | None, as_json: bool, identifiers: tuple[str, ...], sender: str) -> None:
    """Remove what `sender allow` or `sender forbid` added."""
    label = SenderSettings(sender=_written(sender), identifiers=identifiers or ("*",)).label
    client(config).do(verbs.ENTRY_REMOVE, OneEntry(kind="sender", name=label))
    click.echo(dumped({"removed": label}) if as_json else visible(f"{label} is removed"))


def allow_sender(one: Client, sender: str, identifiers: Sequence[str]) -> None:
    """Make a mail's sender known for its identifiers, unless it already is: its registrable domain, or the part that only this
    sender uses."""
    known = domain_of(sender)
    if not known or not identifiers:
        complain("the mail has no sender, or no identifier, that could be allowed")
        raise SystemExit(Exit.NOT_FOUND)
    lines = tuple(map(literal, identifiers))  # one that holds a * is no pattern here
    wanted = SenderSettings(sender=known, identifiers=lines)
    if not any(table.label == wanted.label and table.allow for table in map(_table, entries(one, "sender"))):
        _put(one, known, lines, is_allowed=True)
    note(f"{wanted.label} is allowed")


def _table(entry: EntryShape) -> SenderSettings:
    return SenderSettings(
        sender=str(entry.settings.get("sender", entry.name)),
        identifiers=tuple(entry.settings.get("identifiers", ("*",))),
        allow=bool(entry.settings.get("allow", True)),
    )


def _put(one: Client, sender: str, identifiers: tuple[str, ...], *, is_allowed: bool) -> SenderSettings:
    table = SenderSettings(sender=_written(sender), identifiers=identifiers or ("*",), allow=is_allowed)
    values: dict[str, object] = {"sender": table.sender}
    values |= {"identifiers": list(identifiers)} if identifiers else {}
    values |= {} if is_allowed else {"allow": False}
    one.do(verbs.ENTRY_ADD, AddEntry(kind="sender", name=table.label, settings=values))
    return table


def _written(sender: str) -> str:
    """The stored form: a domain in small letters, without a prefix such as ``@``."""
    local, at, domain = sender.strip().rpartition("@")
    return f"{local}{at}{domain.lower()}" if local and local != "*" else domain.lower()


def _say(table: SenderSettings, *, as_json: bool, is_allowed: bool) -> None:
    row = {"sender": table.sender, "identifiers": list(table.identifiers), "allow": is_allowed}
    click.echo(dumped(row) if as_json else visible(f"{table.label} is {'allowed' if is_allowed else 'forbidden'}"))
