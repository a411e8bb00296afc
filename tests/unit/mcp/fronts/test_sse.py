from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from pointsman.access.grants import grants_of
from pointsman.access.keys import ObjectPermission
from pointsman.mcp.base import Asking
from pointsman.mcp.settings import McpSettings
from pointsman.wire.jsonrpc import Message

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2024-11-05", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "older"}},
}


async def opened(bench: Any) -> Any:
    headers = {"accept": "text/event-stream"}
    task, reply = await bench.run(bench.fronts.get_sse, headers=headers, path="/mcp/a/sse", server="a")
    first, _, where = reply.body.decode().strip().partition("\ndata: ")
    assert first == "event: endpoint"
    path, _, name = where.partition("?session_id=")
    assert path == "/mcp/a/messages"
    return task, reply, name


async def send(bench: Any, name: str, message: Any, caller: str = "key:1", **more: Any) -> int:
    data = msgspec.json.encode(message)
    request, reply = bench.request(query={"session_id": name}, body=data, caller=caller, **more)
    await bench.fronts.post_sse(request)
    return int(reply.status)


async def test_everything_to_the_client_goes_to_one_stream(bench: Any) -> None:
    async def call(_method: str, _params: Raw, asking: Asking) -> Any:
        return {"got": await asking.ask("elicitation/create", Raw(b"{}"))}

    bench.gateway.calling = call
    task, reply, name = await opened(bench)
    assert await send(bench, name, {"jsonrpc": "2.0", "id": 9, "method": "tools/list"}) == 202
    assert (await reply.until(1))[0]["error"]["message"] == "Begin with 'initialize'"
    assert await send(bench, name, INITIALIZE) == 202
    assert (await reply.until(2))[1]["result"]["protocolVersion"] == "2024-11-05"
    assert await send(bench, name, {"jsonrpc": "2.0", "method": "notifications/initialized"}) == 202
    await send(bench, name, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}})
    asked = (await reply.until(3))[2]
    assert asked["method"] == "elicitation/create"
    await send(bench, name, {"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}})
    assert (await reply.until(4))[3]["result"] == {"got": {"action": "decline"}}
    bench.gateway.watches[-1].sink(Message(jsonrpc="2.0", method="notifications/tools/list_changed"))
    assert (await reply.until(5))[4]["method"] == "notifications/tools/list_changed"
    task.cancel()
    await asyncio.wait([task])
    assert bench.gateway.ended == [bench.gateway.clients[0].session]
    assert await send(bench, name, INITIALIZE) == 404
    assert len(bench.fronts._legacy.sessions) == 0


async def test_what_still_goes_on_ends_with_the_stream(bench: Any) -> None:
    over = asyncio.Event()

    async def call(*_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            over.set()

    bench.gateway.calling = call
    task, reply, name = await opened(bench)
    await send(bench, name, INITIALIZE)
    await reply.until(1)
    await send(bench, name, {"jsonrpc": "2.0", "id": 1, "method": "tools/call"})
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(5):
        await over.wait()


async def test_what_begins_ends_with_the_stream_too(bench: Any) -> None:
    over = asyncio.Event()

    async def introduce(*_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            over.set()

    bench.gateway.introduce = introduce
    task, _, name = await opened(bench)
    await send(bench, name, INITIALIZE)
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(5):
        await over.wait()


async def test_a_session_is_its_callers(bench: Any) -> None:
    _, _, name = await opened(bench)
    assert await send(bench, name, INITIALIZE, caller="key:2") == 404
    assert await send(bench, "invented", INITIALIZE) == 404


async def test_a_stream_ends_when_the_server_drains(bench: Any) -> None:
    task, reply, _ = await opened(bench)
    bench.fronts.drain()
    await asyncio.wait([task], timeout=5)
    assert reply.is_finished


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*"])
async def test_the_transport_is_there_where_it_is_switched_on(bench: Any, accept: str) -> None:
    bench.fronts.configure(McpSettings())
    request, reply = bench.request(headers={"accept": accept}, path="/mcp/sse")
    await bench.fronts.get_sse(request)
    assert (reply.status, "error" in reply.json) == (404, True)
    assert await send(bench, "x", INITIALIZE) == 404


@pytest.mark.requirement("mcp.withdrawn")
async def test_a_request_is_of_its_caller_as_he_is_now(bench: Any) -> None:
    _, reply, name = await opened(bench)
    await send(bench, name, INITIALIZE)
    await reply.until(1)
    grants = grants_of((ObjectPermission(mcp_servers=("a",)),))
    await send(bench, name, {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}, grants=grants, id="r1")
    await reply.until(2)
    assert (bench.gateway.clients[-1].caller.grants, bench.gateway.clients[-1].request_id) == (grants, "r1")
