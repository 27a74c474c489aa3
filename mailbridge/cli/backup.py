"""`backup` and `restore`: a copy of the database, and an older copy put back."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import alone_on_the_store, complain
from mailbridge.cli.options import config_option, json_option, load_or_exit
from mailbridge.cli.printing import dumped, visible


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@json_option
def backup(*, file: Path, config: Path | None, as_json: bool) -> None:
    """Copy the database into FILE, a new one, while the daemon runs or not.

    The copy is of one moment, and checked; it is readable for its owner alone. It holds everything of the database. Codes, subjects,
    mails, authenticators and the secrets of entries are in it encrypted; of tokens, sessions and passwords there are hashes;
    identifiers and senders are in it as they are. Not in it: the key file, without which nothing encrypted can be read (keep it
    elsewhere), the configuration, and the permissions of mailboxes (oauth/). With PostgreSQL use pg_dump, or its archive of the
    write-ahead log.
    """
    from mailbridge.store.places import is_postgres, key_path_of
    from mailbridge.store.sqlite.backup import back_up

    store = load_or_exit(config).settings.store
    if is_postgres(store):
        complain("backup: with PostgreSQL use its own: pg_dump --format=custom, or an archive of its log (docs/operations.md)")
        raise SystemExit(Exit.UNAVAILABLE)
    with alone_on_the_store():
        done = back_up(store, file)
    if as_json:
        click.echo(dumped({**asdict(done), "path": str(done.path), "key_file": str(key_path_of(store))}))
        return
    click.echo(visible(f"{done.path}: {done.mails} mails, {done.size} octets"))
    click.echo(
        visible(f"not in it: the key file {key_path_of(store)}, the configuration, and oauth/; keep the key apart from the copy")
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--replace", "is_replacing", is_flag=True, help="Put it in the place of the database that is there.")
@config_option
@json_option
def restore(*, file: Path | None, is_replacing: bool, config: Path | None, as_json: bool) -> None:
    """Put the copy FILE back, while the daemon is stopped.

    The key file of that time must be there. Codes in the copy may have been pushed since, or newer ones, so none of them is pushed or
    shown: those that waited end as expired. Webhooks and followers of the journal go on behind every number that was given out since.
    Everybody is logged out of the page; tokens are those of the copy, so look through `token list` for some that were removed since.

    With PostgreSQL there is no FILE: restore the server by its own means, then run this once before the first daemon starts.
    """
    from mailbridge.store.places import is_postgres, key_path_of
    from mailbridge.store.sqlite.backup import put_back

    store = load_or_exit(config).settings.store
    if is_postgres(store) != (file is None):
        raise click.UsageError(
            "name the copy" if file is None else "with PostgreSQL restore the server itself, and name no FILE here"
        )
    with alone_on_the_store():
        if file is None:
            from mailbridge.store.postgres.returning import gone_back

            ended = asyncio.run(gone_back(store, key_path=key_path_of(store)))
            click.echo(dumped({"ended": ended}) if as_json else f"{ended} codes that waited are ended; start the daemons")
            return
        done = put_back(store, file, is_replacing=is_replacing)
    told = f"put back: {done.mails} mails; {done.ended} codes that waited are ended; {done.tokens} tokens are valid: see `token list`"
    click.echo(dumped(asdict(done)) if as_json else told)
