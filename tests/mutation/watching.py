"""Pytest plugins: which tests run which lines of a module, how long each takes, and running chosen tests only."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import Any

import pytest

Trace = Callable[[FrameType, str, Any], Any]


class Selected:
    """Runs the tests that are named, in the order in which they are named, and notes the first that fails."""

    def __init__(self, nodeids: Collection[str]) -> None:
        self._places = {nodeid: place for place, nodeid in enumerate(nodeids)}
        self.failed = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept = [item for item in items if item.nodeid in self._places]
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in self._places])
        items[:] = sorted(kept, key=lambda item: self._places[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


class Timed:
    """How long each test takes, what goes before and after it included, and which do not pass."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self.skipped: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed.add(report.nodeid)
        if report.skipped:
            self.skipped.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)


class Lines:
    """Which lines of one file each test runs. What a fixture runs counts for every test of its file: it may be made once for them all."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._into: set[int] = set()
        self.of_tests: dict[str, set[int]] = defaultdict(set)
        self.of_files: dict[str, set[int]] = defaultdict(set)

    def begin(self) -> None:
        """Watch this thread and all that are started from now on."""
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def end(self) -> None:
        """Watch no more."""
        sys.settrace(None)
        threading.settrace(None)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Trace | None:
        if frame.f_code.co_filename != self._file:
            return None
        self._into.add(frame.f_lineno)
        return self._line

    def _line(self, frame: FrameType, event: str, argument: Any) -> Trace:
        self._into.add(frame.f_lineno)
        return self._line

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        self._into = self.of_files[item.nodeid.partition("::")[0]]
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self._into = self.of_tests[item.nodeid]
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        self._into = self.of_files[item.nodeid.partition("::")[0]]
        return (yield)
