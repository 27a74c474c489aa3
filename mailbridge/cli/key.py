"""`key`: encrypts everything again with a new key."""

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
    """Encrypt everything again with a new key.

    The daemon may run. With SQLite a running daemon does the work, and this command waits for it. After an interruption the next
    start of the daemon, or another call, continues. Permissions to read mailboxes (`oauth login`) have a key of their own there,
    oauth/vault.key, which does not change.

    With PostgreSQL the new key is first made beside the old one. If the command says so (exit 75), copy it to the other machines and
    call the command again. Do the same after an interruption.

    Back up the new key: only this key opens the database. Older backups of the key do not.
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
