"""What a verb is asked with: strict structures, from the query or the body of a request, or from a command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec

GREATEST = 2**63 - 1
LATEST = datetime(2096, 1, 1, tzinfo=UTC)
NO_NUL = "^[^\\x00]*$"
SOMETHING = "^[^\\x00]*[^\\s\\x00][^\\x00]*$"

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

    Raises:
        ValueError: one is missing, unknown or wrong; the message says which, and repeats no value.
    """
    found = msgspec.convert(values, kind, strict=not is_text)
    for name in kind.__struct_fields__:
        value = getattr(found, name)
        if isinstance(value, datetime) and not datetime(1970, 1, 1, tzinfo=UTC) <= value.astimezone(UTC) <= LATEST:
            raise ValueError(f"{name}: must be a moment from 1970 to 2095")
    return found
