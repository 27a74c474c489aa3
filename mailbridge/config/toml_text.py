"""Plain values as TOML (v1.0): what `config export` prints, and added rules in the form of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def pair(key: str, value: Any) -> str:
    """A line of a table: ``key = value``."""
    return f"{key} = {toml(value)}"


def toml(value: Any) -> str:
    """A JSON value in TOML. Only tables differ. A text is what JSON writes, but without pairs of surrogates and with DEL
    escaped."""
    match value:
        case Mapping():
            return "{ " + ", ".join(pair(key, inner) for key, inner in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(toml(inner) for inner in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
