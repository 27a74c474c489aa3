"""What every command shares: the ``--config`` and ``--json`` options, and a configuration or a clean way out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mailbridge.cli.faults import tell
from mailbridge.config.problems import ConfigError, Problem

if TYPE_CHECKING:  # what reads a configuration is loaded when one is read
    from mailbridge.config.load import Loaded

T = TypeVar("T")

config_option: Callable[[Any], Any] = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    help="Configuration file (default: ./config/mailbridge.toml, ~/.config/mailbridge, /etc/mailbridge).",
)
json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
url_option: Callable[[Any], Any] = click.option(
    "--url", metavar="URL", help="A daemon elsewhere; its token in $MAILBRIDGE_TOKEN or a file."
)
token_option: Callable[[Any], Any] = click.option(
    "--token-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="With --url: a file with the bearer token."
)


def host_and_port(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """``host:port``; the callback of an option."""
    if text is not None and not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}", text):
        raise click.BadParameter(f"{text!r} is not a HOST:PORT such as 127.0.0.1:25")
    return text


listener_option: Callable[[Any], Any] = click.option(
    "--smtp",
    metavar="HOST:PORT",
    callback=host_and_port,
    help="The daemon's listener (default: the first of [smtp] listen).",
)


def load_quietly(config: Path | None) -> Loaded:
    """The configuration. Raises ConfigError."""
    from mailbridge.config.load import load

    return load(config, environ=os.environ, overrides=_overrides(), cwd=Path.cwd())


def examine_config(config: Path | None) -> tuple[Loaded, tuple[Problem, ...]]:
    """The part of the configuration that can be read, and every mistake in it. Raises ConfigError if nothing can be read."""
    from mailbridge.config.load import examine

    return examine(config, environ=os.environ, overrides=_overrides(), cwd=Path.cwd())


def load_or_exit(config: Path | None) -> Loaded:
    """The configuration. Prints every mistake on stderr and exits with 78 (77 if only a permission is missing)."""
    try:
        return load_quietly(config)
    except ConfigError as fault:
        raise SystemExit(tell(fault.problems)) from None


def rules_or_exit(make: Callable[[], T]) -> T:
    """The result of ``make`` for the rule files. Prints every mistake on stderr and exits with 78."""
    from mailbridge.core.rule_error import RuleError

    try:
        return make()
    except RuleError as fault:
        raise SystemExit(tell(Problem(where="", what=problem) for problem in fault.problems)) from None


def moment(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """A time (RFC 3339; local if it has no zone), or a duration ago; the callback of an option."""
    if text is None:
        return None
    from mailbridge.config.values import duration

    try:
        found = datetime.fromisoformat(text) if "-" in text else datetime.now(UTC) - duration(text)
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("write a moment such as 2026-01-31T12:00:00Z, or a duration such as 15m (ago)") from None


def _overrides() -> dict[str, str]:
    """The values of ``mailbridge --set section.key=value``; later ones win."""
    context = click.get_current_context(silent=True)
    said: tuple[str, ...] = context.find_root().params.get("settings", ()) if context is not None else ()
    return {name.strip(): value.strip() for name, _, value in (one.partition("=") for one in said)}
