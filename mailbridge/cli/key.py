"""`key`: another key for what is kept encrypted, without losing any of it."""

from __future__ import annotations

from pathlib import Path

import click

from mailbridge.cli.faults import alone_on_the_store
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
    """Encrypt everything anew with a new key.

    A daemon may run. With SQLite it then does the work itself, and this waits for it; interrupted at any moment, the next start (or
    another try) goes on. Permissions to read mailboxes (`oauth login`) have a key of their own there, oauth/vault.key, which stays.

    With PostgreSQL the new key lies beside the old one first: where it says so, copy it to the other machines and call this again; so
    too where it was interrupted (exit 75).

    Back the new key up: it is the only one that opens the database, and no older backup of the key does.
    """
    from mailbridge.store import StoreInUse
    from mailbridge.store.places import is_postgres, key_path_of, path_of
    from mailbridge.store.sqlite.rotation import rotate as rotate_key
    from mailbridge.store.sqlite.rotation import rotate_running

    settings = load_or_exit(config).settings
    count: int | None = None
    path, key_path = path_of(settings.store), key_path_of(settings.store)
    with alone_on_the_store():
        if is_postgres(settings.store):
            from mailbridge.store.postgres.rotation import rotate_shared

            count = rotate_shared(settings.store, key_path=key_path)
        else:
            try:
                count = rotate_key(settings.store, path=path, key_path=key_path)
            except StoreInUse:
                rotate_running(settings.store, path=path, key_path=key_path)
    told = "everything is encrypted with a new key" if count is None else f"{count} values are encrypted with a new key"
    click.echo(dumped({"values": count}) if as_json else told)
