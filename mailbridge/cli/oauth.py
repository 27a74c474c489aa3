"""`oauth login`: the permission to read a mailbox, given by its owner in a browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import config_option, load_or_exit
from mailbridge.config.settings import ImapSettings, OAuthSettings
from mailbridge.core.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the permission is got. ``timeout``: seconds that a person has for it."""

    is_device: bool = False
    timeout: float = 600.0


@click.group()
def oauth() -> None:
    """Permissions of mail providers (OAuth)."""


@oauth.command()
@click.argument("account")
@click.option("--device", is_flag=True, help="Give the permission in a browser on another machine (device code).")
@click.option("--timeout", type=float, default=600.0, show_default=True, metavar="SECONDS", help="How long to wait for it.")
@config_option
def login(*, account: str, device: bool, timeout: float, config: Path | None) -> None:
    """Get the permission for ACCOUNT: the name of an [[imap]] account, or its provider (google, microsoft) if only one has it.

    The refresh token is kept encrypted beside the database; a running daemon takes it up by itself.
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
        click.echo(f"mailbridge: name one [[imap]] account with oauth = {{…}}; there is {known}", err=True)
        raise SystemExit(Exit.NOT_FOUND)
    chosen, grant = found[0], sending(found[0]) or found[0].oauth
    way = Way(is_device=device, timeout=timeout)
    try:
        vault = open_vault(settings.store)
        vault.write(chosen.label, permission(grant, account=chosen.label, username=chosen.username, way=way))
    except StoreError as fault:
        click.echo(f"mailbridge: {fault}", err=True)
        raise SystemExit(Exit.CONFIG) from None
    click.echo(f"{chosen.label}: permission kept. Try it: mailbridge imap test {chosen.label}")


def permission(grant: OAuthSettings, *, account: str, username: str, way: Way | None = None) -> Secret:
    """The refresh token that the owner's permission gives; one message and exit 69 where it is not given."""
    from mailbridge.ingress.imap.consent import by_browser, by_device
    from mailbridge.ingress.imap.faults import MailboxFault

    way = way or Way()
    try:
        if way.is_device:
            return by_device(grant, account=account, show=_show_words, timeout=way.timeout)
        return by_browser(grant, account=account, username=username, show=_show_address, timeout=way.timeout)
    except MailboxFault as fault:
        click.echo(f"mailbridge: {account}: {fault}", err=True)
        raise SystemExit(Exit.UNAVAILABLE) from None


def _show_address(address: str) -> None:
    click.echo(f"Open this address in a browser on this machine and allow the access:\n\n  {address}\n")
    click.launch(address)


def _show_words(address: str, words: str) -> None:
    click.echo(f"Open {address} in any browser and type: {words}")
