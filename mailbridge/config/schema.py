"""The JSON Schema of ``mailbridge.toml`` for editors. It describes what may be in the file, not our types."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from mailbridge.config.settings import OCTETS, Section, Settings
from mailbridge.config.values import written
from mailbridge.core.secret import Secret

DURATION = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"
SIZE = r"^\d+\s*[kKmMgG]?i?[bB]?$"
PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    Path: {"type": "string", "description": "a file, relative to this one"},
    Secret: {"type": "string"},
    Any: {},
    dict[str, str]: {"type": "object", "additionalProperties": {"type": "string"}},
    timedelta: {"anyOf": [{"type": "string", "pattern": DURATION}, {"type": "number", "minimum": 0}]},
}


def schema() -> dict[str, Any]:
    """The schema of the whole file: one property for each section; unknown keys are refused everywhere."""
    properties = {one.name: _of(one.type, one.name, "") for one in msgspec.structs.fields(Settings)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mailbridge.toml",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _of(kind: Any, section: str, key: str) -> dict[str, Any]:
    """The schema of one type, as it is written in the file."""
    if isinstance(kind, type) and issubclass(kind, Section):
        return _of_section(kind, section)
    if f"{section}.{key}" in OCTETS:
        return {"anyOf": [{"type": "string", "pattern": SIZE}, {"type": "integer", "minimum": 0}]}
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _of(get_args(kind)[0], section, key)}
    if get_origin(kind) in (Union, UnionType):
        choices = [_of(one, section, key) for one in get_args(kind) if one is not type(None)]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    return dict(PLAIN[kind])


def _of_section(kind: type[Section], section: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = []
    for one in msgspec.structs.fields(kind):
        properties[one.encode_name] = _of(one.type, section, one.name)
        if one.required:
            required.append(one.encode_name)
        elif one.default is not None:
            properties[one.encode_name]["default"] = written(f"{section}.{one.name}", one.default)
        if Secret in get_args(one.type):
            properties[f"{one.encode_name}_file"] = {"type": "string", "description": "a file that holds it"}
    about = (kind.__doc__ or "").partition(": ")[2].replace("``", "")
    return {
        "type": "object",
        "description": about,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
