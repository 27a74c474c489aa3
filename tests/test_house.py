"""The bounds of the house: how long a function may be, how much a constructor takes, how much the assembled daemon holds."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator

import pytest

from mailbridge.app.daemon import Bridge, Door
from mailbridge.app.engine import Engine, WayOut
from tests.conftest import ROOT

LONGEST_FUNCTION = 60
MOST_ARGUMENTS = 7
MOST_FIELDS = 8

BEING_REBUILT = {"Handing", "Mailbox", "Watch", "Watcher"}
"""Constructors of the watched mailboxes that still take more. Nothing else may join them."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Everything that is written in the program, with the module that it stands in."""
    for path in sorted((ROOT / "mailbridge").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path.relative_to(ROOT).as_posix(), node


def test_no_function_is_longer_than_a_page() -> None:
    """At most 60 lines, from ``def`` to its end, docstring included."""
    long = [
        f"{module}:{node.lineno} {node.name}: {lines} lines"
        for module, node in nodes()
        if isinstance(node, Function) and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == []


def test_no_constructor_takes_more_than_one_can_remember() -> None:
    """At most seven arguments beside ``self``: what needs more is two things, or a contract that has no name yet."""
    wide = [
        f"{module} {node.name}: {count} arguments"
        for module, node in nodes()
        if isinstance(node, ast.ClassDef) and node.name not in BEING_REBUILT and (count := _arguments(node)) > MOST_ARGUMENTS
    ]
    assert wide == []


def _arguments(of: ast.ClassDef) -> int:
    """What ``__init__`` takes, where it is written out; 0 where it is not."""
    for node in of.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = node.args
            return len([*given.posonlyargs, *given.args, *given.kwonlyargs]) - 1
    return 0


@pytest.mark.parametrize("part", [Bridge, Door, Engine, WayOut])
def test_the_assembled_daemon_has_few_parts(part: type) -> None:
    """At most eight fields each, so that whoever reads the assembly sees it whole."""
    assert len(dataclasses.fields(part)) <= MOST_FIELDS
