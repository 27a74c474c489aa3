"""`mail`: the mails that came, what became of them, and their source while it is stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, get_args

import click
from msgspec import to_builtins

from mailbridge.cli import completing
from mailbridge.cli.client import Client, client, fail
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain, note
from mailbridge.cli.groups import Group
from mailbridge.cli.mailfiles import mails
from mailbridge.cli.options import config_option, json_option, moment
from mailbridge.cli.params import NUMBER, is_number
from mailbridge.cli.printing import Column, Row, Table, as_row, dumped, local, sentence, visible
from mailbridge.cli.sender import allow_sender
from mailbridge.core.addresses import parse_return_path_header, parse_sole_mailbox
from mailbridge.operator import verbs
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.journal import TailAsk
from mailbridge.operator.mails import Import, MailList, OneMail, RemoveMails, StateName
from mailbridge.operator.shapes import DeliveryShape, Handed, Line, MailDetail, MailShape

HEAD_LIMIT = 65_536
"""Octets in which the headers of a mail from a file are looked for."""

FOLLOWED = 30.0
"""Seconds for which one question to the journal is held open."""

PAGE = 1_000

COLUMNS = (
    Column(title="MAIL", width=6, is_right=True),
    Column(title="RECEIVED", width=19),
    Column(title="FOUND", width=12),
    Column(title="FOR", width=32),
)
COLOURS = {"code": "green", "link": "green", "confirmation": "cyan", "ambiguous": "yellow"}


@click.group(cls=Group)
def mail() -> None:
    """List, show, release, replay, import and remove mails."""


@mail.command("list")
@config_option
@json_option
@click.option(
    "--for",
    "identifier",
    default="",
    shell_complete=completing.identifiers,
    metavar="IDENTIFIER",
    help="Only mails for this identifier.",
)
@click.option("--from", "sender", default="", metavar="SENDER", help="Only of this address or domain.")
@click.option("--held", is_flag=True, help="Only mails that are held without proof.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice(get_args(StateName)), help="Only mails with a delivery in this state."
)
@click.option("--since", callback=moment, metavar="WHEN", help="Only received since: 2026-01-31T12:00:00Z, or 15m (ago).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--follow", is_flag=True, help="Go on with what comes in, until Ctrl-C.")
def list_mails(*, config: Path | None, as_json: bool, limit: int, follow: bool, **wish: Any) -> None:
    """List mails, newest first, with what was found in each.

    A Gmail confirmation is shown with the link to open. --follow prints the
    newest mails, oldest first, and then each mail when it comes in.
    """
    one = client(config)
    ask = MailList(
        identifier=wish["identifier"],
        sender=wish["sender"],
        held=True if wish["held"] else None,
        state=wish["states"],
        since=wish["since"],
    )
    after = one.do(verbs.JOURNAL_TAIL, TailAsk()).next if follow else 0
    rows = list(_pages(one, ask, limit))
    table = Table(*COLUMNS)
    for row in reversed(rows) if follow else rows:
        _tell_mail(table, row, as_json=as_json)
    if follow:
        _follow(one, ask, after, table, as_json=as_json)
    elif not as_json:
        table.end("no mail came in yet" if ask == MailList() else "no mail matches; `mailbridge mail list` shows all")


def _tell_mail(table: Table, row: MailShape, *, as_json: bool) -> None:
    if as_json:
        click.echo(dumped(as_row(row)))
    else:
        table.add(_row(row))


def _pages(one: Client, ask: MailList, limit: int) -> Iterator[MailShape]:
    """Mails, page by page, up to ``limit``."""
    before: int | None = None
    left = limit
    while left > 0:
        asked = MailList(
            identifier=ask.identifier,
            sender=ask.sender,
            held=ask.held,
            state=ask.state,
            since=ask.since,
            before=before,
            limit=min(left, PAGE),
        )
        page = one.do(verbs.MAIL_LIST, asked)
        yield from page.mails
        left -= len(page.mails)
        before = page.next
        if before is None:
            return


def _follow(one: Client, ask: MailList, after: int, table: Table, *, as_json: bool) -> None:
    """Show each matching mail when something happens to it: when it comes in, and with ``--state`` when it reaches that state."""
    if not one.is_daemon:
        fail(Fault(kind=Kind.NO_DAEMON, title="no daemon is running, so nothing comes in; `mailbridge serve` starts it"))
    while True:
        tail = one.do(verbs.JOURNAL_TAIL, TailAsk(after=after, timeout=FOLLOWED - 1))
        after = tail.next
        wanted = [line for line in tail.lines if line.event in (ask.state or ("stored",))]
        for number in dict.fromkeys(line.mail for line in wanted):
            row = one.attempt(verbs.MAIL_SHOW, OneMail(id=number)) if number else None
            if isinstance(row, MailDetail) and _fits(row, ask):
                _tell_mail(table, row, as_json=as_json)
                sys.stdout.flush()


def _fits(row: MailShape, ask: MailList) -> bool:
    wanted, sender = ask.identifier.casefold(), ask.sender.casefold().removeprefix("@")
    is_for = not wanted or wanted in {one.casefold() for one in row.identifiers}
    is_from = not sender or sender in (row.from_.casefold(), row.from_.casefold().rpartition("@")[2])
    return is_for and is_from and (ask.held is None or bool(row.held) == ask.held)


@mail.command("show")
@config_option
@json_option
@click.argument("number", type=NUMBER, shell_complete=completing.mails)
@click.option("--raw", is_flag=True, help="The mail itself, octet for octet.")
@click.option("--reveal", is_flag=True, help="Also show the values that were rejected.")
def show_mail(*, config: Path | None, as_json: bool, number: int, raw: bool, reveal: bool) -> None:
    """Show one mail: for whom it was, what was found, and what became of it.

    Its deliveries and its history are at the end.
    """
    if raw and as_json:
        raise click.UsageError("--raw prints the mail itself; leave out --json")
    one, ask = client(config), _one(number)
    if raw:
        sys.stdout.buffer.write(one.do(verbs.MAIL_RAW, ask).content)
        return
    detail = one.do(verbs.MAIL_REVEAL if reveal else verbs.MAIL_SHOW, ask)
    if as_json:
        click.echo(dumped(as_row(detail)))
        return
    for name, value in to_builtins(detail).items():
        if name not in ("deliveries", "history") and value not in (None, "", []):
            value = local(value) if name.endswith("_at") else value
            click.echo(f"{name:16} {_as_text(value)}")
    for delivery in detail.deliveries:
        click.echo(f"{'delivery':16} {visible(became(delivery))}")
    for line in detail.history:
        click.echo(f"{'history':16} {visible(_happened(line))}")


def _as_text(value: Any) -> str:
    """A value as a person reads it: names and sentences as they are, what has parts as JSON."""
    if isinstance(value, str | int):
        return visible(str(value))
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return visible(", ".join(value))
    return dumped(value)


def became(row: DeliveryShape) -> str:
    """What became of a code, and when."""
    tries = f"{row.attempts} attempt{'s' if row.attempts != 1 else ''}"
    at = f" at {local(row.final_at)}" if row.final_at else ""
    why = f": {row.reason}" if row.reason else ""
    return f"{row.id}: {row.kind} for {row.identifier} → {row.target}: {row.state}{at}, {tries}{why}"


def _happened(line: Line) -> str:
    about = f" (delivery {line.delivery})" if line.delivery else ""
    return f"{local(line.at)} {line.event}{about}{f': {line.detail}' if line.detail else ''}"


def _one(number: int) -> OneMail:
    if not is_number(number):
        fail(Fault(kind=Kind.NOT_FOUND, title=f"there is no mail {number}; `mailbridge mail list` lists them"))
    return OneMail(id=number)


@mail.command("replay")
@config_option
@json_option
@click.argument("number", type=NUMBER, shell_complete=completing.mails)
def replay_mail(*, config: Path | None, as_json: bool, number: int) -> None:
    """Process a stored mail again as a new one, for example after you changed a rule.

    A mail that had passed the proof needs none again. A held mail needs its
    proof again; `mail release` pushes it without.
    """
    handed = client(config).do(verbs.MAIL_REPLAY, _one(number))
    _tell(f"mail {number}", handed, as_json=as_json)


@mail.command("release")
@config_option
@json_option
@click.option("--allow", is_flag=True, help="Make the sender known for the identifier too.")
@click.argument("number", type=NUMBER, shell_complete=completing.mails)
def release_mail(*, config: Path | None, as_json: bool, allow: bool, number: int) -> None:
    """Push the code or link of a held mail. You answer for it.

    Look at it first (`mail show`). The life of its code began when the mail
    came in. This does not make the sender known; --allow does, as
    `mailbridge sender allow` would. Exit 4: the mail is not held, it is no
    longer kept, or its code has expired.
    """
    one = client(config)
    handed = one.do(verbs.MAIL_RELEASE, _one(number))
    if allow:
        mail_row = one.do(verbs.MAIL_SHOW, _one(number))
        allow_sender(one, mail_row.from_, mail_row.identifiers)
    _tell(f"mail {number}", handed, as_json=as_json)
    if all(one.state == "expired" for one in handed.deliveries):
        complain(f"nothing is pushed: the time of mail {number} is over")
        raise SystemExit(Exit.NOT_FOUND)


@mail.command("remove")
@config_option
@json_option
@click.option(
    "--for", "identifier", required=True, shell_complete=completing.identifiers, metavar="IDENTIFIER", help="Whose mails."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_mails(*, config: Path | None, as_json: bool, identifier: str, yes: bool) -> None:
    """Erase for good everything that is kept of an identifier.

    That is its mails, codes, deliveries, its name in the journal, and who was
    given its codes. What you configured for it stays; the command names it.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here whether to erase it; --yes does it")
    if not yes:
        click.confirm(f"Erase everything that is kept of {identifier}?", abort=True, err=True)
    found = client(config).do(verbs.MAIL_REMOVE, RemoveMails(identifier=identifier))
    if as_json:
        click.echo(dumped(as_row(found)))
        return
    click.echo(f"{visible(found.identifier)}: {found.mails} mails and {found.deliveries} deliveries are erased")
    for name in found.still_named_by:
        note(f"it is still named by {visible(name)}")


@mail.command("import")
@config_option
@json_option
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--rcpt", metavar="ADDR", help="The recipient here (default: X-Envelope-To, else the first address).")
@click.option("--mail-from", metavar="ADDR", help="The envelope sender (default: Return-Path, else none).")
def import_mails(*, config: Path | None, as_json: bool, paths: tuple[str, ...], rcpt: str | None, mail_from: str | None) -> None:
    """Take mails in from files as if they arrived now: their codes are pushed.

    PATH is an .eml file, a folder of them, an mbox, or - for standard
    input. The mails need no proof: you answer for them.
    `mailbridge extract` shows what would be found and pushes nothing.
    """
    one = client(config)
    is_missing = is_refused = False
    for path in paths:
        with _readable(path) as trouble:
            for name, content in mails(path):
                handed = one.attempt(verbs.MAIL_IMPORT, _import(content, rcpt, mail_from))
                if isinstance(handed, Handed):
                    _tell(name, handed, as_json=as_json)
                    continue
                if handed.kind in (Kind.NO_DAEMON, Kind.BAD_CONFIG, Kind.FORBIDDEN, Kind.TRY_AGAIN):
                    fail(handed)
                complain(f"{name}: {handed.title}")
                is_refused = True
        is_missing = is_missing or bool(trouble)
    if is_missing or is_refused:
        raise SystemExit(Exit.NOT_FOUND if is_missing else Exit.GENERAL)


@contextmanager
def _readable(path: str) -> Iterator[list[str]]:
    """Report the error of one file; the other files are still imported."""
    trouble: list[str] = []
    try:
        yield trouble
    except OSError as fault:
        complain(f"{path}: {fault.strerror}")
        trouble.append(path)


def _import(content: bytes, rcpt: str | None, mail_from: str | None) -> Import:
    head = message_from_bytes(content[:HEAD_LIMIT], policy=policy.compat32)
    to = rcpt or parse_sole_mailbox(str(head.get("X-Envelope-To", ""))) or ""
    sender = mail_from if mail_from is not None else parse_return_path_header(str(head.get("Return-Path", "")))
    return Import(content=content or b"\r\n", rcpt=to, mail_from=sender)


def _tell(name: str, handed: Handed, *, as_json: bool) -> None:
    if as_json:
        click.echo(dumped({"file": name, **as_row(handed)}))
        return
    again = ", the same that is there already" if handed.is_duplicate else ""
    click.echo(visible(f"{name} → mail {handed.mail}{again}"))
    for delivery in handed.deliveries:
        click.echo(visible(f"        delivery {became(delivery)}"))


def _row(row: MailShape) -> Row:
    """A mail in the list; a held mail is shown as held."""
    what = "held" if row.held else row.verdict
    why = row.held[0] if row.held else row.reason
    details = [f"From {row.from_ or row.mail_from or 'nobody named'}: {sentence(why)}"]
    if row.confirm_link:
        details.append(f"open this link to confirm: {row.confirm_link}")
    return Row(
        cells=[str(row.id), local(row.received_at), what, ", ".join(row.identifiers) or "nobody known"],
        coloured=2,
        colour="yellow" if row.held else COLOURS.get(row.verdict),
        details=details,
    )
