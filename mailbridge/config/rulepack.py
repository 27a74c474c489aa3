"""Rule files from disk: the operator's first, then the ones that are shipped."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from mailbridge.config.settings import RuleSettings
from mailbridge.core.rules import RuleError


def rule_texts(settings: RuleSettings) -> tuple[tuple[str, str], ...]:
    """All of `rule_sources`, read now.

    Raises:
        RuleError: a path that is not there or cannot be read.
    """
    return tuple(rule_sources(settings))


def rule_sources(settings: RuleSettings) -> Iterator[tuple[str, str]]:
    """Every rule file as (name, text), in order of precedence; a folder stands for its ``*.toml``, sorted.

    Raises:
        RuleError: a path that is not there or cannot be read.
    """
    for path in settings.paths:
        yield from _from(path)
    shipped = files("mailbridge").joinpath("rules")
    if settings.builtin:
        yield from _shipped(shipped, "mailbridge/rules")
    yield from _shipped(shipped.joinpath("wording"), "mailbridge/rules/wording")


def _shipped(folder: Traversable, name: str) -> Iterator[tuple[str, str]]:
    for one in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if one.name.endswith(".toml"):
            yield f"{name}/{one.name}", one.read_text(encoding="utf-8")


def _from(path: Path) -> Iterator[tuple[str, str]]:
    try:
        for file in sorted(path.glob("*.toml")) if path.is_dir() else [path]:
            yield str(file), file.read_text(encoding="utf-8")
    except OSError as fault:
        raise RuleError([f"{path}: cannot be read: {fault.strerror}"]) from None
    except UnicodeDecodeError:
        raise RuleError([f"{path}: is not UTF-8 text"]) from None
