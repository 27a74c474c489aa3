"""The manual and the code say the same: every key of the settings stands in config/mailbridge.toml with its default."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from mailbridge.config.load import load
from mailbridge.config.rulepack import rule_sources
from mailbridge.config.schema import schema
from mailbridge.config.settings import Section, Settings
from mailbridge.config.values import written
from mailbridge.core.rules import load as load_rules
from mailbridge.core.secret import Secret

MANUAL = Path(__file__).resolve().parents[2] / "config" / "mailbridge.toml"
EXAMPLES = {("target", "identifiers"), ("rule", "from"), ("rule", "accepts"), ("rule", "rejects")}
"""Keys that are shown with an example in place of their default."""

SETTING = re.compile(r"#\s*(\[\[?[a-z_]+\]\]?|[a-z_]+ = .+)")


def _with_examples() -> dict[str, Any]:
    """The manual with its commented settings taken as settings."""
    lines = []
    for line in MANUAL.read_text(encoding="utf-8").splitlines():
        found = SETTING.fullmatch(line)
        lines.append(found.group(1) if found is not None else line)
    return tomllib.loads("\n".join(lines))


def _fields(section: str) -> dict[str, msgspec.structs.FieldInfo]:
    kind = next(one.type for one in msgspec.structs.fields(Settings) if one.name == section)
    struct = kind if isinstance(kind, type) and issubclass(kind, Section) else kind.__args__[0]
    return {one.encode_name: one for one in msgspec.structs.fields(struct)}


def test_the_manual_is_the_defaults() -> None:
    """A daemon with the manual as its configuration runs like one without any."""
    assert load(MANUAL, environ={}, cwd=MANUAL.parent).settings == load(None, environ={}, cwd=MANUAL.parent).settings


@pytest.mark.parametrize("section", [one.name for one in msgspec.structs.fields(Settings)])
def test_every_key_stands_in_the_manual(section: str) -> None:
    """No key without its paragraph, and no paragraph about a key that is gone; a secret stands as its file."""
    shown = _with_examples()[section]
    keys = set(shown[0] if isinstance(shown, list) else shown)
    wanted = {f"{name}_file" if Secret in getattr(one.type, "__args__", ()) else name for name, one in _fields(section).items()}
    assert keys == wanted


@pytest.mark.parametrize("section", [one.name for one in msgspec.structs.fields(Settings)])
def test_every_default_in_the_manual_is_the_real_one(section: str) -> None:
    """Also those of keys that stand in a comment, where the default is a value at all."""
    shown = _with_examples()[section]
    row = shown[0] if isinstance(shown, list) else shown
    for name, one in _fields(section).items():
        is_shown = one.default is not None and Secret not in getattr(one.type, "__args__", ())
        if not one.required and is_shown and (section, name) not in EXAMPLES:
            assert row[name] == written(f"{section}.{name}", one.default), f"[{section}] {name}"


def test_the_schema_takes_the_manual_and_all_of_its_examples() -> None:
    """What editors check by `config schema` is what the loader takes."""
    checker = Draft202012Validator(schema())
    Draft202012Validator.check_schema(schema())
    assert list(checker.iter_errors(tomllib.loads(MANUAL.read_text(encoding="utf-8")))) == []
    assert list(checker.iter_errors(_with_examples())) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"smtp": {"lisen": []}},
        {"nosuch": {}},
        {"smtp": {"max_size": "big"}},
        {"smtp": {"idle_timeout": "soon"}},
        {"log": {"level": "loud"}},
        {"address": [{}]},
        {"smtp": {"listen": "127.0.0.1:25"}},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(bad: dict[str, Any], tmp_path: Path) -> None:
    """Unknown keys, wrong types, missing keys."""
    assert list(Draft202012Validator(schema()).iter_errors(bad))


def test_the_example_rules_hold() -> None:
    """config/rules.toml is one that a daemon starts with, and its rule proves itself."""
    settings = load(MANUAL, environ={}, overrides={"rules.paths": "rules.toml"}, cwd=MANUAL.parent).settings
    found = load_rules(list(rule_sources(settings.rules)))
    assert found.rules[0].name == "example-warehouse"
