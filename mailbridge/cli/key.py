"""`key`: another key for what is kept encrypted, without losing any of it."""

from __future__ import annotations

from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import complain
from mailbridge.cli.groups import Group
from mailbridge.cli.options import config_option, json_option, load_or_exit
from mailbridge.cli.printing import dumped


@click.group(cls=Group)
def key() -> None:
    """Change the key that codes and mails are encrypted with."""


@key.command("rotate")
@config_option
@json_option
def rotate(*, config: Path | None, as_json: bool) -> None:
    """Encrypt everything anew with a new key, while the daemon is stopped.

    The new key replaces the key file in one step; interrupted at any moment, the next start (or another try) finds a database and a
    key that fit. Back the new key up: it is the only one that opens the database, and no older backup of the key does. Permissions to
    read mailboxes (`oauth login`) have a key of their own, oauth/vault.key, which stays.
    """
    from mailbridge.store import StoreError, StoreInUse
    from mailbridge.store.places import is_postgres, key_path_of, path_of
    from mailbridge.store.sqlite.rotation import rotate as rotate_key

    settings = load_or_exit(config).settings
    if is_postgres(settings.store):
        complain("key rotate: not with PostgreSQL yet; its key stays the one that the first replica has made or was given")
        raise SystemExit(Exit.UNAVAILABLE)
    try:
        count = rotate_key(settings.store, path=path_of(settings.store), key_path=key_path_of(settings.store))
    except StoreInUse as fault:
        complain(f"{fault}")
        raise SystemExit(Exit.TRY_AGAIN) from None
    except StoreError as fault:
        complain(f"{fault}")
        raise SystemExit(Exit.UNAVAILABLE) from None
    told = f"{count} values are encrypted with a new key; start the daemon again"
    click.echo(dumped({"values": count}) if as_json else told)
