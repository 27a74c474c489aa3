"""What a verb is asked with: strict structures, from the query or the body of a request, or from a command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec

GREATEST = 2**63 - 1
MOST_SECONDS = 4e9
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2096, 1, 1, tzinfo=UTC)
NO_NUL = "^[^\\x00]*$"
SOMETHING = "^[^\\x00]*[^\\s\\x00\\x1c-\\x1f\\x85][^\\x00]*$"
"""Python's white space is more than ECMA-262's, by which readers of the OpenAPI description go."""

Number = Annotated[int, msgspec.Meta(ge=1, le=GREATEST)]
Before = Annotated[int, msgspec.Meta(ge=0, le=GREATEST)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=1000)]
MaybeText = Annotated[str, msgspec.Meta(max_length=1000, pattern=NO_NUL)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000, pattern=SOMETHING)]
Identifier = Text
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=60)]


class Ask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked. An unknown member is a mistake."""


class Nothing(Ask, frozen=True, kw_only=True):
    """There is nothing to say."""


A = TypeVar("A", bound=Ask)


def asked(kind: type[A], values: Any, *, is_text: bool) -> A:
    """Values as what a verb is asked with. ``is_text``: they come out of a query, where everything is text.

    A moment before 1970 is as good as 1970, and one after 2095 as good as that.

    Raises:
        ValueError: one is missing, unknown or wrong; the message says which, and repeats no value.
    """
    for one in msgspec.structs.fields(kind) if is_text else ():
        if one.default is None:
            _must_be_plain(one.encode_name, str(values.get(one.encode_name, "")), is_moment="datetime" in str(one.type))
    found = msgspec.convert(values if is_text else _whole(values), kind, strict=not is_text)
    moments = {name: value for name in kind.__struct_fields__ if isinstance(value := getattr(found, name), datetime)}
    return msgspec.structs.replace(found, **{name: _bounded(value) for name, value in moments.items()}) if moments else found


def _must_be_plain(name: str, text: str, *, is_moment: bool) -> None:
    """Refuse what msgspec would take out of a query: ``null`` for nothing, and seconds since 1970 beyond any that are meant."""
    if text.casefold() == "null":
        raise ValueError(f"{name}: leave it out")
    try:
        seconds = float(text)
    except ValueError:
        return
    if is_moment and not 0 <= seconds <= MOST_SECONDS:
        raise ValueError(f"{name}: must be a moment such as 2026-01-31T12:00:00Z, or seconds since 1970")


def _bounded(moment: datetime) -> datetime:
    if moment.year < 1971:
        return EARLIEST
    return LATEST if moment.year > 2095 else moment.astimezone(UTC)


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 3.0 is the whole number 3."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_whole(one) for one in value]
        case dict():
            return {name: _whole(one) for name, one in value.items()}
        case _:
            return value
