"""Rules: first the operator's, from ``[[rule]]`` tables and then from files, and after them the shipped ones.

The operator's rules are read once, when a configuration is prepared, and go to the parser workers as text. Of the shipped rules
(half a megabyte of words) only the names go there. A worker reads them from its own package, so the daemon never has them in
memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from mailbridge.core.rule_error import RuleError

if TYPE_CHECKING:  # a parser worker reads the shipped files, and needs no settings
    from mailbridge.config.settings import RuleSettings, RuleTable, Settings

TABLE = "[[rule]]"
"""The name of a rule that is in no file: a table of the configuration, or one that was added."""

SHIPPED = "mailbridge/rules"
"""The beginning of a shipped file's name."""


def own_rules(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Every rule of the operator as (name, text): the tables of the configuration, including added ones, then the files.

    Raises:
        RuleError: a path does not exist or cannot be read.
    """
    return (*((TABLE, rule_text(one)) for one in settings.rule), *rule_texts(settings.rules))


def every_rule(settings: Settings) -> Iterator[tuple[str, str]]:
    """`own_rules`, and after them the shipped files.

    Raises:
        RuleError: a path does not exist or cannot be read.
    """
    yield from own_rules(settings)
    yield from map(shipped_source, shipped_names(settings.rules))


def rule_text(table: RuleTable) -> str:
    """A table as the text of a rule file. Keys that are not set are left out."""
    from msgspec import to_builtins

    from mailbridge.config.toml_text import pair

    return "\n".join([TABLE, *(pair(key, value) for key, value in to_builtins(table).items()), ""])


def rule_texts(settings: RuleSettings) -> tuple[tuple[str, str], ...]:
    """The operator's rule files as (name, text), in order of precedence. A folder stands for its ``*.toml``, sorted.

    Raises:
        RuleError: a path does not exist or cannot be read.
    """
    return tuple(source for path in settings.paths for source in _from(path))


def shipped_names(settings: RuleSettings) -> tuple[str, ...]:
    """The shipped files that follow the operator's: rules, if they are wanted, and the words of all languages."""
    folders = (SHIPPED, f"{SHIPPED}/wording") if settings.builtin else (f"{SHIPPED}/wording",)
    shipped = files("mailbridge").joinpath("rules")
    return tuple(
        f"{folder}/{name}"
        for folder in folders
        for name in sorted(one.name for one in shipped.joinpath(folder.removeprefix(SHIPPED).lstrip("/")).iterdir())
        if name.endswith(".toml")
    )


def shipped_source(name: str) -> tuple[str, str]:
    """A shipped file as (name, text), by a name from `shipped_names`."""
    return name, files("mailbridge").joinpath("rules", name.removeprefix(f"{SHIPPED}/")).read_text(encoding="utf-8")


def rule_sources(settings: RuleSettings) -> Iterator[tuple[str, str]]:
    """Every rule file as (name, text): `rule_texts`, and after them the shipped ones.

    Raises:
        RuleError: a path does not exist or cannot be read.
    """
    yield from rule_texts(settings)
    yield from map(shipped_source, shipped_names(settings))


def _from(path: Path) -> Iterator[tuple[str, str]]:
    try:
        for file in sorted(path.glob("*.toml")) if path.is_dir() else [path]:
            yield str(file), file.read_text(encoding="utf-8")
    except OSError as fault:
        raise RuleError([f"{path}: cannot be read: {fault.strerror}"]) from None
    except UnicodeDecodeError:
        raise RuleError([f"{path}: is not UTF-8 text"]) from None
