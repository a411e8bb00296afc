from __future__ import annotations

import asyncio
from typing import Any

import pytest
from unit.mcp.pretending import Pretending, Rig, caller, nobody, server
from unit.mcp.pretending import tool as mcp_tool
from unit.pipeline.mcp_use.making import entries, tool

from pointsman.errors import GatewayError, InvalidRequest, RateLimited, SignInNeeded, UpstreamUnreachable
from pointsman.pipeline.mcp_use.asking import NO_OBJECT, TOO_DEEP, TOO_LATE, Servers
from pointsman.pipeline.mcp_use.offers import Done, Wanted
from pointsman.wire.jsonrpc import RpcError

SAID = {"content": [{"type": "text", "text": "A"}]}


def rig_of(**settings: Any) -> Rig:
    a = Pretending({"tools": [mcp_tool("x"), mcp_tool("y", annotations={"readOnlyHint": True})]})
    b = Pretending({"tools": [mcp_tool("x")]})
    for one in (a, b):
        one.answers["tools/call"] = SAID
    return Rig((server("a", access_groups=("dev",)), a), (server("b", forward_headers=("x-trace",)), b), **settings)


async def names(rig: Rig, *tools: dict[str, Any]) -> list[str]:
    return [one.public for one in await Servers(rig.gateway, caller()).offers(entries(*tools))]


async def call(rig: Rig, name: str, arguments: str = "{}", seconds: float = 5.0, **more: Any) -> Done:
    servers = Servers(rig.gateway, caller())
    [one] = [one for one in await servers.offers(entries(tool("gateway", **more))) if one.public == name]
    return await servers.call(Wanted(id="call_1", offer=one, arguments=arguments), seconds)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"url": "gateway"}, ["a__x", "a__y", "b__x"]),
        ({"url": "gateway/a"}, ["a__x", "a__y"]),
        ({"url": "litellm_proxy/mcp/b,a"}, ["b__x", "a__x", "a__y"]),
        ({"url": "gateway/dev"}, ["a__x", "a__y"]),
        ({"url": "gateway", "headers": {"x-mcp-servers": "b"}}, ["b__x"]),
        ({"url": "gateway", "allowed_tools": ["x"]}, ["a__x", "b__x"]),
        ({"url": "gateway", "allowed_tools": ["b__x"]}, ["b__x"]),
        ({"url": "gateway", "allowed_tools": {"read_only": True}}, ["a__y"]),
    ],
)
async def test_what_is_named_is_offered_under_names_that_tell_the_server(asked: Any, expected: list[str]) -> None:
    assert sorted(await names(rig_of(), tool(**asked))) == sorted(expected)


async def test_several_entries_are_asked_beside_each_other() -> None:
    got = await Servers(rig_of().gateway, caller()).offers(
        entries(tool("gateway/a", label="one"), tool("gateway/b", label="two", require_approval="always"))
    )
    assert [(one.label, one.public, one.is_approved) for one in got] == [
        ("one", "a__x", True),
        ("one", "a__y", True),
        ("two", "b__x", False),
    ]


async def test_in_search_mode_a_model_gets_the_tools_that_find_others() -> None:
    rig = rig_of(mode="search")
    found = await names(rig, tool("gateway"))
    assert len(found) == 3
    assert "a__x" not in found
    assert await names(rig, tool("gateway/b")) == ["b__x"]


@pytest.mark.parametrize("path", ["gateway/none", "gateway/a,none"])
async def test_a_server_that_there_is_not_is_named(path: str) -> None:
    with pytest.raises(InvalidRequest, match="none") as caught:
        await names(rig_of(), tool(path))
    assert caught.value.param == "tools[0].server_url"


async def test_a_server_that_the_caller_may_not_use_is_not_there() -> None:
    with pytest.raises(InvalidRequest, match="Server a not found"):
        await Servers(rig_of().gateway, nobody()).offers(entries(tool("gateway/a")))


async def test_a_server_that_cannot_be_reached_fails_the_request_that_names_it() -> None:
    rig = rig_of()
    rig.by_id["a"].failure = UpstreamUnreachable()
    with pytest.raises(UpstreamUnreachable, match="MCP server a"):
        await names(rig, tool("gateway/a"))
    assert await names(rig, tool("gateway")) == ["b__x"]


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (SignInNeeded("Sign in: http://gw/start", link="http://gw/start"), SignInNeeded),
        (RpcError(-32603, "Sign in: no"), UpstreamUnreachable),
    ],
)
@pytest.mark.parametrize("path", ["gateway/a", "gateway/b, a", "gateway/dev"])
async def test_who_names_a_server_is_told_why_its_tools_are_missing(
    path: str, failure: Exception, told: type[GatewayError]
) -> None:
    rig = rig_of()
    rig.by_id["a"].failure = failure
    with pytest.raises(told, match="Sign in"):
        await names(rig, tool(path))


@pytest.mark.parametrize(("headers", "base"), [({b"host": b"gw.test:7"}, "http://gw.test:7"), ({}, "")])
async def test_the_link_to_sign_in_leads_to_where_the_client_has_found_the_gateway(
    headers: dict[bytes, bytes], base: str
) -> None:
    rig = rig_of()
    rig.by_id["a"].failure = SignInNeeded("Open /start", link="/start")
    with pytest.raises(SignInNeeded) as caught:
        await Servers(rig.gateway, caller(), "r7", headers).offers(entries(tool("gateway/a")))
    assert caught.value.message == f"Open {base}/start"


async def test_of_an_access_group_some_servers_may_be_missing() -> None:
    a, b = Pretending({"tools": [mcp_tool("x")]}), Pretending({"tools": [mcp_tool("x")]})
    a.failure = SignInNeeded()
    rig = Rig(*((server(name, access_groups=("dev",)), one) for name, one in (("a", a), ("b", b))))
    assert await names(rig, tool("gateway/dev")) == ["b__x"]


async def test_a_named_server_without_any_tools_is_no_failure() -> None:
    rig = Rig((server("a"), Pretending({"tools": []})))
    assert await names(rig, tool("gateway/a")) == []


async def test_tools_of_a_chat_use_the_slot_of_the_chat() -> None:
    rig = rig_of()
    await call(rig, "a__x")
    assert rig.meter.have_slots == [True]


async def test_a_tool_is_called_by_its_own_name_at_its_server() -> None:
    rig = rig_of()
    done = await call(rig, "b__x", '{"n": 1.50}')
    assert (done.text, done.is_error) == ("A", False)
    assert rig.by_id["b"].asked[-1] == ("tools/call", {"name": "x", "arguments": {"n": 1.5}})


@pytest.mark.parametrize("arguments", ["", "[]", "{", "7"])
async def test_arguments_that_are_no_object_are_the_models_to_mend(arguments: str) -> None:
    rig = rig_of()
    done = await call(rig, "a__x", arguments)
    assert (done.text, done.is_error) == (NO_OBJECT, True)
    assert rig.by_id["a"].count("tools/call") == 0


async def test_arguments_that_are_nested_too_deep_are_the_models_to_mend() -> None:
    rig = rig_of()
    done = await call(rig, "a__x", '{"a":' + "[" * 100_000 + "]" * 100_000 + "}")
    assert (done.text, done.is_error) == (TOO_DEEP, True)
    assert rig.by_id["a"].count("tools/call") == 0


@pytest.mark.parametrize(
    ("error", "text"),
    [(RpcError(-32602, "no such city"), "no such city"), (RateLimited("Too many calls"), "Too many calls")],
)
async def test_whatever_goes_wrong_is_for_the_model_to_know(error: Exception, text: str) -> None:
    rig = rig_of()
    rig.by_id["a"].answers["tools/call"] = error
    done = await call(rig, "a__x")
    assert (done.text, done.is_error) == (f"Error: {text}", True)


async def test_a_tool_that_takes_too_long_is_left() -> None:
    rig = rig_of()

    async def hang(*_: Any) -> None:
        await asyncio.Event().wait()

    rig.by_id["a"].answers["tools/call"] = hang
    assert (await call(rig, "a__x", seconds=0.0)).text == TOO_LATE


async def test_what_the_client_gives_for_servers_is_shown_to_those_that_are_configured_so() -> None:
    seen: list[Any] = []

    async def note(_: Any, asking: Any) -> Any:
        seen.append(asking.client.headers)
        return SAID

    rig = rig_of()
    rig.by_id["b"].answers["tools/call"] = note
    await call(rig, "b__x", headers={"X-Trace": "7"})
    assert seen == [{b"x-trace": b"7"}]
