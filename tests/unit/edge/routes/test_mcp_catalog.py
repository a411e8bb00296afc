from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from unit.mcp.pretending import Pretending, tool

from pointsman.errors import SignInNeeded, UpstreamUnreachable
from pointsman.mcp.settings import McpSettings, ServerSettings
from pointsman.wire.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, RpcError

Make = Callable[..., tuple[Any, Any]]


def server(name: str, **more: Any) -> ServerSettings:
    return ServerSettings(id=name, name=name.upper(), url=f"http://{name}", **more)


def settings(*servers: ServerSettings) -> McpSettings:
    return McpSettings(servers=servers)


SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
HAS = {
    "tools": [tool("find", description="Finds", inputSchema=SCHEMA), tool("drop")],
    "resources": [{"uri": "x://r", "name": "notes", "mimeType": "text/plain"}, {"uri": "x://s", "name": "other"}],
    "prompts": [{"name": "ask", "description": "Asks", "arguments": [{"name": "q"}]}],
}


@pytest.mark.requirement("mcp.registry")
async def test_tools_resources_and_prompts_are_listed_with_their_server(make_mcp: Make) -> None:
    desk, mcp = make_mcp(settings(server("a"), server("b", prefix="bee")))
    mcp.servers |= {"a": Pretending(HAS), "b": Pretending({"tools": [tool("find")]})}
    tools = (await desk.get("/mcp/tools"))["tools"]
    assert [(one["server_id"], one["server_name"], one["tool"], one["name"]) for one in tools] == [
        ("a", "A", "find", "a__find"),
        ("a", "A", "drop", "a__drop"),
        ("b", "B", "find", "bee__find"),
    ]
    assert (tools[0]["description"], tools[0]["input_schema"], tools[0]["source"]) == ("Finds", SCHEMA, "discovered")
    resources = (await desk.get("/mcp/resources"))["resources"]
    assert [(one["server_id"], one["resource"], one["uri"], one["name"]) for one in resources] == [
        ("a", "x://r", "x://r", "notes"),
        ("a", "x://s", "x://s", "other"),
    ]
    (prompt,) = (await desk.get("/mcp/prompts"))["prompts"]
    assert (prompt["prompt"], prompt["name"], prompt["arguments"]) == ("ask", "a__ask", [{"name": "q"}])


async def test_what_was_declared_is_all_that_is_listed_and_is_so_before_its_server_has_shown_it(make_mcp: Make) -> None:
    one = server("a", tools=("find", "later", "get_*"), resources=("notes", "x://t"))
    desk, mcp = make_mcp(settings(one))
    mcp.servers["a"] = Pretending(HAS)
    tools = (await desk.get("/mcp/tools"))["tools"]
    assert [(row["tool"], row["source"]) for row in tools] == [("find", "discovered"), ("later", "declared")]
    resources = (await desk.get("/mcp/resources"))["resources"]
    assert [(row["resource"], row["source"]) for row in resources] == [("notes", "discovered"), ("x://t", "declared")]


async def test_a_server_that_is_down_shows_what_was_declared(make_mcp: Make) -> None:
    desk, mcp = make_mcp(settings(server("a", tools=("find",)), server("b")))
    mcp.servers |= {"a": Pretending({}), "b": Pretending(HAS)}
    mcp.servers["a"].failure = UpstreamUnreachable()
    rows = (await desk.get("/mcp/tools"))["tools"]
    assert [(one["server_id"], one["tool"]) for one in rows] == [("a", "find"), ("b", "find"), ("b", "drop")]
    health = await desk.get("/mcp/health")
    assert (health["status"], health["healthy"], health["total"]) == ("degraded", 1, 2)
    assert [one["status"] for one in health["servers"]] == ["down", "ready"]


async def test_one_server_can_be_asked_for_alone(make_mcp: Make) -> None:
    desk, mcp = make_mcp(settings(server("a"), server("b")))
    mcp.servers |= {"a": Pretending(HAS), "b": Pretending(HAS)}
    assert {one["server_id"] for one in (await desk.get("/mcp/tools", "server_id=b"))["tools"]} == {"b"}
    missing = await desk.call("GET", "/mcp/tools", query="server_id=c")
    assert (missing.status, missing.json) == (404, {"detail": "Server c not found"})


@pytest.mark.requirement("mcp.permissions")
async def test_a_key_is_told_only_what_it_may_call_and_calls_only_that(make_mcp: Make) -> None:
    desk, mcp = make_mcp(settings(server("a"), server("b", tools=("find",))))
    mcp.servers |= {"a": Pretending(HAS), "b": Pretending(HAS)}
    key = await desk.key(object_permission={"mcp_tool_permissions": {"a": ["find"]}})
    assert [one["name"] for one in (await desk.get("/mcp/tools", key=key))["tools"]] == ["a__find"]
    assert (await desk.get("/mcp/tools", key=await desk.key())) == {"tools": []}
    assert (await desk.get("/mcp/health", key=await desk.key()))["total"] == 0
    called = await desk.call("POST", "/mcp/tools/call", {"tool_name": "a__find"}, key=key)
    assert called.status == 200
    for body in ({"tool_name": "a__drop"}, {"tool_name": "b__find"}, {"tool_name": "nothing"}):
        refused = await desk.call("POST", "/mcp/tools/call", body, key=key)
        assert refused.status == 400, body
    hidden = await desk.call("POST", "/mcp/tools/call", {"tool_name": "find", "server_id": "b"}, key=key)
    assert (hidden.status, hidden.json) == (404, {"detail": "Server b not found"})
    assert mcp.servers["b"].asked == []


async def test_a_tool_is_called_by_its_whole_name_or_by_its_own_at_a_server(make_mcp: Make) -> None:
    desk, mcp = make_mcp(settings(server("a")))
    mcp.servers["a"] = one = Pretending(HAS)
    one.answers["tools/call"] = {"content": [{"type": "text", "text": "done"}], "x-own": 1}
    for body in ({"tool_name": "a__find"}, {"name": "find", "server_id": "a"}):
        called = await desk.post("/mcp/tools/call", body | {"arguments": {"q": "x"}})
        assert (called["status"], called["result"]) == ("success", one.answers["tools/call"])
        method, params = one.asked[-1]
        assert (method, params["name"], params["arguments"]) == ("tools/call", "find", {"q": "x"})
    one.answers["tools/call"] = {"content": [], "isError": True}
    assert (await desk.post("/mcp/tools/call", {"tool_name": "a__find"}))["status"] == "error"


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (RpcError(INVALID_PARAMS, "no such q"), 400),
        (RpcError(INTERNAL_ERROR, "it broke"), 502),
        (UpstreamUnreachable(), 502),
    ],
)
async def test_a_call_that_fails_tells_whose_fault_it_is(make_mcp: Make, failure: Exception, status: int) -> None:
    desk, mcp = make_mcp(settings(server("a")))
    mcp.servers["a"] = one = Pretending(HAS)
    one.answers["tools/call"] = failure
    assert (await desk.call("POST", "/mcp/tools/call", {"tool_name": "a__find"})).status == status


@pytest.mark.requirement("mcp.sign-in")
async def test_who_has_to_sign_in_first_is_told_where_this_gateway_is(
    make_mcp: Make, make_exchange: Any, wire: Any
) -> None:
    desk, mcp = make_mcp(settings(server("a")))
    mcp.servers["a"] = one = Pretending(HAS)
    one.answers["tools/call"] = SignInNeeded("Sign in first: /start?x", link="/start?x")
    key = await desk.key(object_permission={"mcp_servers": ["a"]})
    headers = {b"host": b"gate.example:4000", b"authorization": b"Bearer " + key.encode()}
    exchange = make_exchange("POST", "/mcp/tools/call", headers=headers, body=b'{"tool_name": "a__find"}')
    await desk.gateway.handle(exchange)
    error = wire.json["error"]
    assert (error["code"], error["message"]) == (
        "sign_in_needed",
        "Sign in first: http://gate.example:4000/start?x",
    )


@pytest.mark.parametrize("body", [{}, {"tool_name": ""}, {"tool_name": "a", "arguments": []}, {"tool": "a"}, b"{", b""])
async def test_a_call_without_a_name_is_refused(make_mcp: Make, body: Any) -> None:
    desk, _ = make_mcp(settings(server("a")))
    assert (await desk.call("POST", "/mcp/tools/call", body)).status == 400
