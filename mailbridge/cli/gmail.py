"""`gmail`: a filter to import into Gmail's settings, and the confirmation that Gmail asks for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from mailbridge.cli import completing
from mailbridge.cli.client import client, fail
from mailbridge.cli.entries import own_address
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.params import NUMBER, is_number
from mailbridge.cli.printing import dumped, visible
from mailbridge.core.addresses import parse_mailbox
from mailbridge.core.secret import Secret
from mailbridge.operator import verbs
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.gmail import feed
from mailbridge.operator.mails import MailList, OneMail
from mailbridge.operator.shapes import MailShape

SEARCHED = 500
"""Newest mails among which a confirmation is looked for."""


@click.group(cls=Group)
def gmail() -> None:
    """Forwarding from Gmail: the confirmation and the filter."""


@gmail.command("filter")
@config_option
@json_option
@click.option("--for", "identifier", default="", metavar="IDENTIFIER", help="Forward to the address of this identifier.")
@click.option("--forward-to", metavar="ADDR", help="Where Gmail forwards to (default: the first address).")
@click.option("--from", "senders", multiple=True, metavar="ADDR", help="A sender, address or domain; may be repeated.")
@click.option("--subject", "subjects", multiple=True, metavar="WORDS", help="Words in the subject; may be repeated.")
@click.option("--words", "words", multiple=True, metavar="WORDS", help="Words anywhere in the mail; may be repeated.")
@click.option("--archive", is_flag=True, help="Keep what is forwarded out of the inbox.")
def filter_feed(
    *,
    config: Path | None,
    as_json: bool,
    identifier: str,
    forward_to: str | None,
    senders: tuple[str, ...],
    subjects: tuple[str, ...],
    words: tuple[str, ...],
    archive: bool,
) -> None:
    """Print a mailFilters.xml for Gmail.

    Import it in Gmail: Settings, Filters and Blocked Addresses, Import filters. Without --from, --subject and --words it looks for
    the usual words of sign-in mails, in every language that the extractor knows. Confirm the forwarding address in Gmail first
    (Settings, Forwarding): Gmail does not import a filter that forwards to an unconfirmed address.
    """
    if forward_to is not None and identifier:
        raise click.UsageError("--forward-to is a whole address; leave out --for")
    target = forward_to or own_address(client(config), identifier)
    if parse_mailbox(target) is None:
        complain(f"{target!r} is not a mail address")
        raise SystemExit(Exit.USAGE)
    made = feed(target, senders=senders, subjects=subjects, words=words, is_archived=archive)
    click.echo(dumped({"forward_to": target, "filter": made}) if as_json else made)


@gmail.command("confirm")
@config_option
@json_option
@click.argument("number", type=NUMBER, shell_complete=completing.mails, required=False)
@click.option("--print", "is_printed", is_flag=True, help="Only print the link, to open it yourself.")
def confirm(*, config: Path | None, as_json: bool, number: int | None, is_printed: bool) -> None:
    """Confirm the forwarding that Gmail asks about.

    It takes the newest confirmation, or the mail NUMBER. Check first whose account it is. Only a confirmation that google.com has
    signed has a link here, and only Google's own page is opened. Exit 4: no confirmation waits; 69: Google's page did not
    confirm.
    """
    row = _chosen(config, number)
    if row is None or row.confirm_link is None:
        held = f": {row.held[0]}" if row is not None and row.held else ""
        complain(f"no confirmation with a link{held}; `mailbridge mail list` shows what came")
        raise SystemExit(Exit.NOT_FOUND)
    if not as_json:
        click.echo(f"{visible(row.reason)}\n{visible(row.trust)}")
    if is_printed:
        click.echo(dumped({"mail": row.id, "link": row.confirm_link}) if as_json else row.confirm_link)
        return
    why = asyncio.run(_confirmed(Secret(row.confirm_link)))
    if why:
        complain(f"not confirmed: {why}")
        raise SystemExit(Exit.UNAVAILABLE)
    told = "confirmed: Gmail may forward here now; choose the address in Gmail's settings, or in a filter"
    click.echo(dumped({"mail": row.id, "confirmed": True}) if as_json else told)


def _chosen(config: Path | None, number: int | None) -> MailShape | None:
    one = client(config)
    if number is not None:
        if not is_number(number):
            return None
        found = one.attempt(verbs.MAIL_SHOW, OneMail(id=number))
        if isinstance(found, Fault) and found.kind is not Kind.NOT_FOUND:
            fail(found)
        return None if isinstance(found, Fault) else found
    rows = one.do(verbs.MAIL_LIST, MailList(limit=SEARCHED)).mails
    asked = [row for row in rows if row.verdict == "confirmation" and row.rcpt_to]  # without a recipient it is another service's
    return next((row for row in asked if row.confirm_link is not None), asked[0] if asked else None)


async def _confirmed(link: Secret) -> str:
    """Why it failed; ``""`` if it worked."""
    from mailbridge.trust.gmail import Confirmed, browser
    from mailbridge.trust.gmail import confirm as confirm_at_google

    async with browser() as client:
        answer = await confirm_at_google(link, client)
    return "" if isinstance(answer, Confirmed) else answer.why
