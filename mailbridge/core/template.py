"""Templates of what a target is sent: names in braces that stand for values, put in and escaped for their place. Nothing in them runs.

``{identifier}`` stands for a value, ``{{`` and ``}}`` for a brace. A value is put in as it is and never read again, so braces in a mail
mean nothing. In JSON a text that is nothing but one name, of which there is no value, is left out with its key; beside other text a
missing value is empty.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote_plus

NAMES = (
    "type",
    "event_id",
    "timestamp",
    "identifier",
    "kind",
    "content",
    "code",
    "link",
    "from",
    "from_name",
    "to",
    "raw_to",
    "subject",
    "text",
    "raw",
    "message_id",
    "received_at",
    "expires_at",
    "mail",
    "delivery",
    "rule",
    "run",
    "workflow",
    "task",
    "target",
    "reason",
    "title",
    "message",
    "page",
)
"""What a template may name. Not every event has each of them."""

SECRET = frozenset({"content", "code", "link", "text", "raw", "subject"})
"""Those that may show a code."""

OF_THE_TEXT = frozenset({"text", "from_name", "raw_to"})
"""Those for which the mail has to be read anew."""

PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
Values = Mapping[str, str]
Place = Literal["plain", "json", "xml", "form"]


def names_in(template: object) -> Iterator[str]:
    """Every name that a template uses, those of its inner values too; an odd brace is named as it is.

    Raises nothing: what is no name of NAMES is for the caller to refuse.
    """
    if isinstance(template, str):
        for found in PIECE.finditer(template):
            if found[0] not in ("{{", "}}"):
                yield found[1] if found[1] is not None else found[0]
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from names_in(value)
    elif isinstance(template, list | tuple):
        for value in template:
            yield from names_in(value)


def filled(template: str, values: Values, place: Place = "plain") -> str:
    """A text with its values, each escaped for its place: inside a JSON string, as text of XML, or in a form's body."""

    def put(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        return _escaped(values.get(found[1] or "", ""), place)

    return PIECE.sub(put, template)


def filled_json(template: Any, values: Values) -> Any:
    """A JSON value with its values. Keys stand as they are, and so does what is no text."""
    if isinstance(template, str):
        return filled(template, values)
    if isinstance(template, Mapping):
        return {key: filled_json(inner, values) for key, inner in template.items() if not _is_missing(inner, values)}
    if isinstance(template, list | tuple):
        return [filled_json(inner, values) for inner in template if not _is_missing(inner, values)]
    return template


def filled_form(template: Mapping[str, str], values: Values) -> str:
    """A form's body (``application/x-www-form-urlencoded``); what has no value is left out."""
    pairs = [(key, filled(inner, values)) for key, inner in template.items() if not _is_missing(inner, values)]
    return "&".join(f"{_quoted(key)}={_quoted(value)}" for key, value in pairs)


def filled_header(template: str, values: Values) -> str:
    """A header's value: one line, whatever stands in a value."""
    return "".join(one if one.isprintable() else " " for one in filled(template, values)).strip()


def place_of(content_type: str) -> Place:
    """How values are escaped in a raw body of this type."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")):
        return "json"
    if kind.endswith(("/xml", "+xml", "/html")):
        return "xml"
    return "form" if kind == "application/x-www-form-urlencoded" else "plain"


def compact(value: Any) -> bytes:
    """JSON as it is sent: short, in UTF-8; halves of characters become a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def unknown(template: object, known: Sequence[str] = NAMES) -> Iterator[str]:
    """The names of a template that there are not."""
    return (name for name in dict.fromkeys(names_in(template)) if name not in known)


def _is_missing(template: Any, values: Values) -> bool:
    """Whether a text is nothing but a name without a value."""
    found = PIECE.fullmatch(template) if isinstance(template, str) else None
    return found is not None and found[1] is not None and not values.get(found[1])


def _quoted(value: str) -> str:
    return quote_plus(value, errors="replace")


def _escaped(value: str, place: Place) -> str:
    match place:
        case "json":
            return json.dumps(value, ensure_ascii=False)[1:-1]
        case "xml":
            return html.escape("".join(one for one in value if one in "\t\n\r" or (one >= " " and one not in "\ufffe\uffff")))
        case "form":
            return _quoted(value)
        case "plain":
            return value
