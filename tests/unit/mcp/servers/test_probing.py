from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from unit.mcp.peers import Talker, Wire, until

from pointsman.errors import GatewayError, SessionLost, UpstreamBroken, UpstreamRejected, UpstreamUnreachable
from pointsman.mcp.base import Era, Interest, Sink
from pointsman.mcp.protocol.revisions import HEADER_MISMATCH, UNSUPPORTED_VERSION
from pointsman.mcp.servers.probing import Probing, may_be_other, says_modern
from pointsman.mcp.servers.profile import Profile
from pointsman.mcp.servers.watchers import TOOLS
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import Message, RpcError, notification, raw

MODERN = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": True}}}
LEGACY = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {}}
UNSUPPORTED = RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", {"supported": ["2026-07-28"]})
Reply = Mapping[str, Any] | Exception | None


def server(discover: Reply, initialize: Reply, others: Callable[[Message, Sink], Reply] | None = None) -> Wire:
    def react(message: Message, tell: Sink) -> Reply:
        if message.method == "server/discover":
            return discover
        if message.method == "initialize":
            return initialize
        return {} if others is None else others(message, tell)

    return Wire(react)


def probing(tasks: Tasks, wire: Wire, prefer: Era = "modern", **profile: Any) -> tuple[Probing, list[Era]]:
    eras: list[Era] = []
    fields: dict[str, Any] = {"name": "a", "info": {}}
    return Probing(wire, Profile(**fields | profile), tasks, prefer=prefer, on_era=eras.append), eras


def rejected(status: int) -> UpstreamRejected:
    return UpstreamRejected(status=status, kind="upstream_error")


@pytest.mark.parametrize(
    ("discover", "initialize", "methods", "era"),
    [
        (MODERN, LEGACY, ["server/discover"], "modern"),
        (RpcError(-32601, "Method not found"), LEGACY, ["server/discover", "initialize"], "legacy"),
        (RpcError(-32600, "Missing session ID"), LEGACY, ["server/discover", "initialize"], "legacy"),
        (RpcError(-32000, "Server not initialized"), LEGACY, ["server/discover", "initialize"], "legacy"),
        (rejected(400), LEGACY, ["server/discover", "initialize"], "legacy"),
        (rejected(404), LEGACY, ["server/discover", "initialize"], "legacy"),
        ({"supportedVersions": ["2025-11-25"]}, LEGACY, ["server/discover", "initialize"], "legacy"),
        ({"tools": []}, LEGACY, ["server/discover", "initialize"], "legacy"),
        (
            RpcError(UNSUPPORTED_VERSION, "no", {"supported": ["2025-11-25"]}),
            LEGACY,
            ["server/discover", "initialize"],
            "legacy",
        ),
    ],
)
@pytest.mark.requirement("mcp.eras")
async def test_a_server_is_found_out(
    tasks: Tasks, discover: Reply, initialize: Reply, methods: list[str], era: Era
) -> None:
    wire = server(discover, initialize)
    found, eras = probing(tasks, wire)
    introduced = await found.introduce()
    assert introduced.era == era
    assert introduced is found.introduction
    assert wire.methods == methods
    assert eras == [era]
    await found.close()
    assert wire.is_closed


async def test_a_server_that_was_not_reached_is_not_known(tasks: Tasks) -> None:
    assert probing(tasks, server(MODERN, LEGACY))[0].introduction is None


@pytest.mark.parametrize(
    "error", [UpstreamUnreachable(), UpstreamBroken(), rejected(401), rejected(403), rejected(429), rejected(503)]
)
@pytest.mark.requirement("mcp.eras")
async def test_an_outage_tells_nothing_of_the_era(tasks: Tasks, error: GatewayError) -> None:
    wire = server(error, LEGACY)
    found, eras = probing(tasks, wire)
    with pytest.raises(type(error)):
        await found.introduce()
    assert (wire.methods, eras) == (["server/discover"], [])


@pytest.mark.parametrize(
    "error", [RpcError(HEADER_MISMATCH, "x"), RpcError(UNSUPPORTED_VERSION, "x", {"supported": ["2099-01-01"]})]
)
async def test_an_error_that_only_modern_servers_have_is_final(tasks: Tasks, error: RpcError) -> None:
    wire = server(error, LEGACY)
    with pytest.raises(RpcError):
        await probing(tasks, wire)[0].introduce()
    assert wire.methods == ["server/discover"]


@pytest.mark.parametrize("discover", [None, SessionLost(), UpstreamBroken(), UpstreamUnreachable()])
async def test_over_stdio_a_server_that_is_silent_or_ends_is_an_older_one(tasks: Tasks, discover: Reply) -> None:
    found, eras = probing(tasks, server(discover, LEGACY), has_headers=False)
    await found.introduce()
    assert eras == ["legacy"]


async def test_a_server_that_was_only_slow_is_modern_after_all(tasks: Tasks) -> None:
    discovered: list[Reply] = [MODERN, None]
    wire = Wire(lambda message, _: discovered.pop() if message.method == "server/discover" else UNSUPPORTED)
    found, eras = probing(tasks, wire, has_headers=False)
    assert (await found.introduce()).era == "modern"
    assert (wire.methods, eras) == (["server/discover", "initialize", "server/discover"], ["modern"])


async def test_the_era_that_is_preferred_comes_first(tasks: Tasks) -> None:
    wire = server(MODERN, LEGACY)
    found, eras = probing(tasks, wire, "legacy")
    await found.introduce()
    assert (wire.methods, eras) == (["initialize"], ["legacy"])


@pytest.mark.parametrize("initialize", [UNSUPPORTED, RpcError(-32601, "x"), rejected(400), rejected(405)])
async def test_a_preferred_era_that_a_server_has_not_is_left(tasks: Tasks, initialize: Reply) -> None:
    wire = server(MODERN, initialize)
    found, eras = probing(tasks, wire, "legacy")
    await found.introduce()
    assert (wire.methods, eras) == (["initialize", "server/discover"], ["modern"])


async def test_a_server_of_neither_era_says_what_the_preferred_one_said(tasks: Tasks) -> None:
    with pytest.raises(RpcError, match="first"):
        await probing(tasks, server(rejected(404), RpcError(-32601, "first")), "legacy")[0].introduce()
    with pytest.raises(UpstreamUnreachable):
        await probing(tasks, server(MODERN, UpstreamUnreachable()), "legacy")[0].introduce()


@pytest.mark.parametrize(("revision", "method"), [("2026-07-28", "server/discover"), ("2025-06-18", "initialize")])
async def test_a_revision_that_was_set_is_not_probed(tasks: Tasks, revision: str, method: str) -> None:
    no = RpcError(-32601, "no")
    wire = server(no, no)
    with pytest.raises(RpcError):
        await probing(tasks, wire, revision=revision)[0].introduce()
    assert wire.methods == [method]


async def test_calls_and_announcements_go_to_whoever_was_found(tasks: Tasks) -> None:
    wire = server(RpcError(-32601, "x"), LEGACY)
    found, _ = probing(tasks, wire)
    await found.notify("a", raw({}))
    assert bytes(await found.call("tools/call", raw({"name": "t"}), Talker(), 1e9)) == b"{}"
    await found.notify("a", raw({}))
    assert [one.method for one in wire.posts] == ["notifications/initialized", "a"]
    assert wire.methods == ["server/discover", "initialize", "tools/call"]


async def test_a_server_that_has_become_another_is_probed_again(tasks: Tasks) -> None:
    is_new = False

    def react(message: Message, _: Sink) -> Reply:
        if message.method == "initialize":
            return UNSUPPORTED if is_new else LEGACY
        if message.method == "server/discover":
            return MODERN if is_new else RpcError(-32601, "x")
        has_meta = "_meta" in message.read()
        return {"new": True} if is_new and has_meta else UNSUPPORTED if is_new else {}

    wire = Wire(react)
    found, eras = probing(tasks, wire)
    await found.call("tools/list", raw({}), Talker(), 1e9)
    found.watch(Interest(tools=True), _nothing)
    await until(lambda: wire.hearers)
    is_new = True
    assert bytes(await found.call("tools/list", raw({}), Talker(), 1e9)) == b'{"new":true}'
    assert eras == ["legacy", "modern"]
    await until(lambda: not wire.hearers and "subscriptions/listen" in wire.methods)


async def test_an_error_of_the_server_is_not_probed(tasks: Tasks) -> None:
    wire = server(MODERN, LEGACY, lambda *_: RpcError(-32602, "x"))
    found, _ = probing(tasks, wire)
    with pytest.raises(RpcError):
        await found.call("tools/list", raw({}), Talker(), 1e9)
    assert wire.methods == ["server/discover", "tools/list"]


async def test_whoever_watches_before_a_server_was_reached_hears_of_it_then(tasks: Tasks) -> None:
    is_up = False
    legacy = server(RpcError(-32601, "x"), LEGACY)
    wire = Wire(lambda *given: legacy.react(*given) if is_up else UpstreamUnreachable())
    found, _ = probing(tasks, wire)
    heard: list[Message] = []
    one = found.watch(Interest(tools=True), heard.append)
    found.watch(Interest(tools=True), heard.append)
    await until(lambda: len(wire.requests) > 3)
    is_up = True
    await until(lambda: wire.hearers)
    found.watch(Interest(tools=True), heard.append)
    wire.hearers[0](notification(TOOLS))
    assert len(heard) == 3
    one.close()
    one.close()
    wire.hearers[0](notification(TOOLS))
    assert len(heard) == 5
    await found.close()


async def test_a_watch_is_ready_when_that_of_the_server_is(tasks: Tasks) -> None:
    wire = server(RpcError(-32601, "x"), LEGACY)
    wire.opens = False
    found, _ = probing(tasks, wire)
    waiting = asyncio.ensure_future(found.watch(Interest(tools=True), _nothing).ready())
    await until(lambda: wire.hearers)
    assert not waiting.done()
    wire.open()
    await asyncio.wait_for(waiting, 1)
    await found.close()


@pytest.mark.parametrize("error", [rejected(404), RpcError(-1, "no")])
async def test_a_server_that_refuses_is_not_tried_for_ever(tasks: Tasks, error: Exception) -> None:
    wire = Wire(lambda *_: error)
    probing(tasks, wire)[0].watch(Interest(tools=True), _nothing)
    await until(lambda: wire.requests and len(tasks) == 0)


async def test_closing_ends_the_waiting_for_a_server(tasks: Tasks) -> None:
    found, _ = probing(tasks, Wire(lambda *_: UpstreamUnreachable()))
    found.watch(Interest(tools=True), _nothing)
    await asyncio.sleep(0)
    await found.close()
    await until(lambda: len(tasks) == 0)


def test_few_errors_are_those_of_modern_servers() -> None:
    assert says_modern(UNSUPPORTED)
    assert not says_modern(RpcError(UNSUPPORTED_VERSION, "x"))
    assert not says_modern(RpcError(UNSUPPORTED_VERSION, "x", {"supported": "2026-07-28"}))
    assert not may_be_other(UpstreamBroken(), has_headers=True)


def _nothing(_message: Message) -> None:
    return None
