"""Puts another source in the place of a module, in this process and in those that it starts. Nothing but the standard library is needed."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

STARTED = """\
import importlib.util

spec = importlib.util.spec_from_file_location("mutation_overlay", {here!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.put({name!r}, {original!r}, {replacement!r})
"""
"""What a started interpreter runs before anything else."""


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the replacement under the original's file name."""

    def __init__(self, name: str, original: str, replacement: str) -> None:
        super().__init__(name, original)
        self._replacement = replacement

    def get_code(self, fullname: str) -> CodeType:
        return compile(Path(self._replacement).read_bytes(), self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, original: str, replacement: str) -> None:
        self._name, self._original, self._replacement = name, original, replacement

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Loader(fullname, self._original, self._replacement)
        folders = [str(Path(self._original).parent)] if self._original.endswith("__init__.py") else None
        return importlib.util.spec_from_file_location(fullname, self._original, loader=loader, submodule_search_locations=folders)


def put(name: str, original: str, replacement: str) -> None:
    """From now on the module ``name``, of the file ``original``, is imported from the file ``replacement``."""
    sys.meta_path.insert(0, _Finder(name, original, replacement))


def pass_on(folder: Path, name: str, original: str, replacement: str) -> None:
    """Have interpreters that this process starts do the same. ``folder`` is this process' own."""
    text = STARTED.format(here=__file__, name=name, original=original, replacement=replacement)
    (folder / "sitecustomize.py").write_text(text)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
