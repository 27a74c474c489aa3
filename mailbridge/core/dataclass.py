"""``@dataclass`` of the standard library, whose methods are written when the class is first used.

To write them takes 0.5 ms and 10 kB a class, and most of some 300 classes are never needed by a daemon: their start would be a quarter
longer. What counts is the standard library's all the same: a class that is used is handed to it, and is what it would have been. Only
instances of frozen classes are made in two thirds of the time, which was a fourteenth of what a mail costs (`_quick`).
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
    bare = {name: value for name, value in body.items() if name not in names}
    made = type(plain.__name__, plain.__bases__, {**bare, "__slots__": names})
    made.__qualname__ = plain.__qualname__

    def write() -> None:
        with _WRITING:
            if not isinstance(made.__dict__.get(FIELDS), dict):
                _write(made, body, options)
                body.clear()

    def __init__(self: Any, *args: Any, **members: Any) -> None:  # noqa: N807
        write()
        made.__init__(self, *args, **members)  # type: ignore[misc]

    if "__init__" not in body:
        made.__init__ = __init__  # type: ignore[misc]
    setattr(made, FIELDS, _Unwritten(write))
    return made


def _write(made: type, body: dict[str, Any], options: dict[str, bool]) -> None:
    """Have the standard library make the class, and take over what it has that ours has not: the slots and its own members stay. That one
    can be made comes last, since another thread may want one meanwhile."""
    make: Callable[[type], type] = dataclasses.dataclass(slots=True, **options)
    whole = make(type(made.__name__, made.__bases__, body))
    kept = {*vars(made)["__slots__"], "__slots__", "__doc__", "__module__", "__dict__", "__weakref__"}
    written = {name: value for name, value in vars(whole).items() if name not in kept and body.get(name) is not value}
    if options.get("frozen") and "__init__" in written:
        written["__init__"] = _quick(whole, made)
    for name in sorted(written, key=lambda name: name == "__init__"):
        setattr(made, name, written[name])


def _quick(whole: type, made: type) -> Any:
    """The ``__init__`` of a frozen class, where it does no more than to set its members: each by the setter of its own slot, which
    ``object.__setattr__`` has to look for. Any other one is returned as it is."""
    init: Any = vars(whole)["__init__"]
    code = init.__code__
    positional, names = code.co_argcount, code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    members = dataclasses.fields(whole)
    is_plain = all(one.init and one.default_factory is dataclasses.MISSING for one in members) and len(names) == len(members)
    if not is_plain or hasattr(whole, "__post_init__"):
        return init
    taken = ", ".join(("self", *names[: positional - 1], *(("*",) if code.co_kwonlyargcount else ()), *names[positional - 1 :]))
    body = "".join(f"\n set_{name}(self, {name})" for name in names)
    scope: dict[str, Any] = {f"set_{name}": vars(made)[name].__set__ for name in names}
    exec(f"def __init__({taken}):{body or ' pass'}", scope)  # noqa: S102  (as the standard library does: names of members, and no more)
    quick = scope["__init__"]
    for name in ("__defaults__", "__kwdefaults__", "__annotations__", "__module__"):
        setattr(quick, name, getattr(init, name))
    quick.__qualname__ = f"{made.__qualname__}.__init__"
    return quick


class _Unwritten:
    """Stands where the fields will, and writes them when they are asked for."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = write

    def __get__(self, instance: object, owner: type) -> Any:
        self._write()
        return getattr(owner, FIELDS)


def _is_of_the_class(kind: object) -> bool:
    """Whether an annotation is no field: annotations are texts in this house."""
    return str(kind).startswith(("ClassVar", "InitVar", "typing.ClassVar", "dataclasses.InitVar"))
