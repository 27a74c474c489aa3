"""What two trees of one mail are compared by."""

from __future__ import annotations

from email.message import Message
from typing import Any

Shape = tuple[list[tuple[str, Any]], str, "list[Shape] | object"]


def shape(tree: Message) -> Shape:
    """Headers as they stand, the type of a part that names none, and the parts or the text."""
    payload: object = tree._payload  # type: ignore[attr-defined]  # as core.parse reads it
    parts = [shape(part) for part in payload] if isinstance(payload, list) else payload
    return list(tree.raw_items()), tree.get_default_type(), parts
