"""Every secret in the settings. Secrets are found by type, so that a new one cannot be forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mailbridge.config.settings import Section
from mailbridge.core.secret import Secret


def secrets_of(section: Section) -> Iterator[tuple[str, Secret]]:
    """Each secret with its path, such as ``imap.0.oauth.client_secret``."""
    for field in msgspec.structs.fields(section):
        yield from _in(field.name, getattr(section, field.name))


def _in(name: str, value: object) -> Iterator[tuple[str, Secret]]:
    if isinstance(value, Secret):
        yield name, value
    elif isinstance(value, Section):
        yield from ((f"{name}.{below}", one) for below, one in secrets_of(value))
    elif isinstance(value, tuple | list):
        for number, one in enumerate(value):
            yield from _in(f"{name}.{number}", one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _in(f"{name}.{key}", one)
