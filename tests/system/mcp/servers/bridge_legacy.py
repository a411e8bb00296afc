"""A server of the legacy revisions that asks and tells its client everything that those know.

Runs in the environment of the SDK 1.x, with a transport and a port as its arguments.
"""

# mypy: ignore-errors
# Its SDK is not in the environment that is checked.

from __future__ import annotations

import asyncio
import sys
from typing import Any
from weakref import WeakKeyDictionary

import anyio
from mcp import types
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.lowlevel import NotificationOptions
from mcp.shared.message import ServerMessageMetadata
from pydantic import AnyUrl, BaseModel

TRANSPORT, PORT = sys.argv[1], int(sys.argv[2])
URI = "bridge://counter"
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

server = FastMCP("bridge", instructions="Cross here", port=PORT)
inner = server._mcp_server
made = inner.create_initialization_options
levels: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
watchers: dict[int, Any] = {}
counts = {"counter": 0, "cancelled": 0}


def options() -> Any:
    found = made(NotificationOptions(tools_changed=True, prompts_changed=True, resources_changed=True))
    found.capabilities.resources.subscribe = True
    return found


inner.create_initialization_options = options


class Name(BaseModel):
    name: str


@server.tool()
async def ask_name(ctx: Context) -> str:
    found = await ctx.elicit("What is your name?", Name)
    return f"Hello, {found.data.name}" if found.action == "accept" else f"They {found.action}"


@server.tool()
async def ask_twice(ctx: Context) -> str:
    first = await ctx.elicit("First?", Name)
    second = await ctx.elicit("Second?", Name)
    return f"{first.data.name} and {second.data.name}"


def question() -> list[types.SamplingMessage]:
    return [types.SamplingMessage(role="user", content=types.TextContent(type="text", text="Which track?"))]


@server.tool()
async def ask_model(ctx: Context) -> str:
    found = await ctx.session.create_message(question(), max_tokens=10, related_request_id=ctx.request_id)
    return f"The model said {found.content.text}"


@server.tool()
async def ask_roots(ctx: Context) -> str:
    found = await ctx.session.send_request(
        types.ServerRequest(types.ListRootsRequest()),
        types.ListRootsResult,
        metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
    )
    return " ".join(str(root.uri) for root in found.roots)


@server.tool()
async def ask_roots_apart(ctx: Context) -> str:
    """The question goes over the stream that belongs to no call."""
    found = await ctx.session.list_roots()
    return " ".join(str(root.uri) for root in found.roots)


@server.tool()
async def count(ctx: Context) -> str:
    for step in (1, 2, 3):
        await ctx.report_progress(step, 3, f"step {step}")
    return "counted"


@server.tool()
async def speak(ctx: Context) -> str:
    wanted = LEVELS.index(levels.get(ctx.session, "debug"))
    for level in LEVELS[wanted:]:
        await ctx.session.send_log_message(level, f"said {level}", "bridge", related_request_id=ctx.request_id)
    return "spoken"


@server.tool()
async def touch() -> str:
    counts["counter"] += 1
    for name, session in list(watchers.items()):
        try:
            await session.send_resource_updated(AnyUrl(URI))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # Its client has gone.
            del watchers[name]
    return "touched"


def grown() -> str:
    return "grown"


@server.tool()
async def grow(ctx: Context, name: str) -> str:
    server.add_tool(grown, name)
    await ctx.session.send_tool_list_changed()
    return "grown"


@server.tool()
async def wait() -> str:
    try:
        await asyncio.sleep(20)
    except asyncio.CancelledError:
        counts["cancelled"] += 1
        raise
    return "waited"


@server.tool()
async def cancelled() -> str:
    return str(counts["cancelled"])


@server.resource(URI)
def counter() -> str:
    return str(counts["counter"])


@server.prompt()
def greet(name: str) -> str:
    return f"Greet {name}"


@server.completion()
async def complete(ref: Any, argument: Any, context: Any) -> types.Completion:
    return types.Completion(values=[f"{argument.value}da"], total=1, hasMore=False)


@inner.set_logging_level()
async def set_level(level: str) -> None:
    levels[inner.request_context.session] = level


@inner.subscribe_resource()
async def subscribe(uri: AnyUrl) -> None:
    session = inner.request_context.session
    watchers[id(session)] = session


@inner.unsubscribe_resource()
async def unsubscribe(uri: AnyUrl) -> None:
    watchers.pop(id(inner.request_context.session), None)


server.run(TRANSPORT)
