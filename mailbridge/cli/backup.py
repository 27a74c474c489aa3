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
    """Copy the database to FILE, which must not exist. The daemon may run.

    The copy is of one moment. It is checked, and readable for its owner only. It holds the whole database: codes, subjects, mails,
    authenticators and the secrets of entries encrypted; tokens, sessions and passwords as hashes; identifiers and senders readable.
    It does not hold the key file, without which nothing encrypted can be read (keep it elsewhere), the configuration, and the
    permissions of mailboxes (oauth/). With PostgreSQL use pg_dump, or its archive of the write-ahead log.
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
@click.option("--replace", "is_replacing", is_flag=True, help="Replace the database that is there.")
@config_option
@json_option
def restore(*, file: Path | None, is_replacing: bool, config: Path | None, as_json: bool) -> None:
    """Restore the copy FILE. Stop the daemon first.

    The key file of that time must be there. Since the copy was made its codes may have been pushed, or newer codes may have come. So
    none of its codes is pushed or shown: those that waited end as expired. The journal continues with numbers that were never given
    before. Everybody is logged out of the page. Tokens are those of the copy: a token that was removed since is valid again, so check
    `token list`.

    With PostgreSQL there is no FILE: restore the server with its own tools, then run this once before you start the first daemon.
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
