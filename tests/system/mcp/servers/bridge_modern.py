"""A server of the modern revision alone, with the tools of ``bridge_legacy.py``.

Runs in the environment of the SDK 2.x, with a transport and a port as its arguments.
"""

# mypy: ignore-errors
# Its SDK is not in the environment that is checked.

from __future__ import annotations

import sys
from typing import Annotated

import anyio
from mcp.server.mcpserver import Context, Elicit, ListRoots, MCPServer, Resolve, Sample
from mcp.types import (
    Completion,
    CreateMessageResult,
    EmptyResult,
    ListRootsResult,
    SamplingMessage,
    SetLevelRequestParams,
    TextContent,
)
from modern_only import ModernOnly, refuse_legacy, serve
from pydantic import BaseModel

TRANSPORT, PORT = sys.argv[1], int(sys.argv[2])
URI = "bridge://counter"
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

server = MCPServer("bridge", instructions="Cross here", middleware=[refuse_legacy])
counts = {"counter": 0, "cancelled": 0}


class Name(BaseModel):
    name: str


class Second(BaseModel):
    name: str


def which_name() -> Elicit[Name]:
    return Elicit("What is your name?", Name)


def first_name() -> Elicit[Name]:
    return Elicit("First?", Name)


def second_name(first: Annotated[Name, Resolve(first_name)]) -> Elicit[Second]:
    return Elicit("Second?", Second)


def which_track() -> Sample:
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text="Which track?"))], max_tokens=10)


@server.tool()
async def ask_name(found: Annotated[Name, Resolve(which_name)]) -> str:
    return f"Hello, {found.name}"


@server.tool()
async def ask_twice(
    first: Annotated[Name, Resolve(first_name)], second: Annotated[Second, Resolve(second_name)]
) -> str:
    return f"{first.name} and {second.name}"


@server.tool()
async def ask_model(found: Annotated[CreateMessageResult, Resolve(which_track)]) -> str:
    return f"The model said {found.content.text}"


@server.tool()
@server.tool("ask_roots_apart")
async def ask_roots(found: Annotated[ListRootsResult, Resolve(ListRoots)]) -> str:
    return " ".join(str(root.uri) for root in found.roots)


@server.tool()
async def count(ctx: Context) -> str:
    for step in (1, 2, 3):
        await ctx.report_progress(step, 3, f"step {step}")
    return "counted"


@server.tool()
async def speak(ctx: Context) -> str:
    for level in LEVELS:
        await ctx.log(level, f"said {level}", logger_name="bridge")
    return "spoken"


@server.tool()
async def touch(ctx: Context) -> str:
    counts["counter"] += 1
    await ctx.notify_resource_updated(URI)
    return "touched"


def grown() -> str:
    return "grown"


@server.tool()
async def grow(ctx: Context, name: str) -> str:
    server.add_tool(grown, name)
    await ctx.notify_tools_changed()
    return "grown"


@server.tool()
async def wait() -> str:
    try:
        await anyio.sleep(20)
    except anyio.get_cancelled_exc_class():
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
async def complete(ref, argument, context) -> Completion:
    return Completion(values=[f"{argument.value}da"], total=1, has_more=False)


async def set_level(ctx, params) -> EmptyResult:
    return EmptyResult()


# No client of the modern revision calls it, but without it the SDK does not say that this server logs.
server._lowlevel_server.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)


if TRANSPORT == "stdio":
    server.run("stdio")
else:
    serve(ModernOnly(server.streamable_http_app()), PORT)
