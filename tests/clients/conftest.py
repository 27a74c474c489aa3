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
from tests.clients.letters import send
from tests.clients.site import Site, serving
from tests.conftest import ROOT
from tests.peers.wheel import build_wheel
from tests.web.daemon import Daemon, running_daemon

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


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running one that knows the people of one company."""
    with running_daemon(tmp_path_factory.mktemp("daemon"), '[identity]\nknown = ["*@corp.com"]\n') as one:
        yield one


@pytest.fixture
def site(daemon: Daemon) -> Iterator[Site]:
    """A site whose mails go to that daemon: to an inbox's own address, or as a forwarded mail."""
    one = Site(lambda address, code: send(daemon, address, code, rcpt=rcpt_of(address)))
    with serving(one):
        yield one


def rcpt_of(address: str) -> str:
    """Where a mail to an address comes in."""
    return address if address.startswith("inbox-") else "codes@bridge.example"
