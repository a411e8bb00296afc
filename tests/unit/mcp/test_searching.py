from __future__ import annotations

from typing import Any

import msgspec
import pytest
from unit.mcp.pretending import Pretending, Rig, Someone, caller, legacy, only, server, tool

from pointsman.mcp.protocol.search import CALL, DESCRIBE, SEARCH
from pointsman.wire.jsonrpc import RpcError

WEATHER = tool("get_weather", description="Tells the weather of a city.\nMore of it")
MAIL = tool("send_mail", description="Sends a mail to somebody")


def rig_of(**settings: Any) -> Rig:
    return Rig((server("a", **settings), Pretending({"tools": [WEATHER, MAIL]})), mode="search")


async def use(rig: Rig, used: str, who: Any = None, /, **arguments: Any) -> Any:
    params = {"name": used, "arguments": arguments}
    return await rig.ask("tools/call", params, asking=rig.someone(who))


@pytest.mark.requirement("mcp.search")
async def test_three_tools_stand_for_all() -> None:
    assert await rig_of().tools() == [SEARCH, DESCRIBE, CALL]
    assert await rig_of().tools(asking=Someone(legacy())) == [SEARCH, DESCRIBE, CALL]


async def test_at_the_address_of_one_server_there_are_its_own() -> None:
    assert await rig_of().tools(scope=only("a")) == ["get_weather", "send_mail"]


async def test_tools_are_found_by_what_is_to_be_done() -> None:
    found = await use(rig_of(), SEARCH, query="what is the weather like", limit=1)
    said = {"tools": [{"name": "a__get_weather", "description": "Tells the weather of a city."}]}
    assert found["structuredContent"] == said
    assert msgspec.json.decode(found["content"][0]["text"]) == said


@pytest.mark.requirement("mcp.search")
async def test_nobody_finds_what_he_may_not_call() -> None:
    rig = rig_of()
    assert (await use(rig, SEARCH, query="weather"))["structuredContent"]["tools"]
    other = caller("key:b", parts={"a": ("send_mail",)})
    assert (await use(rig, SEARCH, other, query="weather"))["structuredContent"]["tools"] == []
    assert (await use(rig, DESCRIBE, other, name="a__get_weather"))["isError"]
    with pytest.raises(RpcError, match="Unknown tool"):
        await use(rig, CALL, other, name="a__get_weather")


async def test_a_tool_is_shown_whole() -> None:
    found = await use(rig_of(), DESCRIBE, name="a__send_mail")
    assert found["structuredContent"] == {"tool": {**MAIL, "name": "a__send_mail"}}


async def test_a_tool_is_called_with_what_is_meant_for_it() -> None:
    rig = rig_of()
    await rig.ask(
        "tools/call", {"name": CALL, "arguments": {"name": "a__send_mail", "arguments": {"to": "x"}}, "_meta": {"k": 1}}
    )
    assert rig.by_id["a"].asked[-1] == (
        "tools/call",
        {"name": "send_mail", "arguments": {"to": "x"}, "_meta": {"k": 1}},
    )
    assert rig.counted.seen == [("a", "send_mail", "success")]


async def test_a_tool_may_be_called_by_its_own_name_too() -> None:
    rig = rig_of()
    await use(rig, "a__send_mail")
    assert rig.by_id["a"].count("tools/call") == 1


@pytest.mark.parametrize("arguments", [{}, {"query": 3}])
async def test_a_search_for_nothing_is_refused(arguments: Any) -> None:
    with pytest.raises(RpcError) as caught:
        await use(rig_of(), SEARCH, **arguments)
    assert caught.value.code == -32602


async def test_the_index_is_made_once_for_all_who_may_see_the_same() -> None:
    rig = rig_of()
    for name in ("key:a", "key:b"):
        await use(rig, SEARCH, caller(name), query="mail")
    assert len(rig.gateway._searching._indexes) == 1
