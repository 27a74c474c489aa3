"""Which keys exist: the sections, their fields, which of them are secret, and their environment variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_origin

import msgspec

from mailbridge.config.settings import Section, Settings
from mailbridge.core.secret import Secret

PREFIX = "MAILBRIDGE_"

FIELDS: Mapping[str, Any] = msgspec.structs.asdict(Settings())
TABLES = {"address", "sender", "imap", "rule", "target", "notify"}
"""The sections that are lists of tables."""


@cache
def fields_of(section: str) -> Mapping[str, msgspec.structs.FieldInfo]:
    """The keys of a section. Their annotations are read once."""
    return {one.name: one for one in msgspec.structs.fields(FIELDS[section])}


def table_type(section: str) -> type[Section]:
    """The type of one table of a list, such as one ``[[address]]``. For a section that occurs once, the type of that section."""
    annotation = next(one.type for one in msgspec.structs.fields(Settings) if one.name == section)
    kind: type[Section] = get_args(annotation)[0] if section in TABLES else annotation
    return kind


def inner_section(annotation: Any) -> type[Section] | None:
    """The type of the section that a key contains; None if it contains none, or a list of them."""
    if get_origin(annotation) is tuple:
        return None
    kinds = (one for one in get_args(annotation) if isinstance(one, type) and issubclass(one, Section))
    return next(kinds, None)


def is_secret(section: str, key: str) -> bool:
    """Whether a key contains a secret."""
    fields = fields_of(section)
    return key in fields and Secret in get_args(fields[key].type)


def secrets() -> Iterator[tuple[str, str]]:
    """Section and key of every secret outside the lists of tables."""
    for section in FIELDS:
        if section not in TABLES:
            yield from ((section, key) for key in fields_of(section) if is_secret(section, key))


def variables() -> dict[str, None]:
    """Every variable that sets a key, and those that set whole lists of tables."""
    names = {f"{PREFIX}{section.upper()}": None for section in sorted(TABLES)}
    for section in sorted(FIELDS.keys() - TABLES):
        names |= {f"{PREFIX}{section.upper()}__{key.upper()}": None for key in fields_of(section)}
    return names
