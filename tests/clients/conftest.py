"""The clients that every test here is run with."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mailbridge_client import AsyncMailbridge, Mailbridge
from tests.clients.kinds import MISSING, PythonClient, TypescriptClient, build_typescript, is_node_installed
from tests.conftest import ROOT
from tests.peers.wheel import build_wheel

Opens = Callable[..., Any]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the Python client's wheel unpacked in it, as an installation has it."""
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(build_wheel(folder / "wheel", ROOT / "clients" / "python")).extractall(folder / "packages")
    return folder / "packages"


@pytest.fixture(scope="session")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node finds the TypeScript client, built."""
    if not is_node_installed():
        pytest.skip(MISSING)
    return build_typescript(tmp_path_factory.mktemp("typescript"))


@pytest.fixture(params=["sync", "async", pytest.param("typescript", marks=pytest.mark.e2e)])
def opens(request: pytest.FixtureRequest) -> Iterator[Opens]:
    """Makes clients of one kind: ``opens(url, token, **options)``."""
    with ExitStack() as stack:

        def opened(url: str, token: str, **options: Any) -> Any:
            made: PythonClient | TypescriptClient
            if request.param == "typescript":
                made = TypescriptClient(request.getfixturevalue("typescript"), url, token, **options)
            else:
                made = PythonClient({"sync": Mailbridge, "async": AsyncMailbridge}[request.param], url, token, **options)
            stack.callback(made.end)
            return made

        yield opened
