from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs
from unit.mcp.pretending import Pretending, Rig, caller, server
from unit.mcp.pretending import tool as mcp_tool
from unit.pipeline.conftest import Downstream
from unit.pipeline.mcp_use.making import tool
from unit.pipeline.mcp_use.test_guests import URL, Home

from pointsman.access.keys import Key
from pointsman.errors import Forbidden, InvalidRequest
from pointsman.mcp.base import Asking
from pointsman.mcp.settings import McpSettings
from pointsman.pipeline.call import Call
from pointsman.pipeline.mcp_use.chains import Chains
from pointsman.pipeline.mcp_use.serving import Request, serve_with_servers
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation

OURS = {"type": "url", "name": "d", "url": "gateway/depot"}


class Setting:
    """A gateway in front of one server, and a model that calls the first tool that it is offered, once."""

    def __init__(self, operation: Operation = op.CHAT, *, calls_servers: bool = False, **settings: Any) -> None:
        self.mcp = Pretending({"tools": [mcp_tool("echo")]})
        self.mcp.answers["tools/call"] = {"content": [{"type": "text", "text": "A"}]}
        self.home = Home(self.mcp)
        self.home.gateway = Rig((server("depot"), self.mcp)).gateway
        self.opened = 0
        self.calls = ""
        """What the model calls instead."""
        self.operation = operation
        self.calls_servers = calls_servers
        self.settings = McpSettings(**settings)
        self.chains = Chains()
        self.asked: list[dict[str, Any]] = []
        self.downstream = Downstream()
        self.terms: Mapping[str, Any] = {}
        """Of the key."""

    async def open(self) -> Home:
        self.opened += 1
        return self.home

    async def ask(self, inner: Call, body: bytes) -> None:
        members = json.loads(body)
        self.asked.append(members)
        number = len(self.asked)
        message: dict[str, Any] = {"role": "assistant", "content": f"round {number}"}
        if number == 1:
            functions = [self.calls] if self.calls else []
            functions += [one["function"]["name"] for one in members.get("tools", ()) if "function" in one]
            message["tool_calls"] = [
                {"id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}}
                for name in functions[:1]
            ]
        if inner.bill is not None:
            meter = SimpleNamespace(observe_request=lambda *_: None)
            target = SimpleNamespace(meter=lambda *_: meter)
            inner.bill.add(SimpleNamespace(cost=None, error=None, target=target), 0.0)
        reply = {"choices": [{"index": 0, "message": message}], "output": [], "id": f"resp_{number}"}
        inner.downstream.reply(200, b"", json.dumps(reply).encode())

    async def run(self, **members: Any) -> Any:
        return await self.send(json.dumps({"model": "m", "messages": []} | members).encode())

    async def send(self, body: bytes) -> Any:
        headers, identity = {b"host": b"GW.test"}, b"x-request-id: r7\r\n"
        call = Call(self.operation, self.downstream, headers, identity, 0.0, is_master=False)
        call.caller = structs.replace(caller(), key=Key(**self.terms))
        request = Request(call, body, self.ask, 600.0, lambda: 0.0, calls_servers=self.calls_servers)
        await serve_with_servers(request, self.settings, self.open, self.chains)
        return json.loads(self.downstream.body)


async def test_calls_of_tools_are_known_by_the_request_that_they_were_made_for() -> None:
    one, ids = Setting(), []

    async def note(_: Any, asking: Asking) -> Any:
        ids.append(asking.client.request_id)
        return {"content": []}

    one.mcp.answers["tools/call"] = note
    await one.run(tools=[tool()])
    assert ids == ["r7"]


@pytest.mark.parametrize("url", ["gateway/depot", "litellm_proxy/mcp/depot", "http://gw.test/mcp/depot", "gateway"])
async def test_servers_of_this_gateway_are_called_for_the_model(url: str) -> None:
    one = Setting()
    reply = await one.run(tools=[tool(url)])
    assert one.mcp.count("tools/call") == 1
    assert reply["choices"][0]["message"]["content"] == "round 1\n\nround 2"


async def test_a_tool_that_the_model_has_made_up_is_for_it_to_mend() -> None:
    one = Setting()
    one.calls = "depot__other"
    await one.run(tools=[tool()])
    assert one.asked[1]["messages"][-1]["content"] == "Error: there is no tool depot__other"
    assert one.mcp.count("tools/call") == 0


async def test_what_names_no_server_goes_on_as_it_is_and_opens_nothing() -> None:
    one = Setting()
    tools = [{"type": "function", "function": {"name": "own", "parameters": {"properties": {"server_url": {}}}}}]
    await one.run(tools=tools)
    assert (one.opened, one.asked[0]["tools"]) == (0, tools)


async def test_a_foreign_server_is_refused_where_nobody_calls_it() -> None:
    one = Setting()
    with pytest.raises(InvalidRequest, match="allow_foreign_servers") as caught:
        await one.run(tools=[{"type": "function"}, tool(URL)])
    assert caught.value.param == "tools[1].server_url"
    assert one.opened == 0


async def test_a_foreign_server_is_left_to_a_provider_that_calls_servers() -> None:
    one = Setting(op.RESPONSES, calls_servers=True, allows_foreign=True)
    await one.run(tools=[tool(URL)])
    assert (one.opened, one.asked[0]["tools"]) == (0, [tool(URL)])


async def test_a_foreign_server_is_called_where_the_operator_allows_it_and_left_afterwards() -> None:
    one = Setting(allows_foreign=True)
    reply = await one.run(tools=[tool(URL), tool("gateway/depot", label="own")])
    names = [each["function"]["name"] for each in one.asked[0]["tools"]]
    assert sorted(names) == ["d__echo", "depot__echo"]
    assert reply["pointsman"]["mcp_calls"][0]["status"] == "completed"
    assert one.home.left == one.home.visited


async def test_a_foreign_server_is_left_also_when_the_request_fails() -> None:
    one = Setting(allows_foreign=True)
    with pytest.raises(InvalidRequest):
        await one.run(tools=[tool(URL)], n=2)
    assert one.home.left == one.home.visited != []


@pytest.mark.parametrize("url", ["gateway/depot", "https://gw.test/mcp"])
async def test_in_anthropics_words_servers_of_this_gateway_are_refused(url: str) -> None:
    one = Setting(op.MESSAGES)
    with pytest.raises(InvalidRequest, match="/v1/responses") as caught:
        await one.run(mcp_servers=[OURS | {"url": url}])
    assert caught.value.param == "mcp_servers[0].url"


async def test_in_anthropics_words_servers_elsewhere_are_left_to_the_provider() -> None:
    one = Setting(op.MESSAGES)
    await one.run(mcp_servers=[OURS | {"url": URL}, "odd"])
    assert one.asked[0]["mcp_servers"][0]["url"] == URL


async def test_who_goes_on_from_a_streamed_response_is_taken_to_its_end() -> None:
    one = Setting(op.RESPONSES)
    one.chains.note("resp_1", "resp_9")
    await one.run(input="hi", tools=[tool()], previous_response_id="resp_1")
    assert one.asked[0]["previous_response_id"] == "resp_9"


@pytest.mark.parametrize("asked", [tool(), tool(URL)])
async def test_a_key_for_other_routes_has_no_tools_called(asked: dict[str, Any]) -> None:
    one = Setting(allows_foreign=True)
    one.terms = {"allowed_routes": ("/v1/chat/completions",)}
    with pytest.raises(Forbidden, match="/mcp"):
        await one.run(tools=[asked])
    assert (one.opened, one.asked) == (0, [])
    await one.run(tools=[{"type": "function", "function": {"name": "server_url"}}])
    assert len(one.asked) == 1


@pytest.mark.parametrize("route", ["mcp_routes", "llm_api_routes", "/mcp", "/mcp/*", "/mcp/tools/call"])
async def test_a_key_that_may_call_tools_itself_has_them_called(route: str) -> None:
    one = Setting()
    one.terms = {"allowed_routes": (route,)}
    await one.run(tools=[tool()])
    assert one.mcp.count("tools/call") == 1


@pytest.mark.parametrize("odd", ["1e999", "[" * 100_000 + "]" * 100_000])
async def test_what_only_a_provider_can_read_goes_on_unless_it_may_name_servers(odd: str) -> None:
    one = Setting()
    asked: list[bytes] = []

    async def ask(_: Call, body: bytes) -> None:
        asked.append(body)
        one.downstream.reply(200, b"", b"{}")

    one.ask = ask  # type: ignore[assignment, method-assign]
    plain = f'{{"x": {odd}, "tools": [{{"type": "function", "server_url": ""}}]}}'.encode()
    await one.send(plain)
    assert asked == [plain]
    with pytest.raises(InvalidRequest, match="out of range"):
        await one.send(f'{{"x": {odd}, "tools": [{json.dumps(tool())}]}}'.encode())
