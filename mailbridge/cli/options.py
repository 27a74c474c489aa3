"""What every command shares: the ``--config`` option, and a configuration or a clean way out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mailbridge.cli.exits import Exit
from mailbridge.config.load import Loaded, load
from mailbridge.config.problems import ConfigError

T = TypeVar("T")

config_option: Callable[[Any], Any] = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file (default: ./config/mailbridge.toml, ~/.config/mailbridge, /etc/mailbridge).",
)
json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


def load_quietly(config: Path | None) -> Loaded:
    """The configuration. Raises ConfigError."""
    return load(config, environ=os.environ, cwd=Path.cwd())


def load_or_exit(config: Path | None) -> Loaded:
    """The configuration, or every mistake in it on stderr and exit 78."""
    try:
        return load_quietly(config)
    except ConfigError as fault:
        for problem in fault.problems:
            click.echo(f"mailbridge: {problem}", err=True)
        raise SystemExit(Exit.CONFIG) from None


def rules_or_exit(make: Callable[[], T]) -> T:
    """What ``make`` makes of the rule files, or every mistake in them on stderr and exit 78."""
    from mailbridge.core.rules import RuleError

    try:
        return make()
    except RuleError as fault:
        for problem in fault.problems:
            click.echo(f"mailbridge: {problem}", err=True)
        raise SystemExit(Exit.CONFIG) from None
