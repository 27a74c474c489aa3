"""What every command shares: the ``--config`` and ``--json`` options, and a configuration or a clean way out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mailbridge.cli.faults import tell
from mailbridge.config.load import Loaded, load
from mailbridge.config.problems import ConfigError, Problem

T = TypeVar("T")

config_option: Callable[[Any], Any] = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    help="Configuration file (default: ./config/mailbridge.toml, ~/.config/mailbridge, /etc/mailbridge).",
)
json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
listener_option: Callable[[Any], Any] = click.option(
    "--smtp", metavar="HOST:PORT", help="The daemon's listener, where it is not the first of [smtp] listen."
)


def load_quietly(config: Path | None) -> Loaded:
    """The configuration. Raises ConfigError."""
    return load(config, environ=os.environ, overrides=_overrides(), cwd=Path.cwd())


def load_or_exit(config: Path | None) -> Loaded:
    """The configuration, or every mistake in it on stderr and exit 78 (77 where only permission is missing)."""
    try:
        return load_quietly(config)
    except ConfigError as fault:
        raise SystemExit(tell(fault.problems)) from None


def rules_or_exit(make: Callable[[], T]) -> T:
    """What ``make`` makes of the rule files, or every mistake in them on stderr and exit 78."""
    from mailbridge.core.rules import RuleError

    try:
        return make()
    except RuleError as fault:
        raise SystemExit(tell(Problem(where="", what=problem) for problem in fault.problems)) from None


def _overrides() -> dict[str, str]:
    """What ``mailbridge --set section.key=value`` said; later ones win."""
    context = click.get_current_context(silent=True)
    said: tuple[str, ...] = context.find_root().params.get("settings", ()) if context is not None else ()
    return {name.strip(): value.strip() for name, _, value in (one.partition("=") for one in said)}
