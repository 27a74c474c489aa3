"""`oauth login`: the permission to read a mailbox, given by its owner in a browser."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mailbridge.cli import completing
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option, load_or_exit
from mailbridge.cli.params import Seconds
from mailbridge.cli.printing import dumped
from mailbridge.config.settings import ImapSettings, OAuthSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the permission is got: by a browser on this machine, by a device code, or by pasting back the address that the browser ends at.
    ``port``: of the redirect, 0 for any. ``timeout``: seconds that a person has for it."""

    is_device: bool = False
    is_pasted: bool = False
    port: int = 0
    timeout: float = 600.0


@click.group(cls=Group)
def oauth() -> None:
    """Permissions of mail providers (OAuth)."""


@oauth.command()
@click.argument("account", shell_complete=completing.accounts)
@click.option("--device", is_flag=True, help="Give the permission in a browser on another machine (device code).")
@click.option("--no-browser", is_flag=True, help="Open no browser; paste the address at which a browser elsewhere ends.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port of the redirect (default: any that is free).")
@click.option("--timeout", type=Seconds(), default=600.0, show_default=True, metavar="SECONDS", help="How long to wait for it.")
@config_option
@json_option
def login(*, account: str, device: bool, no_browser: bool, port: int, timeout: float, config: Path | None, as_json: bool) -> None:
    """Get the permission to read the mailbox of ACCOUNT.

    ACCOUNT is the name of an [[imap]] account, or its provider (google, microsoft) if only one account has it. The permission
    is kept after it has opened the mailbox, encrypted beside the database or in it. A running daemon uses it at once.
    """
    from mailbridge.ingress.imap.oauth import sending
    from mailbridge.ingress.imap.vault import open_vault
    from mailbridge.store import StoreError

    settings = load_or_exit(config).settings
    with_oauth: list[ImapSettings] = [one for one in settings.imap if one.oauth is not None and one.oauth.grant == "user"]
    named = [one for one in with_oauth if one.label == account]
    found = named or [one for one in with_oauth if one.oauth is not None and one.oauth.provider == account]
    if len(found) != 1 or found[0].oauth is None:
        known = ", ".join(one.label for one in with_oauth) or "none: see docs/imap.md"
        complain(f"name one [[imap]] account with oauth = {{…}}; there is {known}")
        raise SystemExit(Exit.NOT_FOUND)
    chosen, grant = found[0], sending(found[0]) or found[0].oauth
    way = Way(is_device=device, is_pasted=no_browser, port=port, timeout=timeout)
    try:
        vault = open_vault(settings.store)
        vault.write(chosen.label, permission(chosen, grant, account=chosen.label, way=way))
    except StoreError as fault:
        complain(f"{fault}")
        raise SystemExit(Exit.CONFIG) from None
    told = f"{chosen.label}: the permission opens the mailbox, and is kept. Try it: mailbridge imap test {chosen.label}"
    click.echo(dumped({"account": chosen.label, "ok": True}) if as_json else told)


def permission(box: ImapSettings, grant: OAuthSettings, *, account: str, way: Way | None = None) -> Secret:
    """The refresh token of the owner's permission, after it has opened the mailbox once. Prints one message and exits with 69
    if there is none."""
    from mailbridge.ingress.imap.consent import by_browser, by_device, by_paste
    from mailbridge.ingress.imap.faults import MailboxFault
    from mailbridge.ingress.imap.probe import opened_by

    way = way or Way()

    def check(token: Secret) -> Secret:
        return opened_by(box, token)

    try:
        if way.is_device:
            return check(by_device(grant, account=account, show=_show_words, timeout=way.timeout))
        if way.is_pasted:
            return by_paste(
                grant, account=account, username=box.username, show=_show_elsewhere, read=_pasted, port=way.port, check=check
            )
        return by_browser(
            grant,
            account=account,
            username=box.username,
            show=_show_address,
            timeout=way.timeout,
            port=way.port,
            check=check,
        )
    except MailboxFault as fault:
        complain(f"{account}: {fault}")
        raise SystemExit(Exit.UNAVAILABLE) from None


def _show_elsewhere(address: str) -> None:
    click.echo(f"Open this address in a browser on any machine and allow the access:\n\n  {address}\n")
    click.echo("The browser then goes to an address on 127.0.0.1 that it cannot open. Copy that address out of the address bar.")


def _pasted() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("The address", hide_input=True, err=True))
    return sys.stdin.readline()


def _show_address(address: str) -> None:
    click.echo(f"Open this address in a browser on this machine and allow the access:\n\n  {address}\n")
    click.launch(address)


def _show_words(address: str, words: str) -> None:
    click.echo(f"Open {address} in any browser and type: {words}")
