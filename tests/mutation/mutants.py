"""Makes the mutants of a module: each is its source with one small fault, of a kind that people make.

A mutant is a splice of the source text, so that what is printed is what was tried. Text in f-strings, annotations, decorators and
docstrings is left alone: a fault there changes words or types, and no decision.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FLIPS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
}
ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
COMPARED = re.compile(rb"not\s+in\b|is\s+not\b|\bin\b|\bis\b|[<>=!]=|[<>]")
ARITHMETIC: dict[type[ast.operator], tuple[bytes, bytes]] = {
    ast.Add: (b"+", b"-"),
    ast.Sub: (b"-", b"+"),
    ast.Mult: (b"*", b"//"),
    ast.FloorDiv: (b"//", b"*"),
    ast.Div: (b"/", b"*"),
    ast.Mod: (b"%", b"//"),
    ast.BitOr: (b"|", b"&"),
    ast.BitAnd: (b"&", b"|"),
}
SWAPPED = {"any": "all", "all": "any", "min": "max", "max": "min"}
TIDYING = frozenset({"lower", "upper", "casefold", "strip", "lstrip", "rstrip", "removeprefix", "removesuffix"})
"""Methods that bring text into one form before it is compared: without them the text itself is."""

SMALL = 100
"""Numbers up to here are moved by one; larger ones, which are limits, are doubled and halved."""

TYPES = frozenset({"Literal", "tuple", "list", "dict", "set", "frozenset", "type", "Callable", "Mapping", "Awaitable"})
"""What is a type where something stands in brackets behind it: an alias, which only the type checker looks at."""

REGEX = frozenset({"compile", "match", "fullmatch", "search", "sub", "findall", "finditer", "split"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault: the octets from ``start`` to ``end`` become ``text``. ``lines`` are those that run with it (1 is the first).

    ``where`` is the function (``Class.method``), ``""`` for the module itself; ``what`` names the kind of fault. ``is_called``: it
    stands in a function's body, and not in what runs once, when the module is imported.
    """

    start: int
    end: int
    text: bytes
    lines: frozenset[int]
    where: str
    what: str
    is_called: bool

    def line(self, source: bytes) -> int:
        """Where it stands."""
        return source.count(b"\n", 0, self.start) + 1

    def applied(self, source: bytes) -> bytes:
        """The source with the fault in it."""
        return source[: self.start] + self.text + source[self.end :]

    def shown(self, source: bytes) -> tuple[str, str]:
        """The first line that differs, before and after, without its indent."""
        before, after = source.decode().splitlines(), self.applied(source).decode().splitlines()
        at = next(
            (n for n, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), min(len(before), len(after))
        )
        old, new = (text[at].strip() if at < len(text) else "" for text in (before, after))
        return old, new


def mutants_of(
    source: bytes, *, with_regexes: bool = False, is_wanted: Callable[[Mutant], bool] | None = None
) -> tuple[Mutant, ...]:
    """Every mutant of a module that compiles and differs, in the order of the source. ``with_regexes`` adds those of patterns;
    ``is_wanted`` chooses before anything is compiled, which takes long.

    Raises:
        SyntaxError: the source is none.
    """
    visitor = _Visitor(source, with_regexes=with_regexes)
    visitor.visit(ast.parse(source))
    found: dict[bytes, Mutant] = {}
    plain = ast.dump(ast.parse(source))
    for one in sorted(visitor.found, key=lambda one: (one.start, one.end, one.text)):
        if is_wanted is not None and not is_wanted(one):
            continue
        mutated = one.applied(source)
        try:
            is_other = ast.dump(ast.parse(mutated)) != plain
            compile(mutated, "mutant", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            continue
        if is_other:
            found.setdefault(mutated, one)
    return tuple(found.values())


class _Visitor(ast.NodeVisitor):
    def __init__(self, source: bytes, *, with_regexes: bool) -> None:
        self.found: list[Mutant] = []
        self._source = source
        self._starts = [0, *(match.end() for match in re.finditer(rb"\n", source))]
        self._with_regexes = with_regexes
        self._names: list[str] = []
        self._statement = 1
        self._depth = 0
        self._is_bool = False
        self._last: set[ast.stmt] = set()
        self._forced: set[ast.expr] = set()

    def _span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt | ast.pattern)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[node.end_lineno - 1] + node.end_col_offset

    def _add(self, start: int, end: int, text: str | bytes, what: str) -> None:
        first = self._source.count(b"\n", 0, start) + 1
        last = self._source.count(b"\n", 0, max(start, end - 1)) + 1
        octets = text if isinstance(text, bytes) else text.encode()
        self.found.append(
            Mutant(
                start=start,
                end=end,
                text=octets,
                lines=frozenset({self._statement, *range(first, last + 1)}),
                where=".".join(self._names),
                what=what,
                is_called=self._depth > 0,
            )
        )

    def _replace(self, node: ast.AST, text: str, what: str) -> None:
        self._add(*self._span(node), text, what)

    # What stands around

    def visit(self, node: ast.AST) -> None:
        """See `ast.NodeVisitor.visit`."""
        before = self._statement
        if isinstance(node, ast.stmt | ast.ExceptHandler):
            self._statement = node.lineno
        super().visit(node)
        self._statement = before

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._names.append(node.name)
        for one in node.body:
            self.visit(one)
        self._names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        before = self._is_bool
        self._names.append(node.name)
        self._is_bool = isinstance(node.returns, ast.Name) and node.returns.id == "bool"
        self._last.add(node.body[-1])
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        self._depth += 1
        for one in node.body:
            self.visit(one)
        self._depth -= 1
        self._names.pop()
        self._is_bool = before

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not (isinstance(node.value, ast.Name) and node.value.id in TYPES):
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Words for a person."""

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call | ast.Await):
            self._replace(node, "pass", "statement removed")
        self.generic_visit(node)

    # Conditions

    def _force(self, test: ast.expr, *values: str) -> None:
        self._forced.add(test)
        for value in values:
            self._replace(test, value, f"condition is {value}")

    def visit_If(self, node: ast.If) -> None:
        self._force(node.test, "True", "False")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._force(node.test, "False")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._force(node.test, "True", "False")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._force(test, "True", "False")
        self.generic_visit(node)

    def visit_match_case(self, node: ast.match_case) -> None:
        if node.guard is not None:
            self._force(node.guard, "True", "False")
        elif not (isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None):
            end = self._span(node.pattern)[1]
            self._add(end, end, " if False", "case never taken")
        if isinstance(node.pattern, ast.MatchOr):
            for one in node.pattern.patterns:
                if isinstance(one, ast.MatchValue) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str):
                    self._replace(one, repr(f"not {one.value.value}"), "alternative dropped")
        if node.guard is not None:
            self.visit(node.guard)
        for statement in node.body:
            self.visit(statement)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        is_and = isinstance(node.op, ast.And)
        old, new = (b"and", b"or") if is_and else (b"or", b"and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            start, end = self._span(left)[1], self._span(right)[0]
            found = re.search(rb"\b" + old + rb"\b", self._source[start:end])
            if found is not None:
                self._add(start + found.start(), start + found.end(), new, f"{old.decode()} is {new.decode()}")
        for value in node.values:
            self._replace(value, "True" if is_and else "False", "operand dropped")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not) and node not in self._forced:
            start = self._span(node)[0]
            self._add(start, start + len(b"not"), b"", "not removed")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        terms = (node.left, *node.comparators)
        for operator, left, right in zip(node.ops, terms, terms[1:], strict=False):
            start, end = self._span(left)[1], self._span(right)[0]
            found = COMPARED.search(self._source, start, end)
            if found is None:
                continue
            flips = FLIPS[type(operator)]
            if node in self._forced:
                # Its being always true or always false is tried already: what is left is the boundary.
                flips = flips[:1] if isinstance(operator, ORDERED) else ()
            for flip in flips:
                self._add(found.start(), found.end(), flip, f"{found.group().decode()} is {flip}")
        self.generic_visit(node)

    # What is given back, and what is left out

    def visit_Return(self, node: ast.Return) -> None:
        value = node.value
        if value is not None and not isinstance(value, ast.Constant):
            is_condition = isinstance(value, ast.Compare | ast.BoolOp) or (
                isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
            )
            if self._is_bool or is_condition:
                self._force(value, "True", "False")
        if node not in self._last:
            self._replace(node, "pass", "early return removed")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace(node, "pass", "raise removed")
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "pass", "continue removed")
        self._replace(node, "break", "continue is break")

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "pass", "break removed")

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self._replace(node.type, "()", "exception not caught")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        start, end = self._span(node.target)[1], self._span(node.value)[0]
        for old, new in ((b"+=", b"-="), (b"-=", b"+=")):
            at = self._source.find(old, start, end)
            if at >= 0:
                self._add(at, at + 2, new, f"{old.decode()} is {new.decode()}")
        self.generic_visit(node)

    # Values

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._replace(node, repr(not value), f"{value} is {not value}")
        elif isinstance(value, int | float):
            others = (
                (value + 1, value - 1) if isinstance(value, int) and abs(value) < SMALL else (value * 2, type(value)(value / 2))
            )
            for other in others:
                text = repr(other) if other >= 0 else f"({other!r})"
                self._replace(node, text, f"{value} is {other}")

    def visit_BinOp(self, node: ast.BinOp) -> None:
        pair = ARITHMETIC.get(type(node.op))
        if pair is not None and not (isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant)):
            start, end = self._span(node.left)[1], self._span(node.right)[0]
            at = self._source.find(pair[0], start, end)
            if at >= 0:
                self._add(at, at + len(pair[0]), pair[1], f"{pair[0].decode()} is {pair[1].decode()}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        self._arguments(node)
        if isinstance(function, ast.Name) and function.id in SWAPPED:
            self._replace(function, SWAPPED[function.id], f"{function.id} is {SWAPPED[function.id]}")
        if isinstance(function, ast.Attribute):
            if function.attr in TIDYING:
                end = self._span(node)[1]
                at = self._source.rfind(b"." + function.attr.encode(), self._span(function.value)[1], self._span(function)[1])
                if at >= 0:
                    self._add(at, end, b"", f"{function.attr} left out")
            if self._with_regexes and function.attr in REGEX and node.args:
                self._pattern(node.args[0])
        self.generic_visit(node)

    def _arguments(self, node: ast.Call) -> None:
        """A call of a choice of named things (``has(F.A, F.B)``) with one of them less."""
        given = node.args
        of = {
            one.value.id
            for one in given
            if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.attr.isupper()
        }
        if len(given) < 2 or len(of) != 1 or not all(isinstance(one, ast.Attribute) for one in given):
            return
        for index, one in enumerate(given):
            start = self._span(given[index - 1])[1] if index else self._span(one)[0]
            end = self._span(one)[1] if index else self._span(given[1])[0]
            self._add(start, end, b"", f"{ast.unparse(one)} dropped")

    def _pattern(self, node: ast.expr) -> None:
        """A pattern with one character less, wherever it is still a pattern."""
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)):
            return
        start, end = self._span(node)
        for at in range(start, end):
            if self._source[at : at + 1] in b"\"'rbRB" and at - start < 3:
                continue
            shorter = self._source[start:at] + self._source[at + 1 : end]
            try:
                value = ast.literal_eval(shorter.decode())
                re.compile(value)
            except (SyntaxError, ValueError, re.error, TypeError):
                continue
            self._add(start, end, shorter, "pattern without a character")

    def _members(self, node: ast.Tuple | ast.List | ast.Set) -> None:
        """A collection of names and constants with one member less."""
        members = node.elts
        if len(members) < 2 or not all(isinstance(one, ast.Constant | ast.Name | ast.Attribute) for one in members):
            return
        if isinstance(node, ast.Tuple | ast.List) and not isinstance(node.ctx, ast.Load):
            return
        for index, one in enumerate(members):
            dropped = ast.unparse(one)
            if isinstance(node, ast.Tuple) and len(members) == 2:
                self._replace(node, f"({ast.unparse(members[1 - index])},)", f"{dropped} dropped")
            elif index:
                self._add(self._span(members[index - 1])[1], self._span(one)[1], b"", f"{dropped} dropped")
            else:
                self._add(self._span(one)[0], self._span(members[1])[0], b"", f"{dropped} dropped")

    def visit_Tuple(self, node: ast.Tuple) -> None:
        self._members(node)
        self.generic_visit(node)

    def visit_List(self, node: ast.List) -> None:
        self._members(node)
        self.generic_visit(node)

    def visit_Set(self, node: ast.Set) -> None:
        self._members(node)
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for index, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
            if not isinstance(key, ast.Constant):
                continue
            following = next(self._after(node, index), None)
            start, end = self._span(key)[0], self._span(value)[1] if following is None else following
            self._add(start, end, b"", f"{ast.unparse(key)} dropped")
        self.generic_visit(node)

    def _after(self, node: ast.Dict, index: int) -> Iterator[int]:
        """Where the entry behind that of an index begins."""
        for key, value in list(zip(node.keys, node.values, strict=True))[index + 1 :]:
            yield self._span(key)[0] if key is not None else self._source.rfind(b"**", 0, self._span(value)[0])
