from __future__ import annotations

from typing import Any

import pytest
from unit.mcp.pretending import ANY, Pretending, Rig, Someone, legacy, nobody, only, server, tool

from pointsman.access.caller import Caller
from pointsman.errors import UpstreamUnreachable
from pointsman.mcp import catalog as catalog_of
from pointsman.mcp.lists import FAILED_TTL_MS
from pointsman.wire.jsonrpc import RpcError

STRANGE = tool("x", vendor={"deep": [1, {"y": None}]}, annotations={"z": 1})


def two(**page: Any) -> Rig:
    a, b = Pretending({"tools": [STRANGE, tool("y")]}), Pretending({"tools": [tool("x")]})
    a.page = page
    return Rig((server("a"), a), (server("b"), b))


async def test_of_one_server_names_and_unknown_members_stay() -> None:
    found = await two(_meta={"m": 1}).ask("tools/list", scope=only("a"))
    assert found["tools"] == [STRANGE, tool("y")]
    assert found["_meta"] == {"m": 1}


@pytest.mark.requirement("mcp.names")
async def test_of_several_only_the_name_is_another_one() -> None:
    found = await two().ask("tools/list")
    assert found["tools"] == [{**STRANGE, "name": "a__x"}, tool("a__y"), tool("b__x")]
    assert found["_meta"] == {"pointsman/servers": {"a": "ok", "b": "ok"}}


async def test_a_modern_client_is_told_how_long_it_holds() -> None:
    rig = two(ttlMs=30_000)
    await rig.tools()
    rig.now += 10
    found = await rig.ask("tools/list")
    assert (found["ttlMs"], found["cacheScope"]) == (20_000, "private")


async def test_a_legacy_client_is_not() -> None:
    found = await two(ttlMs=30_000).ask("tools/list", asking=Someone(legacy()))
    assert not found.keys() & {"ttlMs", "cacheScope"}


@pytest.mark.requirement("mcp.partial")
async def test_a_list_in_which_a_server_is_missing_holds_for_a_moment() -> None:
    rig = two()
    rig.by_id["b"].failure = UpstreamUnreachable("gone")
    found = await rig.ask("tools/list")
    assert found["ttlMs"] == FAILED_TTL_MS
    assert [one["name"] for one in found["tools"]] == ["a__x", "a__y"]
    assert found["_meta"]["pointsman/servers"]["b"] == "unreachable"


@pytest.mark.parametrize(("name", "expected"), [("", "public"), ("key:a", "private")])
async def test_what_is_the_same_for_all_may_be_kept_for_all_where_nobody_has_a_key(name: str, expected: str) -> None:
    rig = Rig((server("a", allow_all_keys=True), Pretending({"tools": []})))
    rig.by_id["a"].page = {"cacheScope": "public"}
    found = await rig.ask("tools/list", scope=only("a"), asking=rig.someone(Caller(name=name)))
    assert found["cacheScope"] == expected


async def test_a_server_without_prompts_has_no_such_method() -> None:
    rig = Rig((server("a"), Pretending({}, capabilities={"tools": {}})))
    with pytest.raises(RpcError) as caught:
        await rig.ask("prompts/list", scope=only("a"))
    assert caught.value.code == -32601
    assert (await rig.ask("prompts/list"))["prompts"] == []


async def test_whoever_may_use_nothing_sees_nothing() -> None:
    rig = two()
    assert await rig.tools(asking=rig.someone(nobody())) == []


def endless(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(catalog_of, "MAX_ITEMS", 1)
    rig = two()
    rig.by_id["a"].pages = {None: ([tool("1")], "a2"), "a2": ([tool("2")], "a3"), "a3": ([tool("3")], None)}
    rig.by_id["b"].pages = {None: ([tool("1")], "b2"), "b2": ([tool("2")], None)}
    return rig


@pytest.mark.parametrize("of_one", [False, True])
@pytest.mark.requirement("mcp.cursors")
async def test_long_lists_are_read_on_server_by_server(monkeypatch: pytest.MonkeyPatch, of_one: bool) -> None:
    rig = endless(monkeypatch)
    scope = only("a") if of_one else ANY
    names, cursor = [], None
    for _ in range(10):
        found = await rig.ask("tools/list", None if cursor is None else {"cursor": cursor}, scope=scope)
        names += [one["name"] for one in found["tools"]]
        cursor = found.get("nextCursor")
        if cursor is None:
            break
    assert names == (["1", "2", "3"] if of_one else ["a__1", "b__1", "a__2", "a__3", "b__2"])


@pytest.mark.parametrize("cursor", ["made up", 7, "eyJjIjogIngifQ=="])
async def test_a_cursor_that_was_made_up_is_refused(cursor: Any) -> None:
    for scope in (only("a"), ANY):
        with pytest.raises(RpcError) as caught:
            await two().ask("tools/list", {"cursor": cursor}, scope=scope)
        assert caught.value.code == -32602


@pytest.mark.requirement("mcp.cursors")
async def test_a_cursor_does_not_lead_to_a_server_that_the_caller_may_not_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = endless(monkeypatch)
    cursor = (await rig.ask("tools/list"))["nextCursor"]
    with pytest.raises(RpcError):
        await rig.ask("tools/list", {"cursor": cursor}, asking=rig.someone(nobody()))
