"""Which texts a configuration may contain: one word of a choice, or one meaningful line."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from mailbridge.config.values import shortened

T = TypeVar("T")

LONGEST = 1_000
"""Characters of a value: the longest name that the operator API accepts, and far more than any mail address has."""


def words_of(kind: Any) -> tuple[str, ...]:
    """The words of a choice, or of a list of choices; empty if the key accepts anything else."""
    if get_origin(kind) is Literal:
        return tuple(get_args(kind))
    if get_origin(kind) not in (Union, UnionType, tuple):
        return ()
    inner = [words_of(one) for one in get_args(kind) if one not in (NoneType, Ellipsis)]
    return tuple(dict.fromkeys(word for words in inner for word in words)) if all(inner) else ()


def must_be_among(value: object, kind: Any) -> None:
    """Do nothing if ``kind`` is not a choice, or the value is one of its words. Else raise ValueError with the list of words."""
    words = words_of(kind)
    takes_list = any(get_origin(one) is tuple for one in (kind, *get_args(kind)))
    entries = value if isinstance(value, list) and takes_list else [value]
    wrong = [one for one in entries if not isinstance(one, str) or one not in words]
    if not words or not wrong:
        return
    also = f" or a list of them, not {shortened(str(wrong[0]))}" if takes_list else ""
    raise ValueError(f"must be one of {', '.join(words)}{also}")


def sound(value: T, kind: Any) -> T:
    """The value, unchanged. Raises ValueError if a text in it is empty and may not be, has more than one line, or is far too
    long."""
    is_list = isinstance(value, tuple)
    for one in value if isinstance(value, tuple) else (value,):
        if not isinstance(one, str):
            continue
        if not one.strip() and (is_list or one or NoneType in get_args(kind)):
            raise ValueError("an entry is empty; leave it out" if is_list else "is empty; leave it out")
        if not one.isprintable():
            raise ValueError("must be one line of text: it holds a line break or another character that cannot be seen")
        if len(one) > LONGEST:
            raise ValueError(f"is too long: at most {LONGEST} characters, not {len(one)}")
    return value
