"""The three clients behind one face, so that the same tests say of each what it does: Python's two, and TypeScript's in a Node of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import mailbridge_client
from mailbridge_client import AsyncMailbridge, Cause, Code, Expectation, InboxInfo, Mailbridge, MailbridgeError, Why
from tests.conftest import ROOT
from tests.peers.browser import NODE

SOURCE = ROOT / "clients" / "typescript"
DRIVER = Path(__file__).with_name("driver.mjs")
MISSING = "no Node of version 20 or later, or no TypeScript: run tests/e2e/install (or `make e2e`)"


def is_node_installed() -> bool:
    """Whether the TypeScript client can be built and run: by a Node that its package takes."""
    if not (NODE / "node_modules" / "typescript").exists() or shutil.which("node") is None:
        return False
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.removeprefix("v").partition(".")[0]) >= 20


def build_typescript(folder: Path) -> Path:
    """Build the package as its own configuration says, in a folder where programs can import it by its name. Returns that folder."""
    package = folder / "package"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("dist", "node_modules"))
    (package / "node_modules").symlink_to(NODE / "node_modules")
    subprocess.run([NODE / "node_modules" / ".bin" / "tsc"], cwd=package, check=True, timeout=120)
    modules = folder / "node_modules"
    modules.mkdir()
    for one in (NODE / "node_modules").iterdir():
        if not one.name.startswith("."):
            (modules / one.name).symlink_to(one)
    (modules / "mailbridge-2fa-client").symlink_to(package)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


class PythonClient:
    """One of Python's two, used as if it blocked."""

    def __init__(self, kind: type[Mailbridge | AsyncMailbridge], url: str, token: str, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind is AsyncMailbridge else None
        self._client = self._do(lambda: kind(url, token, **options))

    def _do(self, make: Callable[[], Any]) -> Any:
        if self._runner is None:
            return make()

        async def work() -> Any:
            made = make()
            return await made if asyncio.iscoroutine(made) else made

        return self._runner.run(work())

    def create_inbox(self, *given: Any, **options: Any) -> Any:
        """An inbox whose methods block."""
        made = self._do(lambda: self._client.create_inbox(*given, **options))
        return _Blocking(made, self._do)

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **options: self._do(lambda: getattr(self._client, name)(*given, **options))

    def end(self) -> None:
        """Close it."""
        self._do(self._client.close)
        if self._runner is not None:
            self._runner.close()


class _Blocking:
    def __init__(self, inbox: Any, do: Callable[[Callable[[], Any]], Any]) -> None:
        self.info, self._inbox, self._do = inbox.info, inbox, do

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **options: self._do(lambda: getattr(self._inbox, name)(*given, **options))


class TypescriptClient:
    """TypeScript's, with Python's names and units; its answers and faults as Python's."""

    def __init__(self, folder: Path, url: str, token: str, patience: float | None = None) -> None:
        driver = folder / DRIVER.name
        driver.write_bytes(DRIVER.read_bytes())
        self._process = subprocess.Popen(
            ["node", str(driver)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        kept = {} if patience is None else {"patience": patience * 1000}
        self._ask("make", {"url": url, "token": token, **kept})

    def wait_for_code(self, identifier: str, timeout: float = 60, since: Any = None, **options: Any) -> Code:
        """`waitForCode`."""
        return _code(self._ask("waitForCode", identifier, _options(timeout, since, options)))

    def wait_for_link(self, identifier: str, timeout: float = 60, since: Any = None, **options: Any) -> Code:
        """`waitForLink`."""
        return _code(self._ask("waitForLink", identifier, _options(timeout, since, options)))

    def latest_code(self, identifier: str, **options: Any) -> Code | None:
        """`latestCode`."""
        found = self._ask("latestCode", identifier, options)
        return None if found is None else _code(found)

    def expect_code(self, identifier: str, seconds: float = 120, **options: Any) -> Expectation:
        """`expectCode`."""
        row = self._ask("expectCode", identifier, {"duration": seconds * 1000, **options})
        return Expectation(identifier=row["identifier"], since=_moment(row["since"]), until=_moment(row["until"]))

    def why(self, identifier: str, since: float | None = None) -> Why:
        """`why`."""
        return _why(self._ask("why", identifier, {} if since is None else {"since": since * 1000}))

    def create_inbox(
        self, senders: Sequence[str] | None = None, lifetime: str | float | None = None, *, push: bool = False
    ) -> TypescriptInbox:
        """`createInbox`."""
        milliseconds = lifetime * 1000 if isinstance(lifetime, (int, float)) else lifetime
        given = {"senders": senders, "lifetime": milliseconds, "push": push}
        row = self._ask("createInbox", {name: value for name, value in given.items() if value is not None})
        return TypescriptInbox(self._ask, _info(row))

    def inboxes(self) -> tuple[InboxInfo, ...]:
        """`inboxes`."""
        return tuple(map(_info, self._ask("inboxes")))

    def _ask(self, method: str, *given: Any, inbox: int | None = None) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        on = {} if inbox is None else {"inbox": inbox}
        stdin.write(json.dumps({"method": method, "given": given, **on}) + "\n")
        stdin.flush()
        answer = json.loads(stdout.readline())
        if "fault" in answer:
            _raise(answer["fault"])
        return answer["value"]

    def end(self) -> None:
        """End its Node."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=15)
        finally:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()


class TypescriptInbox:
    """An inbox of it."""

    def __init__(self, ask: Callable[..., Any], info: InboxInfo) -> None:
        self.info = info
        self._ask = ask

    def wait_for_code(self, timeout: float = 60) -> Code:
        """`waitForCode`."""
        return _code(self._ask("waitForCode", {"timeout": timeout * 1000}, inbox=self.info.id))

    def wait_for_link(self, timeout: float = 60) -> Code:
        """`waitForLink`."""
        return _code(self._ask("waitForLink", {"timeout": timeout * 1000}, inbox=self.info.id))

    def release(self) -> None:
        """`release`."""
        self._ask("release", inbox=self.info.id)


def _options(timeout: float, since: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    at = since.timestamp() if isinstance(since, datetime) else since
    return {"timeout": timeout * 1000, **({} if at is None else {"since": at * 1000}), **options}


def _raise(fault: Mapping[str, Any]) -> NoReturn:
    if fault["name"] == "TypeError":
        raise ValueError(fault["message"])
    kind = getattr(mailbridge_client, fault["name"])
    assert issubclass(kind, MailbridgeError), fault
    error = kind.__new__(kind, fault["message"])
    error.args = (fault["message"],)
    error.status = fault["status"]
    if fault["name"] == "CodeTimeout":
        error.why = None if fault["why"] is None else _why(fault["why"])
    raise error


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _code(row: Mapping[str, Any]) -> Code:
    return Code(
        value=row["value"],
        identifier=row["identifier"],
        kind=row["kind"],
        sender=row["sender"],
        rule=row["rule"],
        received_at=None if row["receivedAt"] is None else _moment(row["receivedAt"]),
        expires_at=_moment(row["expiresAt"]),
        run=row["run"],
        mail=row["mail"],
        is_consumed=row["isConsumed"],
    )


def _why(row: Mapping[str, Any]) -> Why:
    causes = tuple(Cause(**one) for one in row["causes"])
    return Why(identifier=row["identifier"], since=_moment(row["since"]), is_waited_for=row["isWaitedFor"], causes=causes)


def _info(row: Mapping[str, Any]) -> InboxInfo:
    return InboxInfo(
        id=row["id"],
        identifier=row["identifier"],
        address=row["address"],
        senders=tuple(row["senders"]),
        expires_at=_moment(row["expiresAt"]),
    )
