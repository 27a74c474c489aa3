"""The mutation tool: what it makes of a module, and that what no test notices is what it tells."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.mutation import explained
from tests.mutation.mutants import mutants_of
from tests.mutation.running import Module, Runner


def made(source: str, *, with_regexes: bool = False) -> set[str]:
    """The mutants of one line's module, as their texts."""
    octets = source.encode()
    return {one.applied(octets).decode().rstrip("\n") for one in mutants_of(octets, with_regexes=with_regexes)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = (a or b) not in c", {"x = (a or b) in c", "x = (a and b) not in c", "x = (False or b) not in c", "x = (a or False) not in c"}),
        ("x = a is not b", {"x = a is b"}),
        ("x = not a", {"x =  a"}),
        ("x = a and b", {"x = a or b", "x = True and b", "x = a and True"}),
        ("x = any(a)", {"x = all(a)"}),
        ("x = a if b else c", {"x = a if True else c", "x = a if False else c"}),
        ("x = [a for a in b if c]", {"x = [a for a in b if True]", "x = [a for a in b if False]"}),
        ("x = 3", {"x = 4", "x = 2"}),
        ("x = 1_000", {"x = 2000", "x = 500"}),
        ("x = True", {"x = False"}),
        ("x = ('é', b)", {"x = ('é',)", "x = (b,)"}),
        ("x = {'a', 'b', 'c'}", {"x = {'b', 'c'}", "x = {'a', 'c'}", "x = {'a', 'b'}"}),
        ("x = {'a': p, 'b': q}", {"x = {'b': q}", "x = {'a': p, }"}),
        ("x = (a or b).lower()", {"x = (a or b)", "x = (a and b).lower()", "x = (False or b).lower()", "x = (a or False).lower()"}),
        ("x = f(E.A, E.B)", {"x = f(E.B)", "x = f(E.A)"}),
        ("x = f(a.A, b.B)", set()),
        ("x = a + b", {"x = a - b"}),
        ("x += a", {"x -= a"}),
        ("f(x)", {"pass"}),
        ("x: Literal[1] = a", set()),
        ("X = Literal['a', 'b']", set()),
        ("X = tuple[str, int]", set()),
        ("x = a[1, 2]", {"x = a[2, 2]", "x = a[0, 2]", "x = a[1, 3]", "x = a[1, 1]", "x = a[(2,)]", "x = a[(1,)]"}),
        ("x = f'{a[:9]}'", set()),
    ],
)  # fmt: skip
def test_the_mutants_of_an_expression(source: str, expected: set[str]) -> None:
    """Each condition, operator, number, member and statement in turn, and nothing in words and types."""
    assert made(source) == expected


def test_the_mutants_of_a_function() -> None:
    """What it gives back is forced, what ends it early is left out, what it catches is not caught; its signature is left alone."""
    source = (
        "@d(1)\ndef f(a: A[1], b: int = 5) -> bool:\n    '''Words 1.'''\n    try:\n        g()\n    except E:\n        return False\n"
        "    if a == 1:\n        raise E\n    return h(a)\n"
    )
    texts = made(source)
    for part in (
        "b: int = 6",
        "b: int = 4",
        "        pass\n    except",
        "except ():",
        "        pass\n    if a",
        "return True\n    if",
        "if True:",
        "if False:",
        "a == 2",
        "        pass\n    return h",
        "return True\n",
        "return False\n",
    ):
        assert any(part in f"{text}\n" for text in texts), part
    assert not any("A[2]" in text or "Words 2" in text or "@d(2)" in text or "!=" in text for text in texts)


def test_cases_are_never_taken_or_lose_an_alternative() -> None:
    """A case of a match gets a guard that is never true, and each of its alternatives becomes another word."""
    texts = made("match a:\n    case 'x' | 'y':\n        b = c\n    case _:\n        b = d\n")
    assert {text.splitlines()[1].strip() for text in texts} == {
        "case 'x' | 'y' if False:",
        "case 'not x' | 'y':",
        "case 'x' | 'not y':",
    }


def test_patterns_lose_a_character_on_demand() -> None:
    """With regexes, each pattern that is still one without a character is a mutant."""
    assert made("x = re.compile(r'ab?')") == set()
    assert made("x = re.compile(r'ab?')", with_regexes=True) == {
        "x = re.compile(r'b?')",
        "x = re.compile(r'a?')",
        "x = re.compile(r'ab')",
    }


def test_a_mutant_knows_its_place() -> None:
    """Its function, its lines and what it looks like are told; what runs at import is told apart."""
    source = b"LIMIT = 7\n\n\nclass A:\n    def f(self, a):\n        return g(\n            a,\n            3,\n        )\n"
    limit, _, three, *_ = mutants_of(source)
    assert (limit.where, limit.is_called, limit.lines) == ("", False, frozenset({1}))
    assert (three.where, three.is_called, three.lines) == ("A.f", True, frozenset({6, 8}))
    assert three.line(source) == 8
    assert three.shown(source) in (("3,", "4,"), ("3,", "2,"))


MODULE = '''
LIMIT = 2


def is_small(number: int) -> bool:
    """Up to the limit."""
    return number <= LIMIT


def unused(number: int) -> bool:
    return number == 1
'''
TESTS = """
import sys
import pytest
from {name} import is_small

@pytest.mark.parametrize(("number", "expected"), [(1, True), (3, False)])
def test_small(number, expected):
    assert is_small(number) is expected

def test_another_process():
    import subprocess
    program = "from {name} import is_small; import sys; sys.exit(0 if is_small(-5) else 1)"
    assert subprocess.run([sys.executable, "-c", program], cwd={cwd!r}).returncode == 0
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """A module and its tests, which do not look at the boundary."""
    name = f"small_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "test_small.py").write_text(TESTS.format(name=name, cwd=str(tmp_path)))
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return Module(file=Path(f"{name}.py"), tests=("test_small.py",))


def test_what_no_test_notices_survives(small: Module) -> None:
    """The boundary and the function that nobody calls survive; everything else is killed, in started processes too."""
    runner = Runner(small, jobs=2)
    results = list(runner.run(mutants_of(runner.source)))
    survived = {one.mutant.shown(runner.source)[1] for one in results if one.fate == "survived"}
    assert survived == {
        "return number < LIMIT",
        "LIMIT = 1",
        "return True",
        "return False",
        "return number == 0",
        "return number == 2",
    }
    assert {one.mutant.where for one in results if one.fate == "survived" and one.mutant.is_called} == {"is_small", "unused"}
    assert "LIMIT = 3" in {one.mutant.shown(runner.source)[1] for one in results if one.fate == "killed"}


def test_an_explanation_outlives_other_changes_and_not_its_line(tmp_path: Path) -> None:
    """It fits its mutant wherever the line stands, and is told when the line is gone; one that explains nothing is refused."""
    source = b"def f(a):\n    return a < 3\n"
    place = explained.place_of(next(one for one in mutants_of(source) if one.text == b"<="), source)
    (tmp_path / "m.toml").write_text(explained.entry(place).replace('why = ""', 'why = "three is never given"'))
    found = explained.read("m", tmp_path)
    assert list(found) == [place]
    moved = b"x = y\n\n\n" + source
    assert explained.gone(found, mutants_of(moved), moved) == []
    changed = source.replace(b"3", b"4")
    assert explained.gone(found, mutants_of(changed), changed) == [place]
    (tmp_path / "m.toml").write_text(explained.entry(place))
    with pytest.raises(ValueError, match="not explained"):
        explained.read("m", tmp_path)


def test_a_module_may_be_imported_by_the_tests_of_the_one_before() -> None:
    """Each is mutated apart, so that what one of them has imported is not in the way of the next."""
    files = ("mailbridge/trust/recipients.py", "mailbridge/trust/dates.py")
    command = [sys.executable, "-m", "tests.mutation", *files, "--sample", "1", "--jobs", "1"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"{file}: 1 mutants" in done.stdout for file in files)


def test_every_explanation_fits_its_module() -> None:
    """The project's own explanations speak of code that is there."""
    for file in explained.FOLDER.glob("*.toml"):
        path = Path(*file.stem.split(".")).with_suffix(".py")
        source = (Path(__file__).parents[2] / path).read_bytes()
        assert explained.gone_from(explained.read(file.stem), source) == [], path


def test_every_module_that_decides_what_is_pushed_is_mutated() -> None:
    """The gate with all that it asks, what a code may not be, and each module of ``trust/``, have tests that are to notice."""
    root = Path(__file__).parents[2]
    known = tomllib.loads((Path(__file__).parent / "modules.toml").read_text())
    known.pop("without")
    wanted = {str(path.relative_to(root)) for path in (root / "mailbridge" / "trust").glob("*.py")}
    wanted |= {f"mailbridge/intake/{name}.py" for name in ("gate", "policy", "proofs", "strangers")}
    wanted |= {f"mailbridge/core/{name}.py" for name in ("features", "vetoes")}
    assert wanted <= set(known)
    for module, entry in known.items():
        assert (root / module).is_file(), module
        assert all((root / path).exists() for path in entry["tests"]), module
