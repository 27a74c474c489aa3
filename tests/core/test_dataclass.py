"""Dataclasses whose methods are written at the first use are what the standard library would have made."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mailbridge.core.dataclass import dataclass

HOUSE = Path(__file__).resolve().parents[2] / "mailbridge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """One of the house."""

    name: str
    size: int = 0
    hidden: str = field(default="", repr=False)
    parts: tuple[str, ...] = ()
    found: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def doubled(self) -> int:
        """Something of its own."""
        return 2 * self.size


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """The same, by the standard library."""

    name: str
    size: int = 0
    hidden: str = field(default="", repr=False)
    parts: tuple[str, ...] = ()
    found: dict[str, int] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class Open:
    """One that may change."""

    number: int
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.number += 1


@dataclass(slots=True, eq=False)
class Alone:
    """One that equals itself alone."""

    number: int = 1


def test_an_instance_is_what_the_standard_library_makes() -> None:
    """Defaults, text, equality, hash, slots and faults are the same, and what is frozen stays so."""
    ours, theirs = Ours(name="a", hidden="secret"), Theirs(name="a", hidden="secret")
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert ours == Ours(name="a", hidden="secret", found={"x": 1}) != Ours(name="a")
    assert hash(ours) == hash(theirs)
    assert not hasattr(ours, "__dict__")
    assert ours.doubled == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        ours.name = "b"  # type: ignore[misc]
    with pytest.raises(TypeError, match="size_"):
        Ours(name="a", size_=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="name"):
        Ours()  # type: ignore[call-arg]
    assert Ours.__match_args__ == Theirs.__match_args__
    assert Ours.__doc__ == "One of the house."


def made_by(decorator: Callable[..., Callable[[type], type]]) -> type:
    """A frozen class of which the first members are given by place, by ours or by the standard library's decorator."""

    @decorator(frozen=True, slots=True)
    class Placed:
        """Nothing is to be done when one is made but to set its members."""

        start: int
        end: int = 3
        name: str = field(default="a", kw_only=True)
        found: tuple[str, ...] = field(default=(), compare=False, kw_only=True)

    return Placed


@pytest.mark.parametrize(
    ("places", "names"),
    [((1,), {}), ((1, 2), {"name": "b"}), ((), {"start": 1, "found": ("x",)}), ((), {}), ((1, 2, 3), {}), ((1,), {"size": 1})],
)
def test_members_are_set_as_the_standard_library_does(places: tuple[int, ...], names: dict[str, Any]) -> None:
    """By place and by name, with defaults; what is missing or too much is the same fault in the same words."""
    ours, theirs = made_by(dataclass), made_by(dataclasses.dataclass)
    told = []
    for kind in (ours, theirs):
        try:
            told.append(repr(kind(*places, **names)))
        except TypeError as fault:
            told.append(str(fault))
    assert told[0] == told[1]
    assert inspect.signature(ours) == inspect.signature(theirs)
    with pytest.raises(dataclasses.FrozenInstanceError):
        ours(1).start = 2


def test_what_may_change_changes() -> None:
    """Of one that is not frozen a member can be set, a default list is its own, and what follows the making is done."""
    one, other = Open(1), Open(1)
    one.names.append("a")
    one.number += 1
    assert (one.number, other.number, other.names) == (3, 2, [])
    assert one != other == Open(1)
    assert Alone() != Alone()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_an_instance_can_be_copied(copied: object) -> None:
    """A copy, and one that has been octets meanwhile, equals it."""
    assert callable(copied)
    one = Ours(name="a", size=3, found={"x": 1})
    assert copied(one) == one
    assert copied(one).found == {"x": 1}


@pytest.mark.parametrize(
    "asked",
    [
        lambda kind: kind(name="a"),
        dataclasses.fields,
        dataclasses.is_dataclass,
        lambda kind: msgspec.json.decode(b'{"name": "a"}', type=kind),
        lambda kind: msgspec.json.schema_components([kind]),
    ],
    ids=["made", "fields", "is_dataclass", "decoded", "schema"],
)
def test_whoever_asks_first_has_it_written(asked: object) -> None:
    """Nothing is written until somebody makes one or asks what it is made of; from then on it is whole, whoever asks next."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Fresh:
        """Nobody has asked yet."""

        name: str
        size: int = 5

    assert "__eq__" not in Fresh.__dict__
    assert callable(asked)
    asked(Fresh)
    assert [one.name for one in dataclasses.fields(Fresh)] == ["name", "size"]
    assert dataclasses.replace(Fresh(name="a"), name="b") == Fresh(name="b", size=5)
    assert msgspec.json.decode(msgspec.json.encode(Fresh(name="a")), type=Fresh) == Fresh(name="a")


def test_two_threads_may_be_the_first() -> None:
    """Whichever of many is first, all get their instance."""
    for _ in range(20):

        @dataclass(frozen=True, slots=True, kw_only=True)
        class Fresh:
            """Nobody has asked yet."""

            number: int
            size: int = 5

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda number, kind=Fresh: kind(number=number), range(8)))
        assert [(one.number, one.size) for one in found] == [(number, 5) for number in range(8)]


def test_an_ancestor_has_it_made_at_once() -> None:
    """A class with an ancestor is left to the standard library, which writes the ancestor too."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Parent:
        """It has a default."""

        name: str = "a"

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Child(Parent):
        """It has one more."""

        size: int = 0

    assert (Child(size=1).name, Child(size=1).size, Parent().name) == ("a", 1, "a")
    assert "__eq__" in Parent.__dict__


def test_the_house_has_no_others() -> None:
    """Every dataclass of the house is one of these."""
    others = [
        str(path.relative_to(HOUSE))
        for path in sorted(HOUSE.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("from dataclasses import") and "dataclass" in line.split("import")[1].replace(",", " ").split()
    ]
    assert others == []


def test_a_start_writes_few() -> None:
    """Of the dataclasses that a daemon loads almost none is written before one is made."""
    program = (
        "import sys, mailbridge.cli.serve, mailbridge.app.daemon\n"
        "ours = [module for name, module in sys.modules.items() if name.startswith('mailbridge')]\n"
        "kinds = {kind for module in ours for kind in vars(module).values() if isinstance(kind, type)}\n"
        "print(sum(isinstance(vars(kind).get('__dataclass_fields__'), dict) for kind in kinds))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 30
