"""`migrate`: everything that is stored, from one database into another, while no daemon runs."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path

import click

from mailbridge.cli.faults import alone_on_the_store, note
from mailbridge.cli.options import config_option, json_option, load_or_exit
from mailbridge.cli.printing import Column, Row, Table, dumped


@click.command()
@click.option("--from", "source", metavar="URL", help="The database that is read (default: that of the configuration).")
@click.option("--to", "target", metavar="URL", help="The database that is written, empty or not there yet (default: as --from).")
@config_option
@json_option
def migrate(*, source: str | None, target: str | None, config: Path | None, as_json: bool) -> None:
    """Move everything to another database: SQLite to PostgreSQL, and back.

    The daemon must be stopped. URLs are written as in [store] url, such as sqlite:////var/lib/mailbridge/mailbridge.db and
    postgresql://bridge@db.example/bridge; the password of a server is that of [store] password, or of $PGPASSWORD. All that is stored is copied: mails,
    codes, deliveries, the journal, tokens, entries, authenticators, inboxes, the state of mailboxes, and the permissions to read them
    (OAuth). What is encrypted stays encrypted, with the same key; a key file that the new database does not have yet is copied to its
    place. Then the rows of each table are counted and hashed in both databases, and compared.

    Interrupted at any moment, the same command goes on where it was; until it is over, no daemon starts on the new database. The old
    database is not changed. Schema migrations are not this command's business: a start of the daemon does them.
    """
    from mailbridge.app.moving import moved, store_at
    from mailbridge.config.places import state_folder
    from mailbridge.store.places import key_path_of, label

    if source is None and target is None:
        raise click.UsageError("name the other database, by --from or by --to")
    store = load_or_exit(config).settings.store
    folder = state_folder(environ=os.environ, cwd=Path.cwd())
    one = store_at(store, source, option="--from", folder=folder)
    other = store_at(store, target, option="--to", folder=folder)
    with alone_on_the_store():
        done = asyncio.run(moved(one, other, said=lambda line: None if as_json else note(line)))
    if as_json:
        found = {"from": label(one), "to": label(other), "key_file": str(key_path_of(other)), **asdict(done)}
        click.echo(dumped({**found, "rows": sum(table.rows for table in done.tables)}))
        return
    table = Table(
        Column(title="TABLE", width=16), Column(title="ROWS", width=10, is_right=True), Column(title="DIGEST", width=32)
    )
    for row in done.tables:
        table.add(Row(cells=(row.name, str(row.rows), row.digest)))
    how = "went on with an interrupted move, and copied" if done.is_resumed else "copied"
    click.echo(
        f"{how} {done.copied} rows in {done.seconds:.0f} s; counts and digests are the same in {label(one)} and {label(other)}"
    )
    if done.permissions:
        click.echo(f"permissions of mailboxes (OAuth): {done.permissions}, the same at both; nobody has to log in again")
    click.echo(
        f"next: set [store] url to the new database (its key file is {key_path_of(other)}), start the daemon, and keep the old"
    )
    click.echo("database and the daemon apart: what was still to be pushed is in both")
