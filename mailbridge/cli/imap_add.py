"""`imap add`: add a mailbox by its address. It is tried with one fetch before it is stored, then with a mail that the person
sends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from mailbridge.cli.client import Client, client, fail
from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, json_option
from mailbridge.cli.params import Seconds
from mailbridge.cli.printing import as_row, dumped, visible
from mailbridge.cli.secret import secret_of
from mailbridge.operator import verbs
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.journal import TailAsk
from mailbridge.operator.mailboxes import AddMailbox, OfMailbox
from mailbridge.operator.mails import OneMail
from mailbridge.operator.shapes import MailboxAdded, MailDetail, ProviderShape

UNFINISHED = ("pending", "in_flight")
GLANCE = 0.05
OLD = timedelta(seconds=60)
"""A mail that came so long before it was asked for is another one: the first look at a mailbox goes back ten minutes."""


@click.command("add")
@click.argument("address")
@config_option
@json_option
@click.option("--server", metavar="HOST[:PORT]", help="Its IMAP server, if the address does not tell it.")
@click.option("--tls", type=click.Choice(["tls", "starttls", "none"]), help="With --server: how the connection is protected.")
@click.option("--username", metavar="NAME", help="The login name, if it is not the address.")
@click.option("--name", metavar="NAME", help="What it is called in status and metrics (default: gmail-1, for instance).")
@click.option("--for", "identifier", metavar="IDENTIFIER", help="Push its codes under this identifier.")
@click.option("--folder", "folders", multiple=True, metavar="FOLDER", help="Watch this folder (default: INBOX); several allowed.")
@click.option("--password-file", type=click.Path(path_type=Path), metavar="PATH", help="A file with its password.")
@click.option("--oauth", is_flag=True, help="Use the permission of its owner (OAuth) in place of a password.")
@click.option("--client-id", metavar="ID", help="With --oauth: the application that you registered with the provider.")
@click.option(
    "--client-secret-file", type=click.Path(path_type=Path), metavar="PATH", help="With --oauth: a file with its secret."
)
@click.option("--tenant", metavar="NAME", help="With --oauth at Microsoft: consumers, or your tenant (default: common).")
@click.option("--device", is_flag=True, help="With --oauth: give the permission in a browser on another machine (device code).")
@click.option(
    "--no-browser", is_flag=True, help="With --oauth: open no browser; paste the address at which a browser elsewhere ends."
)
@click.option("--redirect-port", type=click.IntRange(0, 65535), default=0, help="With --oauth: the port of the redirect.")
@click.option("--no-wait", is_flag=True, help="Do not wait for a mail afterwards.")
@click.option(
    "--timeout", type=Seconds(), default=180.0, show_default=True, metavar="SECONDS", help="How long to wait for that mail."
)
def add_mailbox(*, address: str, config: Path | None, as_json: bool, no_wait: bool, timeout: float, **wish: Any) -> None:
    """Watch the mailbox ADDRESS from now on.

    The command finds the provider by the domain and its MX records, and asks
    for the password (or takes --password-file). It keeps nothing until it has
    logged in and fetched one mail. Then send a mail to yourself; the command
    shows what becomes of it.
    """
    one = client(config)
    settings = _settings(wish)
    found = None if "host" in settings else one.do(verbs.MAILBOX_PROVIDER, OfMailbox(address=address))
    if found is not None and not as_json:
        click.echo(f"{address}: {found.name}, found by its {_HOW[found.by]}")
        settings |= {"preset": found.preset} if found.preset else {"host": found.host}
    elif found is not None:
        settings |= {"preset": found.preset} if found.preset else {"host": found.host}
    token = ""
    secrets: dict[str, str] = {}
    if wish["oauth"]:
        settings["oauth"], secrets, token = _permission(address, found, wish)
    elif found is not None and not found.takes_password:
        fail(
            Fault(
                kind=Kind.BAD_REQUEST,
                title=f"{found.name} takes no passwords over IMAP: --oauth --client-id ID, see docs/imap.md",
            )
        )
    else:
        hint = found.hint if found is not None else "the account's password"
        secrets = {"password": secret_of(wish["password_file"], prompt=f"Password of {address} ({hint})").reveal()}
    ask = AddMailbox(address=address, settings=settings, secrets=secrets, refresh_token=token)
    added = one.do(verbs.MAILBOX_ADD, ask)
    _tell_added(added, as_json=as_json)
    if not no_wait:
        raise SystemExit(_watch(one, added, timeout, as_json=as_json))


_HOW = {"domain": "domain", "mx": "MX records", "name": "server's name", "spf": "SPF record"}


def _settings(wish: dict[str, Any]) -> dict[str, Any]:
    """What the options say, as keys of `[[imap]]`."""
    found: dict[str, Any] = {key: wish[key] for key in ("name", "username", "identifier", "tls") if wish[key]}
    found |= {"folders": list(wish["folders"])} if wish["folders"] else {}
    if wish["server"]:
        host, colon, port = wish["server"].rpartition(":")
        if not colon or host.endswith(":") or wish["server"].endswith("]"):
            host, port = wish["server"], ""
        if port and not port.isdigit():
            raise click.UsageError(f"--server: {port!r} is not a port")
        found |= {"host": host.strip("[]")} | ({"port": int(port)} if port else {})
    elif wish["tls"]:
        raise click.UsageError("--tls: goes with --server")
    return found


def _permission(address: str, found: ProviderShape | None, wish: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str], str]:
    """The oauth table, its secrets, and the refresh token that the owner's permission gave."""
    from mailbridge.cli.oauth import Way, permission
    from mailbridge.config.settings import ImapSettings, OAuthSettings

    if found is None or not found.oauth:
        raise click.UsageError(
            "--oauth: for mailboxes at Google and Microsoft; another provider's stands in the file, see docs/imap.md"
        )
    if not wish["client_id"]:
        raise click.UsageError(
            f"--oauth needs --client-id, of an application that you registered with {found.name}: see docs/imap.md"
        )
    if found.oauth == "google" and not wish["client_secret_file"]:
        raise click.UsageError("--oauth at Google needs --client-secret-file too, also for a desktop app")
    secret = secret_of(wish["client_secret_file"], prompt="Client secret") if wish["client_secret_file"] else None
    values: dict[str, Any] = {"provider": found.oauth, "client_id": wish["client_id"]}
    values |= {"tenant": wish["tenant"]} if wish["tenant"] else {}
    grant = OAuthSettings(**values, client_secret=secret)
    box = ImapSettings(
        username=wish["username"] or address, preset="gmail" if found.oauth == "google" else "outlook", oauth=grant
    )
    way = Way(is_device=wish["device"], is_pasted=wish["no_browser"], port=wish["redirect_port"])
    token = permission(box, grant, account=address, way=way)
    return values, {} if secret is None else {"oauth.client_secret": secret.reveal()}, token.reveal()


def _tell_added(added: MailboxAdded, *, as_json: bool) -> None:
    if as_json:
        click.echo(dumped(as_row(added)))
        return
    for step in added.steps:
        click.echo(visible(f" ✓ {step.step:11} {step.text}"))
    click.echo(f"{added.address} is watched as {added.name}")


def _watch(one: Client, added: MailboxAdded, timeout: float, *, as_json: bool) -> Exit:
    """Wait for a mail in the mailbox, and tell what becomes of it."""
    if not one.is_daemon:
        if not as_json:
            click.echo("No daemon is running: it is watched from the next `mailbridge serve` on.")
        return Exit.OK
    after, began = one.do(verbs.JOURNAL_TAIL, TailAsk()).next, datetime.now().astimezone()
    if not as_json:
        click.echo(f"Now send a mail to {added.address}, or ask a site for a code (Ctrl-C to leave it at that) …")
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        tail = one.do(verbs.JOURNAL_TAIL, TailAsk(after=after, timeout=max(0.0, min(10.0, until - time.monotonic()))))
        after = tail.next
        for number in [line.mail for line in tail.lines if line.event == "stored"]:
            found = one.attempt(verbs.MAIL_SHOW, OneMail(id=number))
            if isinstance(found, MailDetail) and _is_it(found, added, began):
                return _tell_mail(_settled(one, found, until), as_json=as_json)
    text = f"no mail came to {added.address} within {timeout:g} s; it stays watched, `mailbridge imap status` shows how it is"
    click.echo(dumped({"mail": None, "text": text}) if as_json else text)
    return Exit.NOT_FOUND


def _is_it(mail: MailDetail, added: MailboxAdded, began: datetime) -> bool:
    is_for_us = mail.ingress == "imap" and added.address.casefold() in (one.casefold() for one in mail.rcpt_to)
    return is_for_us and datetime.fromisoformat(mail.received_at) > began - OLD


def _settled(one: Client, mail: MailDetail, until: float) -> MailDetail:
    """The mail when its deliveries are final, or its state when the time is over."""
    while any(row.state in UNFINISHED for row in mail.deliveries) and time.monotonic() < until:
        time.sleep(GLANCE)
        mail = one.do(verbs.MAIL_SHOW, OneMail(id=mail.id))
    return mail


def _tell_mail(mail: MailDetail, *, as_json: bool) -> Exit:
    if as_json:
        click.echo(dumped({"mail": mail.id, "verdict": mail.verdict, "deliveries": [as_row(one) for one in mail.deliveries]}))
        return Exit.OK
    click.echo(visible(f" ✓ arrived     {mail.subject!r} from {mail.from_}"))
    for line in _verdict(mail):
        click.echo(visible(line))
    return Exit.OK


def _verdict(mail: MailDetail) -> Sequence[str]:
    """What became of it: held, no code, or the targets of its code."""
    whom = ", ".join(mail.identifiers) or "nobody known"
    if mail.held:
        return (f" ! held        for {whom}: {mail.held[0]}", f"               mailbridge mail show {mail.id}")
    if not mail.deliveries:
        return (f" ✓ understood  {mail.verdict}, for {whom}: {mail.reason}",)
    rows = [
        f" {'✓' if row.state == 'delivered' else '✗'} {row.state:11} {row.kind} for {row.identifier} to {row.target}"
        + (f": {row.reason}" if row.reason else "")
        for row in mail.deliveries
    ]
    return (f" ✓ understood  {mail.verdict} for {whom}", *rows)
