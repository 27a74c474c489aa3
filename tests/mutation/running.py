"""Runs the tests of a module against its mutants, each in a process of its own that is forked with everything else imported already.

What a mutant costs is therefore collecting a few files, importing what imports the mutated module, and the tests themselves: those that
run its lines, the quickest file first and then those that have noticed most so far, until one fails. Only for mutants that outlive these are the module's other tests run too, since
memories (``@cache``, a resolver's) and started processes hide what runs where.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.mutation import overlay
from tests.mutation.mutants import Mutant
from tests.mutation.watching import Lines, Selected, Timed

QUIET = ("-q", "--no-header", "--no-summary", "--tb=no", "-p", "no:cacheprovider")
PATIENCE = 10.0
"""Seconds that a mutant has beyond three times what its tests take."""

MOST_MEMORY = 8 << 30
"""Octets of address space for a mutant: a loop without end must not take the machine with it."""

CONTROLS = 3
Fate = Literal["killed", "timeout", "survived"]


class TestsFail(Exception):  # noqa: N818  (a finding about the tests)
    """The tests fail without any fault in the module: nothing can be learned from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module to mutate, the tests that are to notice (paths), and words of tests that are left out (clocks, loads)."""

    file: Path
    tests: tuple[str, ...]
    excluded: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As it is imported."""
        parts = self.file.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the tests: how long each takes (seconds), in order, which lines of the module each runs, and how often each
    was the first to notice."""

    seconds: dict[str, float]
    of_tests: dict[str, frozenset[int]]
    of_files: dict[str, frozenset[int]]
    noticed: Counter[str] = field(default_factory=Counter)

    def covering(self, mutant: Mutant) -> tuple[str, ...]:
        """The tests that run a mutant's lines, the cheapest file first; all of them for one that runs at import."""
        if not mutant.is_called:
            return self.in_order(self.seconds)
        chosen = {test for test, lines in self.of_tests.items() if lines & mutant.lines}
        files = {file for file, lines in self.of_files.items() if lines & mutant.lines}
        return self.in_order(test for test in self.seconds if test in chosen or _file(test) in files)

    def in_order(self, tests: Iterable[str]) -> tuple[str, ...]:
        """Tests by the cost of their file and by what it has noticed."""
        chosen = list(tests)
        cost: dict[str, float] = {}
        for test in chosen:
            cost[_file(test)] = cost.get(_file(test), 0.0) + self.seconds[test]
        noticed = Counter(_file(test) for test in self.noticed.elements())
        return tuple(sorted(chosen, key=lambda test: (cost[_file(test)] / (1 + noticed[_file(test)]), -self.noticed[test])))


@dataclass(slots=True)
class Result:
    """What became of a mutant, and which test noticed."""

    mutant: Mutant
    fate: Fate
    by: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class _Child:
    """A process that runs tests; it answers in a file."""

    pid: int
    folder: Path
    until: float
    began: float = field(default_factory=time.monotonic)

    def answer(self) -> dict[str, Any] | None:
        """What it has written; None where it ended without a word."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "answer.json").read_text())
        except (OSError, ValueError):
            return None
        return found

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is over, after a look or after ``seconds``; one whose time is over is ended."""
        until = time.monotonic() + (seconds or 0.0)
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > self.until:
                break
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)
        # With what it has started and left behind, and before its number can be anybody else's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return True

    def tidy(self) -> None:
        """Remove what it wrote."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _fork(work: Callable[[Path], dict[str, Any]], *, patience: float, is_heard: bool = False) -> _Child:
    """Do something in a process of its own and have its answer written. ``is_heard``: what it prints is for the terminal."""
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return _Child(pid=pid, folder=folder, until=time.monotonic() + patience)
    code = 70
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        if not is_heard:
            nothing = Path(os.devnull).open("r+")  # noqa: SIM115  (for as long as the process is)
            for number in (0, 1, 2):
                os.dup2(nothing.fileno(), number)
            sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = nothing  # type: ignore[misc]
        answer = work(folder)
        (folder / "answer.part").write_text(json.dumps(answer))
        (folder / "answer.part").rename(folder / "answer.json")
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _pytest(folder: Path, files: Iterable[str], plugins: Sequence[object], *more: str) -> int:
    return int(pytest.main([*QUIET, f"--basetemp={folder / 'tmp'}", *more, *files], plugins=list(plugins)))


class Runner:
    """Runs one module's tests, without a fault first. ``jobs`` mutants run at a time."""

    def __init__(self, module: Module, *, jobs: int = 2, say: Callable[[str], None] = print) -> None:
        self.module = module
        self.source = module.file.read_bytes()
        self._jobs = jobs
        self._say = say
        self._original = str(module.file.resolve())
        self.known = self._learn()

    def run(self, mutants: Sequence[Mutant], *, is_thorough: bool = True, seed: int = 0) -> Iterator[Result]:
        """What becomes of each mutant, as it turns out. ``is_thorough``: all of the tests run before one has survived.

        Raises:
            TestsFail: tests that pass together fail when some of them run alone.
        """
        chances = random.Random(seed)
        self._control(chances.sample(mutants, min(CONTROLS, len(mutants))))
        outlived: list[Mutant] = []
        for result in self._each(mutants, self.known.covering):
            if result.fate == "survived" and is_thorough and self._others(result.mutant):
                outlived.append(result.mutant)
            else:
                yield result
        yield from self._each(outlived, self._others)

    def _others(self, mutant: Mutant) -> tuple[str, ...]:
        covering = set(self.known.covering(mutant))
        return self.known.in_order(test for test in self.known.seconds if test not in covering)

    def _each(self, mutants: Iterable[Mutant], choose: Callable[[Mutant], tuple[str, ...]]) -> Iterator[Result]:
        left = list(reversed(list(mutants)))
        running: list[tuple[_Child, Mutant]] = []
        try:
            while left or running:
                while left and len(running) < self._jobs:
                    mutant = left.pop()
                    tests = choose(mutant)
                    if tests:
                        running.append((self._start(mutant.applied(self.source), tests), mutant))
                    else:
                        yield Result(mutant=mutant, fate="survived")
                for pair in list(running):
                    if pair[0].wait():
                        running.remove(pair)
                        result = self._result(*pair)
                        self.known.noticed[result.by] += 1
                        yield result
                time.sleep(0.01)
        finally:
            for child, _ in running:
                child.until = 0.0
                child.wait()
                child.tidy()

    def _result(self, child: _Child, mutant: Mutant) -> Result:
        now = time.monotonic()
        answer = child.answer()
        fate: Fate = "killed"
        if answer is None and now >= child.until:
            fate = "timeout"
        elif answer is not None and answer["code"] in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            fate = "survived"
        child.tidy()
        by = str(answer["failed"]) if answer is not None else "the process ended"
        return Result(mutant=mutant, fate=fate, by="" if fate == "survived" else by, seconds=now - child.began)

    def _start(self, source: bytes, tests: tuple[str, ...]) -> _Child:
        seconds = sum(self.known.seconds[test] for test in tests)

        def work(folder: Path) -> dict[str, Any]:
            replacement = folder / "mutated.py"
            replacement.write_bytes(source)
            overlay.put(self.module.name, self._original, str(replacement))
            overlay.pass_on(folder, self.module.name, self._original, str(replacement))
            selected = Selected(tests)
            code = _pytest(folder, _files(tests), (selected,), "-x")
            return {"code": code, "failed": selected.failed}

        return _fork(work, patience=3 * seconds * self._jobs + PATIENCE)

    def _control(self, mutants: Sequence[Mutant]) -> None:
        """The chosen tests of a few mutants pass without a fault: else tests that lean on each other would look like good ones."""
        for mutant in mutants:
            tests = self.known.covering(mutant)
            if not tests:
                continue
            child = self._start(self.source, tests)
            child.wait(float("inf"))
            result = self._result(child, mutant)
            if result.fate != "survived":
                raise TestsFail(f"{result.by or 'a test'} fails without a fault, when it runs with some of the others only")

    def _learn(self) -> Known:
        """Run the tests as they are, once for their times and once for the lines that they run; import what all of them need."""
        module = self.module
        patience = 1_800.0

        def plain(folder: Path) -> dict[str, Any]:
            timed = Timed()
            code = _pytest(folder, module.tests, (timed, *self._choice()))
            here = [name for name, one in sys.modules.items() if getattr(one, "__spec__", None) is not None]
            return {"code": code, "seconds": timed.seconds, "failed": sorted(timed.failed), "modules": here}

        def traced(folder: Path) -> dict[str, Any]:
            lines = Lines(self._original)
            lines.begin()
            _pytest(folder, module.tests, (lines, *self._choice()))
            lines.end()
            return {
                "of_tests": {test: sorted(found) for test, found in lines.of_tests.items() if found},
                "of_files": {file: sorted(found) for file, found in lines.of_files.items() if found},
            }

        first = _fork(plain, patience=patience)
        second = _fork(traced, patience=patience)
        first.wait(float("inf"))
        second.wait(float("inf"))
        times, lines = first.answer(), second.answer()
        first.tidy()
        second.tidy()
        if times is None or lines is None:
            raise TestsFail(f"the tests of {module.file} did not come to their end")
        if times["failed"] or times["code"] != 0:
            raise TestsFail(f"these fail without a fault: {', '.join(times['failed']) or 'no tests'}")
        self._import(times["modules"])
        return Known(
            seconds=times["seconds"],
            of_tests={test: frozenset(found) for test, found in lines["of_tests"].items()},
            of_files={file: frozenset(found) for file, found in lines["of_files"].items()},
        )

    def _choice(self) -> tuple[object, ...]:
        return (_Excluded(self.module.excluded),) if self.module.excluded else ()

    def _import(self, names: Collection[str]) -> None:
        """Import everything that the tests import and that does not itself import the module: forks then have it."""
        target = self.module.name
        wanted = [
            name
            for name in names
            if name not in sys.modules and not name.rpartition(".")[2].startswith(("test_", "conftest", "__main__"))
        ]

        def alone(folder: Path) -> dict[str, Any]:
            # Whoever imports the module now gets ImportError.
            sys.modules[target] = None  # type: ignore[assignment]
            return {"names": [name for name in wanted if name != target and _imported(name)]}

        child = _fork(alone, patience=120.0)
        child.wait(float("inf"))
        answer = child.answer() or {"names": []}
        child.tidy()
        for name in answer["names"]:
            _imported(name)
        assert target not in sys.modules, f"{target} is imported already, so that its mutants would not be"


class _Excluded:
    """Leaves out tests whose names have one of the words."""

    def __init__(self, words: Collection[str]) -> None:
        self._words = tuple(words)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not any(word in item.nodeid for word in self._words)]


def _imported(name: str) -> bool:
    try:
        importlib.import_module(name)
    except (ImportError, AttributeError, AssertionError, SyntaxError, RuntimeError, ValueError, TypeError, OSError):
        return False
    return True


def _file(test: str) -> str:
    return test.partition("::")[0]


def _files(tests: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_file, tests)))
