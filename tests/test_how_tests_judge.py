"""No test judges by the clock on the wall, waits by sleeping, or reaches into private names: read from the tests' own code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parent
FOLDERS_THAT_MEASURE = (
    "bench",
    "mutation",
    "extraction/train.py",
    "fuzz/fuzz.py",
    "fuzz/fuzz_parse.py",
    "fuzz/fuzz_smtp.py",
    "fuzz/grow.py",
)
"""Commands that print figures, and no tests."""

CLOCKS = frozenset({"time", "monotonic", "perf_counter", "process_time", "thread_time"})
SLEEPS = frozenset({"time.sleep", "asyncio.sleep"})

MAY_MEASURE: dict[str, str] = {}
MAY_SLEEP: dict[str, str] = {}
MAY_REACH_IN: dict[str, str] = {}
"""What is excepted, ``file::function``, and why."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the tests, by its path."""
    for path in sorted(TESTS.rglob("*.py")):
        name = path.relative_to(TESTS).as_posix()
        if not name.startswith(FOLDERS_THAT_MEASURE) and "release_0_1_0" not in name:
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def functions(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Outermost functions, those of classes with the class's name before theirs, and then the rest of the module."""
    for node in module.body:
        if isinstance(node, Function):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                yield (f"{node.name}.{inner.name}" if isinstance(inner, Function) else node.name), inner
        else:
            yield "", node


def is_elapsed(node: ast.AST, names: frozenset[str]) -> bool:
    """Whether an expression is a difference of a clock's readings, or a name that holds one."""
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and one.id in names:
            return True
        if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub) and any(map(is_reading, ast.walk(one))):
            return True
    return False


def is_reading(node: ast.AST) -> bool:
    """Whether an expression reads a clock: ``time.monotonic()``, ``loop.time()``."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS and not node.args


def measured(function: ast.AST) -> Iterator[int]:
    """Lines of a function in which an assertion sets a time that passed an upper bound. A lower bound holds on any machine."""
    assigned = (one for one in ast.walk(function) if isinstance(one, ast.Assign) and is_elapsed(one.value, frozenset()))
    names = frozenset(target.id for one in assigned for target in one.targets if isinstance(target, ast.Name))
    for node in ast.walk(function):
        if not isinstance(node, ast.Assert):
            continue
        for one in ast.walk(node.test):
            if isinstance(one, ast.Compare):
                sides = [one.left, *one.comparators]
                for left, operator, right in zip(sides, one.ops, sides[1:], strict=False):
                    is_bound_above = isinstance(operator, ast.Lt | ast.LtE) and is_elapsed(left, names)
                    if is_bound_above or (isinstance(operator, ast.Gt | ast.GtE) and is_elapsed(right, names)):
                        yield node.lineno


def slept(function: ast.AST, *, is_waiting: bool = False) -> Iterator[int]:
    """Lines of a function that sleep, but for those in a ``while`` (a wait for a condition) and those that only let others run."""
    for node in ast.iter_child_nodes(function):
        is_sleep = (
            isinstance(node, ast.Call) and ast.unparse(node.func) in SLEEPS and ast.unparse(node.args[0]) not in ("0", "0.0")
        )
        is_handed_on = isinstance(node, ast.Call) and any(ast.unparse(one) in SLEEPS for one in node.args)
        if (is_sleep and not is_waiting) or is_handed_on:
            yield getattr(node, "lineno", 0)
        yield from slept(node, is_waiting=is_waiting or isinstance(node, ast.While))


def reached(function: ast.AST) -> Iterator[int]:
    """Lines of a function that name what is another's own: ``one._name``, ``from room import _name``."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if ast.unparse(node.value) not in ("self", "cls", "os", "sys"):
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and any(is_private(alias.name) for alias in node.names):
            yield node.lineno


def is_private(name: str) -> bool:
    """Whether a name is its owner's own."""
    return name.startswith("_") and not name.endswith("__")


def test_no_test_judges_by_the_wall_clock() -> None:
    """What must not take long is waited for with a generous deadline, or compared with other work in the same run (`tests.cost`)."""
    found = {
        f"{name}::{where}": line for name, module in modules() for where, node in functions(module) for line in measured(node)
    }
    assert {place: line for place, line in found.items() if place not in MAY_MEASURE} == {}
    assert set(MAY_MEASURE) <= set(found), "no longer needed"


def test_no_test_waits_by_sleeping() -> None:
    """A condition is waited for (`tests.loop.until`), except where it is the time itself that must pass, or a peer that is slow."""
    found = {f"{name}::{where}": line for name, module in modules() for where, node in functions(module) for line in slept(node)}
    assert {place: line for place, line in found.items() if place not in MAY_SLEEP} == {}
    assert set(MAY_SLEEP) <= set(found), "no longer needed"


def test_no_test_reaches_into_private_names() -> None:
    """What a test needs of a module is what anybody may use of it."""
    found = {
        f"{name}::{where}": line for name, module in modules() for where, node in functions(module) for line in reached(node)
    }
    assert {place: line for place, line in found.items() if place not in MAY_REACH_IN} == {}
    assert set(MAY_REACH_IN) <= set(found), "no longer needed"
