from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from unit.mcp.pretending import ALL, ANY, Pretending, Rig, Someone, caller, client, legacy, nobody, only, server, tool

from pointsman.errors import SignInNeeded, Unseen, UpstreamUnreachable
from pointsman.mcp.base import Scope
from pointsman.mcp.settings import AuthSettings, Limits
from pointsman.wire.jsonrpc import RpcError, raw

SESSIONS = {"era": "legacy", "revision": "2025-11-25", "has_session": True}
ANYTHING = {name: {"listChanged": True} for name in ("tools", "prompts", "resources")}
"""What is said where more may come."""


def rig_of(**settings: Any) -> Rig:
    a = Pretending({"tools": [tool("x")]}, capabilities={"tools": {}}, instructions="Use x.")
    b = Pretending({"tools": [tool("y")], "prompts": [{"name": "p"}]}, capabilities={"tools": {}, "prompts": {}})
    return Rig((server("a", access_groups=("dev",)), a), (server("b"), b), **settings)


@pytest.mark.parametrize(
    ("path", "header", "expected"),
    [
        (None, None, ANY),
        ("a", None, only("a")),
        ("a", "b", only("a")),
        ("a,b", None, Scope(("a", "b"))),
        ("a, b ,a", None, Scope(("a", "b"))),
        (None, "b", Scope(("b",))),
        (None, "dev", Scope(("a",))),
        (None, "dev,b,a", Scope(("a", "b"))),
    ],
)
async def test_paths_and_headers_say_which_servers(path: str | None, header: str | None, expected: Scope) -> None:
    scope = rig_of().gateway.scope(caller(), path, header)
    assert (set(scope.servers or ()), scope.is_single) == (set(expected.servers or ()), expected.is_single)


@pytest.mark.parametrize(("path", "header"), [("c", None), ("a,c", None), (None, "c"), ("dev", None)])
async def test_one_that_is_not_there_is_not_found(path: str | None, header: str | None) -> None:
    with pytest.raises(Unseen):
        rig_of().gateway.scope(caller(), path, header)


@pytest.mark.parametrize(("path", "header"), [("a", None), ("a,b", None), (None, "a"), (None, "dev")])
@pytest.mark.requirement("mcp.audit")
async def test_one_that_the_caller_may_not_use_is_not_there(
    path: str | None, header: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = rig_of().gateway
    caplog.set_level(logging.INFO, "pointsman.mcp.calls")
    with pytest.raises(Unseen) as forbidden:
        gateway.scope(nobody(), path, header)
    assert "may not use the server" in vars(caplog.records[0])["outcome"]
    with pytest.raises(Unseen) as unknown:
        gateway.scope(caller(), (path or header or "").replace("a", "c").replace("dev", "c"), None)
    assert type(forbidden.value) is type(unknown.value)


async def test_of_one_server_its_own_words_are_told() -> None:
    rig = rig_of()
    assert await rig.gateway.introduce(only("a"), client()) is rig.by_id["a"].said


async def test_several_are_told_of_as_one() -> None:
    said = await rig_of().gateway.introduce(ANY, client())
    assert said.capabilities == {"tools": {"listChanged": True}, "prompts": {"listChanged": True}}
    assert said.instructions == "a: Use x."
    assert (said.info["name"], said.era) == ("pointsman", "modern")
    assert msgspec.json.decode(said.raw)["capabilities"] == said.capabilities


async def test_what_cannot_be_reached_does_not_keep_the_others_from_being_told_of() -> None:
    rig = rig_of()
    rig.by_id["b"].failure = UpstreamUnreachable("gone")
    assert (await rig.gateway.introduce(ANY, client())).capabilities == ANYTHING
    with pytest.raises(UpstreamUnreachable):
        await rig.gateway.introduce(only("b"), client())


async def test_a_server_that_hangs_delays_an_introduction_by_so_much_and_no_more() -> None:
    rig = rig_of(limits=Limits(list_seconds=0.001))
    rig.by_id["b"].gate = asyncio.Event()
    said = await asyncio.wait_for(rig.gateway.introduce(ANY, client()), 5)
    assert "tools" in said.capabilities


async def test_whoever_may_use_nothing_is_told_of_nothing() -> None:
    said = await rig_of().gateway.introduce(ANY, client(nobody()))
    assert said.capabilities == ANYTHING


async def test_a_log_level_can_be_set_where_somebody_logs() -> None:
    rig = Rig(
        (server("a"), Pretending({"tools": []}, capabilities=ALL)), (server("b"), Pretending({}, capabilities={}))
    )
    asking = Someone(legacy())
    assert await rig.ask("logging/setLevel", {"level": "info"}, asking=asking) == {}
    assert await rig.ask("logging/setLevel", {"level": "info"}, scope=only("a"), asking=asking) == {}
    with pytest.raises(RpcError) as caught:
        await rig.ask("logging/setLevel", {"level": "info"}, scope=only("b"), asking=asking)
    assert caught.value.code == -32601


async def test_what_a_client_announces_goes_to_its_own_sessions() -> None:
    rig = Rig(
        (server("a"), Pretending({"tools": [tool("x")]}, **SESSIONS)),
        (server("b"), Pretending({"tools": [tool("x")]})),
    )
    await rig.ask("tools/call", {"name": "a__x"}, asking=Someone(legacy()))
    await rig.ask("tools/call", {"name": "b__x"}, asking=Someone(legacy()))
    await rig.gateway.notify(ANY, legacy(), "notifications/roots/list_changed", raw(None))
    assert [far.told for far in rig.others] == [["notifications/roots/list_changed"]]
    await rig.gateway.notify(ANY, client(), "notifications/roots/list_changed", raw(None))
    assert sum(len(far.told) for far in (*rig.others, *rig.by_id.values())) == 1


async def test_the_end_of_a_session_ends_that_at_the_server() -> None:
    rig = Rig((server("a"), Pretending({"tools": [tool("x")]}, **SESSIONS)))
    await rig.ask("tools/call", {"name": "a__x"}, asking=Someone(legacy()))
    await rig.gateway.end(legacy())
    await rig.tasks.settle(1)
    assert [far.is_closed for far in (rig.by_id["a"], *rig.others)] == [False, True]


@pytest.mark.requirement("mcp.reload")
async def test_other_settings_are_used_from_the_next_request_on() -> None:
    rig = rig_of()
    assert await rig.tools() == ["a__x", "b__y"]
    rig.registry.put(server("b", prefix="bee"))
    assert await rig.tools() == ["bee__y"]
    await rig.tasks.settle(1)
    assert all(far.is_closed for far in rig.by_id.values())


async def test_connections_can_be_made_anew() -> None:
    rig = rig_of()
    await rig.tools()
    rig.gateway.renew()
    await rig.tools()
    assert [name for name, _, _ in rig.made] == ["a", "b", "a", "b"]


PERSONAL = AuthSettings(kind="oauth2", grant="authorization_code")
LINK = "https://gate.example/mcp/oauth/start"


def needed(comes: bool) -> SignInNeeded:
    async def arrived(_patience: float) -> bool:
        return comes

    return SignInNeeded(link=LINK, arrived=arrived)


@pytest.mark.requirement("mcp.sign-in")
@pytest.mark.parametrize(
    ("action", "comes", "is_called"), [("accept", True, 2), ("accept", False, 1), ("decline", 1, 1)]
)
async def test_a_call_goes_on_when_its_user_has_signed_in(action: str, comes: bool, is_called: int) -> None:
    rig = rig_of()
    b = rig.by_id["b"]
    asking = Someone(client(capabilities={"elicitation": {"url": {}}}))

    async def reply() -> dict[str, Any]:
        b.answers["tools/call"] = {"content": []}
        return {"action": action}

    asking.reply, b.answers["tools/call"] = reply, needed(comes)
    call = rig.gateway.call(only("b"), "tools/call", raw({"name": "y"}), asking)
    if is_called == 2:
        assert msgspec.json.decode(await call) == {"content": []}
    else:
        with pytest.raises(SignInNeeded):
            await call
    assert b.count("tools/call") == is_called


async def test_a_list_does_not_wait_for_a_user() -> None:
    rig = rig_of()
    rig.by_id["b"].failure = needed(comes=True)
    with pytest.raises(SignInNeeded):
        await rig.gateway.call(
            only("b"), "tools/list", raw({}), Someone(client(capabilities={"elicitation": {"url": {}}}))
        )


@pytest.mark.requirement("mcp.sign-in")
async def test_each_client_gets_a_link_to_where_it_has_found_the_gateway() -> None:
    rig = rig_of()
    rig.by_id["b"].failure = SignInNeeded("Sign in: /start?x", link="/start?x")

    async def link_at(host: bytes) -> str:
        for_rest = rig.gateway.quiet(caller("key:b"), "", {b"host": host, b"authorization": b"canary"})
        assert b"authorization" not in for_rest.client.headers
        with pytest.raises(SignInNeeded) as caught:
            await rig.gateway.introduce(only("b"), for_rest.client)
        with pytest.raises(SignInNeeded) as again:
            await rig.gateway.call(only("b"), "tools/list", raw({}), for_rest)
        assert again.value.link == caught.value.link
        return caught.value.link

    assert await link_at(b"one.example") == "http://one.example/start?x"
    assert await link_at(b"two.example") == "http://two.example/start?x"


async def test_what_failed_before_a_caller_signed_in_is_tried_again_at_once() -> None:
    far = Pretending({"tools": [tool("x")]}, capabilities={"tools": {}})
    rig = Rig((server("a", auth=PERSONAL), far))
    far.failure = UpstreamUnreachable()
    assert await rig.tools() == []
    far.failure = None
    assert await rig.tools() == []
    rig.gateway.let_in("a", "key:b")
    assert await rig.tools() == []
    rig.gateway.let_in("a", "key:a")
    assert await rig.tools() == ["a__x"]


async def test_an_overview_has_what_a_caller_may_use() -> None:
    found = await rig_of().gateway.overview(caller(names=frozenset({"b"})), "tools")
    assert [(one.settings.id, one.name, one.public) for one in found] == [("b", "y", "b__y")]
    assert [one.name for one in await rig_of().gateway.overview(caller(), "prompts")] == ["p"]


async def test_an_overview_can_be_of_some_servers() -> None:
    rig = rig_of()
    found = await rig.gateway.overview(caller(), "tools", only("b"))
    assert [one.public for one in found] == ["b__y"]
    assert rig.by_id["a"].asked == []


async def test_how_a_server_is() -> None:
    rig = rig_of()
    gateway, far = rig.gateway, rig.by_id["a"]
    assert gateway.status("a").state == "starting"
    far.failure = UpstreamUnreachable("it is gone")
    await rig.tools()
    assert (gateway.status("a").state, gateway.status("a").error) == ("down", "it is gone")
    far.failure = None
    rig.now += 10
    await rig.tools()
    status = gateway.status("a")
    assert (status.state, status.revision, status.era, status.error) == ("ready", "2026-07-28", "modern", None)
    far.failure = UpstreamUnreachable("again")
    gateway.recheck()
    await rig.tools()
    assert gateway.status("a").state == "degraded"
    assert gateway.status("unknown").state == "starting"


async def test_what_is_not_shown_is_told_to_the_operator() -> None:
    rig = rig_of()
    rig.faults = {"x": "it has changed"}
    await rig.tools()
    assert rig.gateway.faults("a") == {"x": "it has changed"}
    assert rig.gateway.faults("unknown") == {}


async def test_when_it_is_closed_so_is_everything() -> None:
    rig = rig_of()
    rig.gateway.start()
    await rig.tools()
    await rig.gateway.close()
    assert all(far.is_closed for far in rig.by_id.values())
    await rig.tasks.close(1)
