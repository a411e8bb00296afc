from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from unit.a2a.rig import FakeRegistry, Rig, task

from pointsman.a2a import talking
from pointsman.a2a.base import LiveCard
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import Caller
from pointsman.access.keys import Key
from pointsman.assembly.a2a_tools import FIND, SETTINGS, AgentTools, with_agents
from pointsman.errors import RateLimited
from pointsman.mcp.base import Client, Interest
from pointsman.mcp.calls import Quiet
from pointsman.mcp.protocol.listings import TOOLS, read_page
from pointsman.mcp.settings import McpSettings, ServerSettings
from pointsman.wire.jsonrpc import RpcError, raw

ME = Caller(name="key:me", role="key")
CARD = {"description": "Knows trains", "skills": [{"name": "Time", "description": "When"}, {"name": "Track"}, 7]}
DONE = task(state="TASK_STATE_COMPLETED", artifacts=[{"artifactId": "a", "parts": [{"text": "Hi"}]}])


class Cards:
    """Those of the test."""

    def peek(self, agent: str) -> LiveCard | None:
        return LiveCard(card=CARD, interfaces=(), state="live") if agent == "a" else None


class World:
    """Two agents, one of which is for everybody."""

    def __init__(self) -> None:
        self.rig = Rig(
            AgentSettings(id="a", name="A", allow_all_keys=True),
            AgentSettings(id="b", name="B", description="Knows ships"),
        )
        self.tools = AgentTools(self)  # type: ignore[arg-type]

    async def gateway(self) -> Any:
        return self.rig.gateway

    async def registry(self) -> FakeRegistry:
        return self.rig.registry

    async def cards(self) -> Cards:
        return Cards()

    async def call(self, method: str, params: Any = None, who: Caller = ME, seconds: float = 60.0) -> Any:
        client = Client(caller=who, era="modern", revision="x", request_id="r1", headers={b"traceparent": b"tp"})
        deadline = asyncio.get_running_loop().time() + seconds
        return json.loads(bytes(await self.tools.call(method, raw(params or {}), Quiet(client), deadline)))

    async def use(self, name: str, **arguments: Any) -> Any:
        return await self.call("tools/call", {"name": name, "arguments": arguments})

    async def refused(self, method: str, params: Any) -> int:
        with pytest.raises(RpcError) as error:
            await self.call(method, params)
        return error.value.code


@pytest.mark.requirement("a2a.as-tools")
async def test_each_caller_finds_the_agents_that_he_may_ask() -> None:
    world = World()
    tools = (await world.call("tools/list"))["tools"]
    assert [tool["name"] for tool in tools] == [FIND, "a2a_a"]
    assert tools[1]["description"] == "Knows trains\n- Time: When\n- Track"
    admin = Caller(name="master", role="master", is_master=True)
    every = (await world.call("tools/list", who=admin))["tools"]
    assert [tool["description"] for tool in every][2:] == ["Knows ships"]


async def test_its_list_is_one_that_clients_can_read() -> None:
    page = read_page(TOOLS, raw(await World().call("tools/list")))
    assert page.faults == {}
    assert page.ttl_ms == 5000
    assert not page.is_public


@pytest.mark.requirement("a2a.as-tools")
async def test_a_tool_asks_its_agent_as_the_caller() -> None:
    world = World()
    world.rig.agent.answers[Operation.SEND] = {"task": DONE}
    found = await world.use("a2a_a", message="hello", context_id="c9")
    assert found["content"] == [{"type": "text", "text": "Hi"}]
    assert found["structuredContent"] == {"text": "Hi", "state": "completed", "task_id": "t1", "context_id": "c1"}
    assert found["isError"] is False
    [(_, _, params)] = world.rig.agent.asked
    assert (params["message"]["parts"], params["message"]["contextId"]) == ([{"text": "hello"}], "c9")
    assert world.rig.agent.passed[0].caller is ME
    assert world.rig.agent.passed[0].headers == {"traceparent": "tp"}
    assert world.rig.meter.opened == [("key:me", "a", True)]


async def test_no_message_looks_like_one_that_was_sent_before() -> None:
    world = World()
    world.rig.agent.answers[Operation.SEND] = {"task": task(state="TASK_STATE_COMPLETED")}
    for _ in range(2):
        await world.use("a2a_a", message="hello")
    first, second = (params["message"]["messageId"] for _, _, params in world.rig.agent.asked)
    assert first != second


async def test_a_task_can_be_told_more() -> None:
    world = World()
    await world.rig.begin("t1", state="TASK_STATE_INPUT_REQUIRED")
    await world.use("a2a_a", message="this one", task_id="t1")
    assert world.rig.agent.asked[-1][2]["message"]["taskId"] == "t1"


async def test_files_are_told_by_their_names() -> None:
    world = World()
    parts = [{"text": "See"}, {"url": "https://a/b", "filename": "b"}, {"raw": "QUJD", "filename": "c"}]
    world.rig.agent.answers[Operation.SEND] = {"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": parts}}
    assert (await world.use("a2a_a", message="x"))["structuredContent"] == {"text": "See\n[b](https://a/b)\n\n[c]\n"}


async def test_what_an_agent_says_of_a_failure_is_an_error_of_the_tool() -> None:
    world = World()
    status = {"state": "TASK_STATE_FAILED", "message": {"parts": [{"text": "No luck"}]}}
    world.rig.agent.answers[Operation.SEND] = {"task": {**task(), "status": status}}
    found = await world.use("a2a_a", message="x")
    assert (found["isError"], found["content"][0]["text"]) == (True, "No luck")


@pytest.mark.parametrize("error", [RateLimited("slow down"), RpcError(-32603, "slow down")])
async def test_what_fails_is_for_the_model_to_know(error: Exception) -> None:
    world = World()
    world.rig.agent.answers[Operation.SEND] = error
    found = await world.use("a2a_a", message="x")
    assert (found["isError"], found["content"][0]["text"]) == (True, "slow down")


async def test_an_agent_that_takes_longer_than_there_is_time_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talking, "PAUSES", (1000.0,))
    world = World()
    world.rig.agent.answers[Operation.SEND] = {"task": task()}
    found = await world.call("tools/call", {"name": "a2a_a", "arguments": {"message": "x"}})
    assert found["structuredContent"] | {"text": ""} == {
        "text": "",
        "state": "working",
        "task_id": "t1",
        "context_id": "c1",
    }
    assert "goes on" in found["content"][0]["text"]


async def test_an_agent_that_says_nothing_in_time_is_an_error_of_the_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(world.rig.registry, "ready", asyncio.Event().wait)
    found = await world.call("tools/call", {"name": "a2a_a", "arguments": {"message": "x"}}, seconds=0.0)
    assert (found["isError"], found["content"][0]["text"]) == (True, "The agent did not answer in time")


@pytest.mark.requirement("a2a.as-tools")
async def test_agents_are_found_by_what_they_can_do() -> None:
    world = World()
    found = await world.use(FIND, query="trains")
    [agent] = found["structuredContent"]["agents"]
    assert (agent["tool"], agent["agent_id"]) == ("a2a_a", "a")
    assert json.loads(found["content"][0]["text"]) == [agent]
    assert (await world.use(FIND, query="ships"))["structuredContent"] == {"agents": []}


@pytest.mark.parametrize("name", ["a2a_b", "a2a_none", "a"])
async def test_an_agent_that_may_not_be_asked_is_no_tool(name: str) -> None:
    world = World()
    assert await world.refused("tools/call", {"name": name, "arguments": {"message": "x"}}) == -32602
    assert world.rig.agent.asked == []


@pytest.mark.requirement("a2a.as-tools")
async def test_a_key_that_is_not_for_agents_finds_none_and_asks_none() -> None:
    world = World()
    narrow = Caller(name="key:me", role="key", key=Key(account="k", allowed_routes=("mcp_routes",)))
    assert [tool["name"] for tool in (await world.call("tools/list", who=narrow))["tools"]] == [FIND]
    found = await world.call("tools/call", {"name": FIND, "arguments": {"query": "trains"}}, narrow)
    assert found["structuredContent"] == {"agents": []}
    with pytest.raises(RpcError, match="Unknown tool"):
        await world.call("tools/call", {"name": "a2a_a", "arguments": {"message": "x"}}, narrow)
    assert world.rig.agent.asked == []


async def test_what_cannot_be_understood_is_refused() -> None:
    world = World()
    assert await world.refused("tools/call", {"name": "a2a_a", "arguments": {}}) == -32602
    assert await world.refused("tools/call", {"name": FIND, "arguments": {"query": 1}}) == -32602
    assert await world.refused("prompts/list", {}) == -32601


async def test_it_introduces_itself_and_has_nothing_to_tell() -> None:
    tools = World().tools
    assert (await tools.introduce()) is tools.introduction
    watch = tools.watch(Interest(tools=True), lambda _: None)
    await watch.ready()
    watch.close()
    await tools.notify("notifications/roots/list_changed", raw({}))
    await tools.close()


def test_the_operators_server_of_the_same_name_goes_before_it() -> None:
    assert with_agents(None).servers == (SETTINGS,)
    own = ServerSettings(id="agents", name="mine")
    assert with_agents(McpSettings(servers=(own,))).servers == (own,)
