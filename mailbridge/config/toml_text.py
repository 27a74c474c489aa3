"""Plain values as TOML (v1.0): what `config export` prints, and rules that were added, as a file would hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def pair(key: str, value: Any) -> str:
    """A line of a table: ``key = value``."""
    return f"{key} = {toml(value)}"


def toml(value: Any) -> str:
    """A JSON value in TOML: the same but for tables. A text is what JSON writes, less its pairs of surrogates, and DEL escaped."""
    match value:
        case Mapping():
            return "{ " + ", ".join(pair(key, inner) for key, inner in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(toml(inner) for inner in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
