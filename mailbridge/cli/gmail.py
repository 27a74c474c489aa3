"""`gmail`: a filter to import into Gmail's settings, so that nobody has to type one, and a yes to what Gmail asks then.

The form is that of Gmail's own "Export": an Atom feed, an entry a filter, its conditions and actions as properties.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import click

from mailbridge.cli.client import client, fail
from mailbridge.cli.entries import own_address
from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option
from mailbridge.core.addresses import parse_mailbox
from mailbridge.core.secret import Secret
from mailbridge.operator import verbs
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.mails import MailList, OneMail
from mailbridge.operator.shapes import MailShape

SEARCHED = 500
"""Newest mails among which a confirmation is looked for."""

LONGEST = 1_000
"""Characters of one condition: Gmail takes longer ones, and then they silently never match. Longer lists make more filters."""

WORDS = (
    '"verification code"', '"security code"', '"login code"', '"sign-in code"', '"one-time"', '"confirmation code"',
    '"access code"', "passcode", "OTP", '"two-factor"', '"2-step"', '"verify your"', '"magic link"',
)  # fmt: skip
"""What is asked for where no sender is named: wide, since a mail without a code is only held here."""


@click.group()
def gmail() -> None:
    """What Gmail needs to forward codes here."""


@gmail.command("filter")
@config_option
@click.option("--for", "identifier", default="", metavar="IDENTIFIER", help="Forward to the address of this identifier.")
@click.option("--forward-to", metavar="ADDR", help="Where Gmail forwards to (default: the first address).")
@click.option("--from", "senders", multiple=True, metavar="ADDR", help="A sender, address or domain; may be repeated.")
@click.option("--subject", "subjects", multiple=True, metavar="WORDS", help="Words in the subject; may be repeated.")
@click.option("--words", "words", multiple=True, metavar="WORDS", help="Words anywhere in the mail; may be repeated.")
@click.option("--archive", is_flag=True, help="Keep what is forwarded out of the inbox.")
def filter_feed(
    *,
    config: Path | None,
    identifier: str,
    forward_to: str | None,
    senders: tuple[str, ...],
    subjects: tuple[str, ...],
    words: tuple[str, ...],
    archive: bool,
) -> None:
    """Print a mailFilters.xml for Gmail.

    Import it in Gmail: Settings, Filters and blocked addresses, Import filters. Without --from, --subject and --words the
    filter asks for what sign-in mails usually say. Confirm the forwarding address in Gmail first (Settings, Forwarding): a
    filter that forwards to an unconfirmed address cannot be imported.
    """
    if forward_to is not None and identifier:
        raise click.UsageError("--forward-to is a whole address; leave out --for")
    target = forward_to or own_address(client(config), identifier)
    if parse_mailbox(target) is None:
        click.echo(f"mailbridge: {target!r} is no mail address", err=True)
        raise SystemExit(Exit.USAGE)
    if not (senders or subjects or words):
        words = WORDS
    conditions = [("from", one) for one in _joined(senders)]
    conditions += [("subject", one) for one in _joined([_quoted(one) for one in subjects])]
    conditions += [("hasTheWord", one) for one in _joined([_quoted(one) for one in words])]
    click.echo(_feed(conditions, target, is_archived=archive))


def _joined(terms: Sequence[str]) -> Iterator[str]:
    """Terms as Gmail's ``a OR b``, in as many conditions as their length asks for."""
    group: list[str] = []
    for term in dict.fromkeys(term.strip() for term in terms if term.strip()):
        if group and len(" OR ".join((*group, term))) > LONGEST:
            yield " OR ".join(group)
            group = []
        group.append(term)
    if group:
        yield " OR ".join(group)


def _quoted(words: str) -> str:
    """Several words are one phrase."""
    plain = words.strip()
    return f'"{plain}"' if " " in plain and not plain.startswith('"') else plain


def _feed(conditions: Sequence[tuple[str, str]], target: str, *, is_archived: bool) -> str:
    lines = [
        "<?xml version='1.0' encoding='UTF-8'?>",
        "<feed xmlns='http://www.w3.org/2005/Atom' xmlns:apps='http://schemas.google.com/apps/2006'>",
        "  <title>Mail Filters</title>",
    ]
    for name, value in conditions:
        properties = [(name, value), ("forwardTo", target), ("shouldNeverSpam", "true")]
        properties += [("shouldArchive", "true")] if is_archived else []
        lines += ["  <entry>", "    <category term='filter'/>", "    <title>Mail Filter</title>", "    <content/>"]
        lines += [f"    <apps:property name={quoteattr(key)} value={quoteattr(text)}/>" for key, text in properties]
        lines.append("  </entry>")
    return "\n".join([*lines, "</feed>"])


@gmail.command("confirm")
@config_option
@click.argument("number", type=int, required=False)
@click.option("--print", "is_printed", is_flag=True, help="Only print the link, to open it yourself.")
def confirm(*, config: Path | None, number: int | None, is_printed: bool) -> None:
    """Answer Gmail's forwarding confirmation with yes.

    It is the newest one, or the mail NUMBER. Look first whose account it is. Only a confirmation that google.com has signed has
    a link here, and nothing but Google's own page is opened. Exit 4: there is none that waits; 69: Google's page did not do
    what it should.
    """
    row = _chosen(config, number)
    if row is None or row.confirm_link is None:
        held = f": {row.held[0]}" if row is not None and row.held else ""
        click.echo(f"mailbridge: no confirmation with a link{held}; `mailbridge mail list` shows what came", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    click.echo(f"{row.reason}\n{row.trust}")
    if is_printed:
        click.echo(row.confirm_link)
        return
    why = asyncio.run(_confirmed(Secret(row.confirm_link)))
    if why:
        click.echo(f"mailbridge: not confirmed: {why}", err=True)
        raise SystemExit(Exit.UNAVAILABLE)
    click.echo("confirmed: Gmail may forward here now; choose the address in Gmail's settings, or in a filter")


def _chosen(config: Path | None, number: int | None) -> MailShape | None:
    one = client(config)
    if number is not None:
        found = one.attempt(verbs.MAIL_SHOW, OneMail(id=max(number, 1)))
        if isinstance(found, Fault) and found.kind is not Kind.NOT_FOUND:
            fail(found)
        return None if isinstance(found, Fault) else found
    rows = one.do(verbs.MAIL_LIST, MailList(limit=SEARCHED)).mails
    asked = [row for row in rows if row.verdict == "confirmation"]
    return next((row for row in asked if row.confirm_link is not None), asked[0] if asked else None)


async def _confirmed(link: Secret) -> str:
    """Why it did not work; ``""`` where it did."""
    from mailbridge.trust.gmail import Confirmed, browser
    from mailbridge.trust.gmail import confirm as confirm_at_google

    async with browser() as client:
        answer = await confirm_at_google(link, client)
    return "" if isinstance(answer, Confirmed) else answer.why
