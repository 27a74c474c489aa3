"""`completion` and `version`: what shells and bug reports ask for."""

from __future__ import annotations

import platform

import click
from click.shell_completion import get_completion_class

from mailbridge import __version__
from mailbridge.cli.options import json_option
from mailbridge.cli.printing import dumped


@click.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script: `mailbridge completion bash > ~/.local/share/bash-completion/completions/mailbridge`."""
    from mailbridge.cli import cli

    maker = get_completion_class(shell)
    if maker is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(maker(cli, {}, "mailbridge", "_MAILBRIDGE_COMPLETE").source())


@click.command()
@json_option
def version(*, as_json: bool) -> None:
    """Print the version of mailbridge, Python and SQLite."""
    from mailbridge.store.sqlite import sqlite_version

    versions = {"mailbridge": __version__, "python": platform.python_version(), "sqlite": sqlite_version()}
    click.echo(
        dumped(versions)
        if as_json
        else f"mailbridge {versions['mailbridge']}, Python {versions['python']}, SQLite {versions['sqlite']}"
    )
