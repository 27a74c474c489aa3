"""`oauth login`: the permission to read a mailbox, given by its owner in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from mailbridge.cli import completing
from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option, load_or_exit
from mailbridge.cli.params import Seconds
from mailbridge.cli.printing import dumped


@click.group(cls=Group)
def oauth() -> None:
    """Permissions of mail providers (OAuth)."""


@oauth.command()
@click.argument("account", shell_complete=completing.accounts)
@click.option("--device", is_flag=True, help="Give the permission in a browser on another machine (device code).")
@click.option("--timeout", type=Seconds(), default=600.0, show_default=True, metavar="SECONDS", help="How long to wait for it.")
@config_option
@json_option
def login(*, account: str, device: bool, timeout: float, config: Path | None, as_json: bool) -> None:
    """Get the permission to read the mailbox of ACCOUNT.

    ACCOUNT is the name of an [[imap]] account, or its provider (google, microsoft) if only one account has it. The refresh
    token is kept encrypted beside the database; a running daemon takes it up by itself.
    """
    from mailbridge.config.settings import ImapSettings
    from mailbridge.ingress.imap.consent import by_browser, by_device
    from mailbridge.ingress.imap.faults import MailboxFault
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
    try:
        vault = open_vault(settings.store)
        if device:
            token = by_device(grant, account=chosen.label, show=_show_words, timeout=timeout)
        else:
            token = by_browser(grant, account=chosen.label, username=chosen.username, show=_show_address, timeout=timeout)
        vault.write(chosen.label, token)
    except MailboxFault as fault:
        complain(f"{chosen.label}: {fault}")
        raise SystemExit(Exit.UNAVAILABLE) from None
    except StoreError as fault:
        complain(f"{fault}")
        raise SystemExit(Exit.CONFIG) from None
    told = f"{chosen.label}: permission kept. Try it: mailbridge imap test {chosen.label}"
    click.echo(dumped({"account": chosen.label, "ok": True}) if as_json else told)


def _show_address(address: str) -> None:
    click.echo(f"Open this address in a browser on this machine and allow the access:\n\n  {address}\n")
    click.launch(address)


def _show_words(address: str, words: str) -> None:
    click.echo(f"Open {address} in any browser and type: {words}")
