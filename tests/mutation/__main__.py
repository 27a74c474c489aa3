"""Mutation testing: ``python -m tests.mutation [MODULE…] [--tests PATH…]``, or ``make mutants``.

Each mutant is the module with one small fault. A fault that no test notices is either a missing test or a line that does nothing: it is
printed, and fails the run (1) unless ``tests/mutation/explained`` says why it may stay. Without MODULE, every one of
``tests/mutation/modules.toml``.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.mutation import explained
from tests.mutation.mutants import mutants_of
from tests.mutation.running import Module, Result, Runner, TestsFail

MOST = 200
"""Unexplained survivors of a module that are counted."""

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def modules(chosen: Sequence[str], tests: Sequence[str], without: Sequence[str]) -> list[Module]:
    """What to mutate, with its tests.

    Raises:
        SystemExit: a module whose tests are not known.
    """
    known = tomllib.loads((HERE / "modules.toml").read_text())
    always = tuple(known.pop("without", ()))
    found = []
    for file in chosen or known:
        entry = known.get(file, {})
        paths = tuple(tests) or tuple(entry.get("tests", ()))
        if not paths or not (ROOT / file).is_file():
            raise SystemExit(f"{file}: no such file, or no tests for it: --tests, or modules.toml")
        found.append(Module(file=Path(file), tests=paths, excluded=(*always, *entry.get("without", ()), *without)))
    return found


def examine(module: Module, options: argparse.Namespace) -> int:
    """Run one module's mutants and tell of those that nothing kills; how many of them are not explained."""
    began = time.monotonic()
    source = module.file.read_bytes()
    every = mutants_of(source, with_regexes=options.regex)
    reasons = explained.read(module.name)
    gone = explained.gone_from(reasons, source)
    wanted = set(options.only)
    chosen = [one for one in every if not wanted or {one.where, str(one.line(source))} & wanted]
    if options.sample and options.sample < len(chosen):
        chosen = sorted(random.Random(options.seed).sample(chosen, options.sample), key=lambda one: one.start)
    runner = Runner(module, jobs=options.jobs, say=_say)
    _say(f"{module.file}: {len(chosen)} of {len(every)} mutants, {len(runner.known.seconds)} tests")
    results: list[Result] = []
    for result in runner.run(chosen, is_thorough=not options.covering_only, seed=options.seed):
        results.append(result)
        if options.verbose:
            _say(_line(result, module, source))
    survivors = sorted((one.mutant for one in results if one.fate == "survived"), key=lambda one: one.start)
    open_ = [one for one in survivors if explained.place_of(one, source) not in reasons]
    for one in open_:
        place = explained.place_of(one, source)
        _say(f"\n{module.file}:{one.line(source)} in {one.where or 'the module'}: {one.what}\n- {place.line}\n+ {place.becomes}")
        if options.toml:
            _say(explained.entry(place))
    for place in gone:
        _say(f"\n{module.file}: an explanation fits nothing any more: {place.where}: {place.line} | {place.becomes}")
    killed = {explained.place_of(one.mutant, source) for one in results if one.fate != "survived"}
    left = {explained.place_of(one, source) for one in survivors}
    for place in reasons.keys() & (killed - left):
        _say(f"\n{module.file}: explained, but a test notices: {place.where}: {place.line} | {place.becomes}")
    count = Counter(one.fate for one in results)
    _say(
        f"{module.file}: {len(results)} mutants, {count['killed']} killed, {count['timeout']} never ended, "
        f"{len(survivors)} survive, {len(survivors) - len(open_)} of them explained; {time.monotonic() - began:.0f} s"
    )
    return len(open_) + len(gone)


def _line(result: Result, module: Module, source: bytes) -> str:
    line, becomes = result.mutant.shown(source)
    place = f"{module.file}:{result.mutant.line(source)}"
    return f"  {result.fate} {result.seconds:.1f} s {place} {result.mutant.what}: {line} | {becomes} {result.by}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="files below the project's folder")
    parser.add_argument(
        "--tests", nargs="+", default=(), metavar="PATH", help="the tests that are to notice, instead of those of modules.toml"
    )
    parser.add_argument("--without", nargs="+", default=(), metavar="WORD", help="leave out tests whose name has the word")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="as many mutants of each module, chosen by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="PLACE", help="mutants of these functions (Class.method) and lines alone"
    )
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--regex", action="store_true", help="patterns with a character less, too")
    parser.add_argument("--covering-only", action="store_true", help="a survivor's other tests are not run")
    parser.add_argument("--toml", action="store_true", help="print an entry for tests/mutation/explained with each survivor")
    parser.add_argument("--verbose", action="store_true", help="every mutant, and the test that noticed")
    options = parser.parse_args()
    os.chdir(ROOT)
    chosen = modules(options.modules, options.tests, options.without)
    left = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        # What the mutants import is compiled once, and not by each of them: that is most of their time.
        sys.dont_write_bytecode, sys.pycache_prefix = False, folder
        for module in chosen:
            found = _apart(module, options)
            if found > MOST:
                return 2
            left += found
    return 1 if left else 0


def _apart(module: Module, options: argparse.Namespace) -> int:
    """`examine` in a process of its own: what one module's mutants share is imported for it alone, the next module among it perhaps.

    More than `MOST` where nothing could be learned.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256
    found = MOST + 1
    try:
        found = min(examine(module, options), MOST)
    except (TestsFail, ValueError) as fault:
        _say(f"{module.file}: {fault}")
    finally:
        if sys.exception() is not None:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(found)


if __name__ == "__main__":
    raise SystemExit(main())
