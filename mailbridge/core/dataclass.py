"""``@dataclass`` of the standard library, whose methods are written when the class is first used.

To write them takes 0.5 ms and 10 kB a class, and most of some 300 classes are never needed by a daemon: their start would be a quarter
longer. What counts is the standard library's all the same: a class that is used is handed to it, and is what it would have been.
"""

from __future__ import annotations

import dataclasses
import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

FIELDS = "__dataclass_fields__"
"""What the standard library knows a dataclass by: `fields`, `replace`, `asdict`, and whatever else asks what it is."""

_WRITING = threading.RLock()

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, slots: bool = False, **options: bool) -> Callable[[type], type]:
        """See `dataclasses.dataclass`. Only what has slots and no ancestors of its own is put off; all else is made at once."""

        def decorate(plain: type) -> type:
            if not slots or plain.__bases__ != (object,) or "__slots__" in plain.__dict__:
                return dataclasses.dataclass(slots=slots, **options)(plain)
            return _put_off(plain, options)

        return decorate


def _put_off(plain: type, options: dict[str, bool]) -> type:
    """The class with its slots, and nothing else yet; making it an instance, or asking for its fields, writes the rest."""
    names = tuple(name for name, kind in inspect.get_annotations(plain).items() if not _is_of_the_class(kind))
    body = {name: value for name, value in plain.__dict__.items() if name not in ("__dict__", "__weakref__")}
    defaults = {name: body.pop(name) for name in names if name in body}
    made = type(plain.__name__, plain.__bases__, {**body, "__slots__": names})
    made.__qualname__ = plain.__qualname__
    own_init = body.get("__init__")

    def write() -> None:
        with _WRITING:
            if isinstance(made.__dict__.get(FIELDS), dict):
                return
            _write(made, defaults, options, has_init=own_init is not None)

    def __init__(self: Any, *args: Any, **members: Any) -> None:  # noqa: N807
        write()
        made.__init__(self, *args, **members)  # type: ignore[misc]

    if own_init is None:
        made.__init__ = __init__  # type: ignore[misc]
    setattr(made, FIELDS, _Unwritten(write))
    return made


def _write(made: type, defaults: dict[str, Any], options: dict[str, bool], *, has_init: bool) -> None:
    """What the standard library does with a class, at last. It looks for defaults where the slots have their own entries by now."""
    slots = {name: made.__dict__[name] for name in defaults}
    delattr(made, FIELDS)
    if not has_init:
        del made.__init__  # type: ignore[misc]
    for name, value in defaults.items():
        setattr(made, name, value)
    dataclasses.dataclass(**options)(made)
    for name, slot in slots.items():
        setattr(made, name, slot)
    if options.get("frozen"):  # as it does for frozen classes with slots: what is no instance yet cannot be set otherwise
        for name, method in (("__getstate__", _state_of), ("__setstate__", _set_state)):
            if name not in made.__dict__:
                setattr(made, name, method)


class _Unwritten:
    """Stands where the fields will, and writes them when they are asked for."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = write

    def __get__(self, instance: object, owner: type) -> Any:
        self._write()
        return getattr(owner, FIELDS)


def _state_of(self: Any) -> list[Any]:
    return [getattr(self, one.name) for one in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for one, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)


def _is_of_the_class(kind: object) -> bool:
    """Whether an annotation is no field: annotations are texts in this house."""
    return str(kind).startswith(("ClassVar", "InitVar", "typing.ClassVar", "dataclasses.InitVar"))
