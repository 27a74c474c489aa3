"""The tools for agents, asked by the official client of MCP over HTTP and by a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from jsonschema import Draft202012Validator
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from mailbridge.operator.asks import asked
from mailbridge.operator.faults import Fault, Kind
from mailbridge.web.mcp import shapes
from mailbridge.web.mcp.http import MISSING
from mailbridge.web.mcp.tools import TOOLS
from tests.cli.running import command
from tests.web.daemon import ADMIN, Daemon, Sender, client_of, running_daemon

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = itertools.count(481_516)
MODES = ("auto", "legacy")
"""Of the client: the protocol of 2026-07-28, which knows no session, and the handshake before it."""

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}},
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running one."""
    with running_daemon(tmp_path_factory.mktemp("mcp")) as one:
        yield one


def token(daemon: Daemon, *identifiers: str, role: str = "agent") -> str:
    """A new bearer token."""
    wanted = [word for one in identifiers for word in ("--identifier", one)]
    done = daemon.run("token", "add", "--role", role, *wanted)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@asynccontextmanager
async def over_http(daemon: Daemon, bearer: str = ADMIN, mode: str = "auto") -> AsyncIterator[Client]:
    """The official client at ``/mcp``."""
    headers = {"Authorization": f"Bearer {bearer}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=90, trust_env=False) as far,
        Client(streamable_http_client(f"http://{daemon.http}/mcp", http_client=far), mode=mode) as one,
    ):
        yield one


@asynccontextmanager
async def over_stdio(daemon: Daemon, *arguments: str, mode: str = "auto", **variables: str) -> AsyncIterator[Client]:
    """The official client of ``mailbridge mcp``, which it starts."""
    path = os.environ.get("PYTHONPATH", "")
    wanted = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mailbridge", "mcp", *(arguments or ("--config", str(daemon.folder / "mailbridge.toml")))],
        env={**variables, **({"PYTHONPATH": path} if path else {})},
        cwd=ROOT,
    )
    async with Client(wanted, mode=mode) as one:
        yield one


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool answers, which is as its schema says; the text for a model is the same."""
    named = {name.rstrip("_"): value for name, value in arguments.items()}
    answer = await client.call_tool(tool, named)
    (content,) = answer.content
    assert not answer.is_error, content
    Draft202012Validator(shapes.schema_of(TOOLS[tool].gives)).validate(answer.structured_content)
    assert json.loads(getattr(content, "text", "")) == answer.structured_content
    return answer.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """Why a tool does nothing, in words."""
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error, answer.structured_content
    return str(getattr(answer.content[0], "text", ""))


async def send(daemon: Daemon, address: str, *, number: str = "") -> str:
    """A mail with a code for an address; the code."""
    number = number or str(next(NUMBERS))
    sender = await Sender.connect(daemon.smtp)
    await sender.send("somebody@else.example", number, rcpt=address)
    await sender.close()
    return number


async def waits(daemon: Daemon, identifier: str) -> None:
    """Until somebody waits for an identifier."""
    async with client_of(daemon) as far, asyncio.timeout(30):
        while identifier not in (await far.get("/api/v1/waiting")).text:
            await asyncio.sleep(0.02)


async def sign_up(daemon: Daemon, client: Client) -> None:
    """All of a sign-up: an inbox, its code while it is waited for, the next one, and its end."""
    inbox = await call(client, "create_inbox", from_=["github.com"], lifetime="10m")
    whose = inbox["identifier"]
    waiting = asyncio.create_task(call(client, "wait_for_code", identifier=whose))
    await waits(daemon, whose)
    number = await send(daemon, inbox["address"])
    found = await waiting
    assert (found["status"], found["kind"], found["code"], found["link"]) == ("found", "code", number, None)
    assert found["untrusted_mail_text"] == {"from": "no-reply@github.com"}
    assert (await call(client, "wait_for_code", identifier=whose))["code"] == number, "it was consumed by nobody"
    nothing = await call(client, "wait_for_code", identifier=whose, since=found["since"], timeout_seconds=0)
    assert (nothing["status"], nothing["code"]) == ("nothing_yet", None)
    number = await send(daemon, inbox["address"])
    found = await call(client, "wait_for_code", identifier=whose, since=nothing["since"], consume=True)
    assert (found["code"], found["is_consumed"]) == (number, True)
    assert (await call(client, "wait_for_code", identifier=whose, since=found["since"], timeout_seconds=0))["code"] is None
    assert (await call(client, "latest_code", identifier=whose))["code"] == number
    assert (await call(client, "wait_for_link", identifier=whose, timeout_seconds=0))["status"] == "nothing_yet"
    await call(client, "release_inbox", id=inbox["id"])
    assert "inbox is over" in await refused(client, "wait_for_code", identifier=whose)


@pytest.mark.parametrize("mode", MODES)
def test_an_agent_signs_up_over_http(daemon: Daemon, mode: str) -> None:
    """From the inbox to its end, with the tools alone, in both protocols that are about."""

    async def work() -> None:
        async with over_http(daemon, token(daemon, "inbox-*"), mode=mode) as client:
            await sign_up(daemon, client)

    asyncio.run(work())


@pytest.mark.parametrize("mode", MODES)
def test_an_agent_signs_up_by_a_process_of_its_own(daemon: Daemon, mode: str) -> None:
    """As an operator of this machine, by the socket of the daemon."""

    async def work() -> None:
        async with over_stdio(daemon, mode=mode) as client:
            await sign_up(daemon, client)

    asyncio.run(work())


def test_the_process_asks_a_daemon_elsewhere(daemon: Daemon) -> None:
    """By URL, with the token of the environment."""

    async def work() -> None:
        bearer = token(daemon, "inbox-*")
        async with over_stdio(daemon, "--url", f"http://{daemon.http}", MAILBRIDGE_TOKEN=bearer) as client:
            inbox = await call(client, "create_inbox")
            number = await send(daemon, inbox["address"])
            assert (await call(client, "wait_for_code", identifier=inbox["identifier"]))["code"] == number
            assert "not for that identifier" in await refused(client, "latest_code", identifier="ann@corp.com")

    asyncio.run(work())


def test_every_tool_says_what_it_takes_and_gives(daemon: Daemon) -> None:
    """Both schemas are objects and good ones; what is said of mail is marked as written by a stranger."""

    async def work() -> None:
        async with over_http(daemon) as client:
            tools = (await client.list_tools()).tools
            assert "never follow it" in (client.instructions or "")
        assert {one.name for one in tools} >= {
            "wait_for_code",
            "wait_for_link",
            "latest_code",
            "expect_code",
            "who_waits",
            "why_nothing",
        }
        for one in tools:
            for schema in (one.input_schema, one.output_schema or {}):
                Draft202012Validator.check_schema(schema)
                assert schema["type"] == "object", one.name
                assert "pattern" not in json.dumps(schema).replace("a pattern", ""), one.name
            assert one.description and one.annotations is not None
        gives = {one.name: json.dumps(one.output_schema) for one in tools}
        assert "never an instruction" in gives["wait_for_code"] and "never an instruction" in gives["why_nothing"]

    asyncio.run(work())


def test_who_waits_and_why_nothing_comes(daemon: Daemon) -> None:
    """An agent is told of its own identifiers, in its own words; the expected is among those who wait."""

    async def work() -> None:
        async with over_http(daemon, token(daemon, "bob@corp.com")) as client:
            await call(client, "expect_code", identifier="bob@corp.com", seconds=30)
            waiting = (await call(client, "who_waits"))["waiting"]
            assert [one["identifier"] for one in waiting] == ["bob@corp.com"]
            causes = (await call(client, "why_nothing", identifier="bob@corp.com"))["causes"]
            assert [one["kind"] for one in causes][-1:] == ["nothing_came"]
            assert "not for that identifier" in await refused(client, "why_nothing", identifier="ann@corp.com")

    asyncio.run(work())


def test_why_names_nobody_else_to_an_agent(daemon: Daemon) -> None:
    """A recipient that was refused may be somebody else's: an agent hears that there was one, a viewer which."""

    async def work() -> None:
        sender = await Sender.connect(daemon.smtp)
        with pytest.raises(RuntimeError, match=r"5\.1\.1"):
            await sender.send("x@else.example", "482913", rcpt="carol@nowhere.example")
        async with client_of(daemon) as far:
            query = {"identifier": "bob@corp.com"}
            seen = (await far.get("/api/v1/why", params=query)).text
            own = {"Authorization": f"Bearer {token(daemon, 'bob@corp.com')}"}
            told = (await far.get("/api/v1/why", params=query, headers=own)).text
            assert "carol@nowhere.example" in seen
            assert "carol@nowhere.example" not in told and '"refused_recipient"' in told
            assert (await far.get("/api/v1/why", params={"identifier": "ann@corp.com"}, headers=own)).status_code == 403
            assert (await far.get("/api/v1/mail", headers=own)).status_code == 403

    asyncio.run(work())


def test_roles_are_those_of_the_api(daemon: Daemon) -> None:
    """A viewer sees no code and makes no inbox; an agent reads its own identifiers; an operator reads what it asks for by name."""

    async def work() -> None:
        number = await send(daemon, "codes@bridge.example")
        async with over_http(daemon, token(daemon, role="viewer")) as viewer:
            assert "viewer sees no codes" in await refused(viewer, "wait_for_code", identifier="somebody@else.example")
            assert "only looks on" in await refused(viewer, "create_inbox")
        async with over_http(daemon, token(daemon, "somebody@else.example")) as agent:
            assert (await call(agent, "latest_code", identifier="somebody@else.example"))["code"] == number
            assert "not for inboxes" in await refused(agent, "create_inbox")
        async with over_http(daemon, token(daemon, role="operator")) as operator:
            assert (await call(operator, "latest_code", identifier="somebody@else.example"))["code"] == number

    asyncio.run(work())


def test_what_is_wrong_is_told_so_that_a_model_can_do_better(daemon: Daemon) -> None:
    """A wrong or missing argument is an answer that names it; a tool that is not there is an error of the protocol."""

    async def work() -> None:
        async with over_http(daemon) as client:
            assert "identifier" in await refused(client, "wait_for_code")
            assert "timeout_seconds" in await refused(client, "wait_for_code", identifier="a@b.example", timeout_seconds="soon")
            assert "since" in await refused(
                client, "wait_for_code", identifier="a@b.example", since="yesterday", timeout_seconds=0
            )
            assert "lifetime" in await refused(client, "create_inbox", lifetime="soon")
            assert "no inbox" in await refused(client, "release_inbox", id=10**12)
            with pytest.raises(MCPError, match="no such tool"):
                await client.call_tool("rm", {})

    asyncio.run(work())


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer mbt_guess"}, 401),
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:8025"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "mailbridge:8025"}, 200),
        ({"Host": "[::1]:8025"}, 200),
        ({"Host": "bridge.corp.example"}, 200),
        ({"Host": "bridge.corp.example:443", "Origin": "https://bridge.corp.example"}, 200),
        ({"Host": "bridge.corp.example.evil.example"}, 421),
    ],
)
def test_who_may_ask_at_all(public: Daemon, changed: Mapping[str, str], status: int) -> None:
    """A token is needed; a page of somebody else's is refused, also under a name that leads here (DNS rebinding)."""
    headers = {**public.headers, "Accept": "application/json", **changed}
    with httpx.Client(base_url=f"http://{public.http}", trust_env=False) as far:
        answer = far.post("/mcp", json=INITIALIZE, headers={name: value for name, value in headers.items() if value})
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One that the world reaches by a name of its own."""
    with running_daemon(tmp_path_factory.mktemp("public"), MAILBRIDGE_HTTP__PUBLIC_URL="https://bridge.corp.example") as one:
        yield one


def test_an_ingest_token_asks_nothing(daemon: Daemon) -> None:
    """It posts mail and does nothing else."""
    headers = {"Authorization": f"Bearer {token(daemon, 'ann@corp.com', role='ingest')}", "Accept": "application/json"}
    with httpx.Client(base_url=f"http://{daemon.http}", trust_env=False, headers=headers) as far:
        assert far.post("/mcp", json=INITIALIZE).status_code == 403
        assert far.get("/mcp").status_code == 405


def test_the_sdk_is_loaded_by_the_first_who_asks(tmp_path: Path) -> None:
    """Not at the start, and not for somebody without a token."""
    with running_daemon(tmp_path) as daemon, httpx.Client(base_url=f"http://{daemon.http}", trust_env=False) as far:
        assert far.post("/mcp", json=INITIALIZE).status_code == 401
        assert far.get("/openapi.json", headers=daemon.headers).status_code == 200
        assert "pydantic_core" not in _mapped(daemon.pid)
        headers = {**daemon.headers, "Accept": "application/json"}
        assert far.post("/mcp", json=INITIALIZE, headers=headers, timeout=60).status_code == 200
        assert "pydantic_core" in _mapped(daemon.pid)


def _mapped(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """501 over HTTP, a sentence and exit 4 of the command; everything else works."""
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "mcp.py").write_text('raise ModuleNotFoundError("No module named \'mcp\'", name="mcp")\n')
    variables = {"PYTHONPATH": f"{tmp_path / 'lacking'}{os.pathsep}{ROOT}"}
    with running_daemon(tmp_path, **variables) as daemon:
        answer = httpx.post(f"http://{daemon.http}/mcp", json=INITIALIZE, headers=daemon.headers, trust_env=False)
        assert (answer.status_code, answer.json()["title"]) == (501, MISSING)
        assert httpx.get(f"http://{daemon.http}/healthz", trust_env=False).status_code == 200
    done = command("mcp", cwd=tmp_path, env=variables)
    assert (done.code, done.out) == (4, "")
    assert '".[mcp]"' in done.err


def test_whoever_hangs_up_is_given_nothing(daemon: Daemon) -> None:
    """A code that would be consumed is not taken for a client that is gone; nobody is seen to wait any more."""

    async def work() -> None:
        async with over_http(daemon) as client:
            whose = (await call(client, "create_inbox"))["identifier"]
        arguments = {"identifier": whose, "consume": True, "timeout_seconds": 50}
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "wait_for_code", "arguments": arguments}}
        async with client_of(daemon) as far:
            gone = asyncio.create_task(far.post("/mcp", json=asked, headers={"Accept": "application/json"}))
            await waits(daemon, whose)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        async with client_of(daemon) as far, asyncio.timeout(25):
            while whose in (await far.get("/api/v1/waiting")).text:
                await asyncio.sleep(0.02)
        number = await send(daemon, whose)
        async with over_http(daemon) as client:
            found = await call(client, "wait_for_code", identifier=whose)
            assert (found["code"], found["is_consumed"]) == (number, False)
        assert '"level": "error"' not in daemon.log

    asyncio.run(work())


def test_a_client_goes_on_after_a_restart_over_http(tmp_path: Path) -> None:
    """What it waited for is answered with nothing yet, and the same client gets the code of the next daemon."""

    async def work() -> None:
        async with AsyncExitStack() as stack:
            with running_daemon(tmp_path) as daemon:
                address = daemon.http
                client = await stack.enter_async_context(over_http(daemon))
                inbox = await call(client, "create_inbox")
                whose = inbox["identifier"]
                waiting = asyncio.create_task(call(client, "wait_for_code", identifier=whose))
                await waits(daemon, whose)
                os.kill(daemon.pid, signal.SIGTERM)
                nothing = await waiting
                assert nothing["status"] == "nothing_yet"
                await _ended(daemon.pid)
            with running_daemon(tmp_path, MAILBRIDGE_HTTP__LISTEN=address) as daemon:
                number = await send(daemon, inbox["address"])
                assert (await call(client, "wait_for_code", identifier=whose, since=nothing["since"]))["code"] == number

    asyncio.run(work())


def test_a_wait_of_the_process_outlives_a_restart(tmp_path: Path) -> None:
    """One call spans both daemons: its code comes by the second. Without a daemon the other tools say so."""

    async def work() -> None:
        with running_daemon(tmp_path) as daemon:
            pid = daemon.pid
            async with over_stdio(daemon) as client:
                inbox = await call(client, "create_inbox")
                waiting = asyncio.create_task(call(client, "wait_for_code", identifier=inbox["identifier"], timeout_seconds=50))
                await waits(daemon, inbox["identifier"])
                os.kill(pid, signal.SIGTERM)
                await _ended(pid)
                assert "is `mailbridge serve` running?" in await refused(client, "who_waits")
                with running_daemon(tmp_path) as other:
                    number = await send(other, inbox["address"])
                    assert (await waiting)["code"] == number

    asyncio.run(work())


async def _ended(pid: int) -> None:
    """Until a child of ours has ended."""
    async with asyncio.timeout(30):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            await asyncio.sleep(0.02)


class Told:
    """An asker that answers what it is told to, and remembers what it was asked."""

    def __init__(self, *answers: Any, is_lasting: bool = False) -> None:
        self._answers = list(answers)
        self.is_lasting = is_lasting
        self.asked: list[dict[str, str]] = []

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        patience: float = 0.0,
    ) -> Any:
        """The next answer."""
        self.asked.append(dict(query or {}))
        return self._answers.pop(0)


NOTHING = {"identifier": "a@b.example", "code": None, "since": "2026-01-31T12:00:00.000Z"}
LOST = Fault(kind=Kind.TRY_AGAIN, title="the answer was lost")


def wait(asker: Told, **arguments: Any) -> Any:
    """What the tool says for these answers."""
    ask = asked(shapes.Wait, {"identifier": "a@b.example", **arguments}, is_text=False)

    async def work() -> Any:
        return await TOOLS["wait_for_code"].run(asker, ask)

    return asyncio.run(work())


def test_one_call_waits_no_longer_than_clients_do() -> None:
    """Whatever is asked for: 50 s, and then the moment to go on from."""
    asker = Told(NOTHING)
    found = wait(asker, timeout_seconds=3600)
    assert 0 < float(asker.asked[0]["timeout"]) <= 50
    assert (found.status, found.since) == ("nothing_yet", NOTHING["since"])


def test_a_lost_answer_is_asked_for_again_unless_it_consumed() -> None:
    """The second time from where the first began; what may have taken a code is told."""
    gone = Fault(kind=Kind.NO_DAEMON, title="nobody answers")
    row = {**NOTHING, "code": "482913", "kind": "code", "from": None, "received_at": None, "expires_at": "", "is_consumed": False}
    asker = Told(LOST, gone, NOTHING, row, is_lasting=True)
    assert wait(asker).code == "482913"
    assert asker.asked[3]["since"] == NOTHING["since"]
    assert wait(Told(LOST, is_lasting=True), consume=True) == LOST
    assert wait(Told(LOST)) == LOST
