"""The SDK's server for our tools. Importing this takes about a second and 25 MB, so it happens at the first request."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import msgspec
from mcp import MCPError, types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Message, Receive, Scope, Send

import mailbridge
from mailbridge.core.complaints import plainly
from mailbridge.operator.asks import asked
from mailbridge.operator.faults import Fault
from mailbridge.web.mcp.asking import Asker
from mailbridge.web.mcp.shapes import schema_of
from mailbridge.web.mcp.tools import INSTRUCTIONS, TOOLS, Tool


def server_of(asker: Asker) -> Server[Any]:
    """A server whose tools use ``asker``."""

    async def list_tools(_: Any, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_shown(name) for name in TOOLS])

    async def call_tool(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = TOOLS.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, "there is no such tool; tools/list names them")
        return await _called(tool, asker, params.arguments or {})

    return Server(
        "mailbridge",
        version=mailbridge.__version__,
        title="mailbridge",
        instructions=INSTRUCTIONS,
        get_tool_input_schema=lambda name: schema_of(TOOLS[name].asks) if name in TOOLS else None,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


@cache
def _shown(name: str) -> types.Tool:
    tool = TOOLS[name]
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.about,
        input_schema=schema_of(tool.asks),
        output_schema=schema_of(tool.gives),
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.is_read_only,
            destructive_hint=tool.is_destructive,
            open_world_hint=False,
        ),
    )


async def _called(tool: Tool[Any, Any], asker: Asker, arguments: dict[str, Any]) -> types.CallToolResult:
    """The answer of a tool. An error is a sentence, so that the model can correct its call."""
    try:
        ask = asked(tool.asks, arguments, is_text=False)
    except ValueError as fault:
        return _told(plainly(fault), is_error=True)
    found = await tool.run(asker, ask)
    if isinstance(found, Fault):
        return _told(found.title, is_error=True)
    return _told(msgspec.json.encode(found).decode(), structured=msgspec.to_builtins(found))


def _told(text: str, *, is_error: bool = False, structured: dict[str, Any] | None = None) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
    return types.CallToolResult(content=content, structured_content=structured, is_error=is_error)


class Exchange:
    """One request over HTTP, answered with JSON. Nothing is kept between requests, so a client continues after a restart."""

    def __init__(self, asker: Asker, body: bytes) -> None:
        self._server = server_of(asker)
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it, as an ASGI app. A caller who hangs up is not waited for."""
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(self._answer(scope, send))
            listening = group.create_task(_hung_up(receive, answering))
            answering.add_done_callback(lambda _: listening.cancel())

    async def _answer(self, scope: Scope, send: Send) -> None:
        manager = StreamableHTTPSessionManager(app=self._server, stateless=True, json_response=True)
        async with manager.run():
            await manager.handle_request(scope, self._once(), send)

    def _once(self) -> Receive:
        """The body, which was read before, and then nothing more."""
        parts: list[Message] = [{"type": "http.request", "body": self._body, "more_body": False}]

        async def receive() -> Message:
            if not parts:
                await asyncio.Event().wait()
            return parts.pop()

        return receive


async def _hung_up(receive: Receive, answering: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    answering.cancel()
