from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec import Raw
from unit.mcp.peers import Talker, Wire, until

from pointsman.errors import SessionLost, UpstreamBroken, UpstreamRejected, UpstreamTimeout
from pointsman.mcp.base import Interest, Sink
from pointsman.mcp.protocol.revisions import CAPABILITIES, HEADER_MISMATCH, INFO, LOG_LEVEL, SUBSCRIPTION, VERSION
from pointsman.mcp.servers import modern
from pointsman.mcp.servers.modern import ACKNOWLEDGED, ModernServer
from pointsman.mcp.servers.profile import Profile
from pointsman.mcp.servers.watchers import PROMPTS, TOOLS, UPDATED
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import Message, RpcError, notification, raw

DISCOVERED = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}},
}
TOOL = {"name": "t", "inputSchema": {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}}
Reply = Mapping[str, Any] | Exception | None
Doing = Callable[[Message, Sink], Reply]


def doing(**others: Doing) -> Doing:
    """A server that does something special with some methods, and says ``{}`` to all others."""

    def react(message: Message, tell: Sink) -> Reply:
        if message.method == "server/discover":
            return DISCOVERED
        found = others.get(message.method.replace("/", "_"))
        return {} if found is None else found(message, tell)

    return react


def server(tasks: Tasks, wire: Wire, **profile: Any) -> ModernServer:
    fields: dict[str, Any] = {"name": "a", "info": {"name": "gateway"}}
    return ModernServer(wire, Profile(**fields | profile), tasks)


async def call(server: ModernServer, asking: Talker, method: str = "tools/call", **params: Any) -> bytes:
    return bytes(await server.call(method, raw(params), asking, 1e9))


async def test_a_server_is_discovered_once(tasks: Tasks) -> None:
    wire = Wire(doing())
    found = server(tasks, wire)
    introduced, again = await asyncio.gather(found.introduce(), found.introduce())
    assert introduced is again is found.introduction
    assert wire.methods == ["server/discover"]
    assert wire.requests[0].read()["_meta"] == {
        VERSION: "2026-07-28",
        INFO: {"name": "gateway"},
        CAPABILITIES: {},
    }
    assert wire.headers[0] == {"mcp-protocol-version": "2026-07-28", "mcp-method": "server/discover"}
    await found.close()
    assert wire.is_closed


async def test_a_server_that_discovers_only_older_revisions_is_none_of_this_era(tasks: Tasks) -> None:
    with pytest.raises(RpcError, match="no revision without sessions"):
        await server(tasks, Wire(lambda *_: {"supportedVersions": ["2025-11-25"]})).introduce()


async def test_every_request_says_who_asks(tasks: Tasks) -> None:
    wire = Wire(doing())
    talker = Talker(
        "modern",
        info={"name": "c"},
        capabilities={"roots": {}},
        log_level="error",
        headers={b"x-team": b"a"},
    )
    params = Raw(b'{"name":"t","arguments":{"x":  1e2},"_meta":{"vendor":1}}')
    await server(tasks, wire, forward=("x-team",)).call("tools/call", params, talker, 1e9)
    assert bytes(wire.requests[-1].params) == (
        b'{"name":"t","arguments":{"x":  1e2},"_meta":{"vendor":1,'
        b'"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        b'"io.modelcontextprotocol/clientInfo":{"name":"c"},'
        b'"io.modelcontextprotocol/clientCapabilities":{"roots":{}},'
        b'"io.modelcontextprotocol/logLevel":"error"}}'
    )
    assert wire.headers[-1] == {
        "x-team": "a",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "t",
    }


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("resources/read", {"uri": "file:///ä"}, "=?base64?ZmlsZTovLy/DpA==?="),
        ("prompts/get", {"name": "p"}, "p"),
        ("tools/list", {"name": "p"}, None),
    ],
)
async def test_names_stand_in_a_header(tasks: Tasks, method: str, params: dict[str, str], name: str | None) -> None:
    wire = Wire(doing())
    await call(server(tasks, wire), Talker(), method, **params)
    assert wire.headers[-1].get("mcp-name") == name


@pytest.mark.parametrize(
    ("talker", "level"),
    [
        (Talker("modern"), None),
        (Talker("legacy"), "info"),
        (Talker("legacy", log_level="debug"), "debug"),
    ],
)
async def test_clients_of_an_era_with_unasked_log_messages_get_some(
    tasks: Tasks, talker: Talker, level: str | None
) -> None:
    wire = Wire(doing())
    await call(server(tasks, wire), talker)
    assert wire.requests[-1].read()["_meta"].get(LOG_LEVEL) == level


@pytest.mark.requirement("mcp.param-headers")
async def test_arguments_stand_in_headers_once_their_tool_was_listed_on_whichever_connection(tasks: Tasks) -> None:
    tools: list[Any] = [TOOL, {"name": "b", "inputSchema": {"x-mcp-header": "A"}}, 5]
    wire = Wire(doing(tools_list=lambda *_: {"tools": tools}))
    mirrors: dict[str, Any] = {}
    await call(server(tasks, wire, mirrors=mirrors), Talker(), "tools/list")
    await call(server(tasks, wire, mirrors=mirrors), Talker(), name="t", arguments={"region": "west"})
    assert wire.headers[-1]["Mcp-Param-Region"] == "west"
    assert list(mirrors) == ["t"]


async def test_a_tool_that_wants_no_headers_any_more_gets_none(tasks: Tasks) -> None:
    tools = [TOOL, {"name": "t", "inputSchema": {}}]
    wire = Wire(doing(tools_list=lambda *_: {"tools": [tools.pop(0)]}))
    found = server(tasks, wire)
    for _ in range(2):
        await call(found, Talker(), "tools/list")
    await call(found, Talker(), name="t", arguments={"region": "west"})
    assert "Mcp-Param-Region" not in wire.headers[-1]


@pytest.mark.requirement("mcp.param-headers")
async def test_a_server_that_misses_headers_is_asked_which_it_wants(tasks: Tasks) -> None:
    pages: list[Reply] = [{"tools": [TOOL]}, {"tools": [], "nextCursor": "2"}]
    replies: list[Reply] = [{"ok": 1}, RpcError(HEADER_MISMATCH, "missing")]
    wire = Wire(
        doing(
            tools_list=lambda *_: pages.pop(),
            tools_call=lambda *_: replies.pop(),
        )
    )
    assert await call(server(tasks, wire), Talker(), name="t", arguments={"region": "west"}) == b'{"ok":1}'
    assert wire.methods == ["server/discover", "tools/call", "tools/list", "tools/list", "tools/call"]
    assert wire.requests[3].read()["cursor"] == "2"
    assert wire.headers[-1]["Mcp-Param-Region"] == "west"


async def test_over_stdio_there_are_no_headers(tasks: Tasks) -> None:
    wire = Wire(doing(tools_list=lambda *_: {"tools": [TOOL]}))
    found = server(tasks, wire, has_headers=False)
    await call(found, Talker(), "tools/list")
    await call(found, Talker(), name="t", arguments={"region": "west"})
    assert wire.headers == [{}, {}, {}]


async def test_what_the_other_era_has_is_answered_here(tasks: Tasks) -> None:
    wire = Wire(doing())
    found = server(tasks, wire)
    assert await call(found, Talker(), "ping") == b"{}"
    assert await call(found, Talker(), "logging/setLevel", level="info") == b"{}"
    await found.notify("notifications/roots/list_changed", Raw(b""))
    assert wire.requests == wire.posts == []


# Questions.

ASKED = {
    "resultType": "input_required",
    "inputRequests": {
        "one": {"method": "elicitation/create", "params": {"message": "?"}},
        "two": {"method": "roots/list"},
    },
    "requestState": "sealed",
}


async def test_a_legacy_client_is_asked_and_the_request_made_again(tasks: Tasks) -> None:
    replies: list[Reply] = [
        {"resultType": "complete", "content": []},
        {"resultType": "input_required", "requestState": "2"},
        ASKED,
    ]
    wire = Wire(doing(tools_call=lambda *_: replies.pop()))
    talker = Talker(answers={"elicitation/create": {"action": "accept"}, "roots/list": {"roots": []}})
    assert b"complete" in await call(server(tasks, wire), talker, name="t", arguments={"a": 1})
    assert talker.asked == [("elicitation/create", b'{"message":"?"}'), ("roots/list", b"")]
    first, second, third = (one.read() for one in wire.requests[1:])
    assert second["inputResponses"] == {"one": {"action": "accept"}, "two": {"roots": []}}
    assert second["requestState"] == "sealed"
    assert "inputResponses" not in third
    assert third["requestState"] == "2"
    assert first["arguments"] == second["arguments"] == third["arguments"] == {"a": 1}
    assert len({one.id for one in wire.requests}) == 4


async def test_a_modern_client_is_given_the_question(tasks: Tasks) -> None:
    wire = Wire(doing(tools_call=lambda *_: ASKED))
    talker = Talker("modern")
    assert b'"requestState":"sealed"' in await call(server(tasks, wire), talker)
    assert talker.asked == []


async def test_a_client_that_refuses_ends_the_call(tasks: Tasks) -> None:
    wire = Wire(doing(tools_call=lambda *_: ASKED))
    with pytest.raises(RpcError, match="User rejected"):
        await call(server(tasks, wire), Talker(answers={"elicitation/create": RpcError(-1, "User rejected")}))


async def test_a_server_cannot_ask_for_ever_or_for_too_much(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modern, "MAX_ROUNDS", 3)
    wire = Wire(doing(tools_call=lambda *_: {"resultType": "input_required", "requestState": "x"}))
    with pytest.raises(UpstreamBroken, match="too many times"):
        await call(server(tasks, wire), Talker())
    assert wire.methods.count("tools/call") == 3
    many = {str(n): {"method": "roots/list"} for n in range(17)}
    wire = Wire(doing(tools_call=lambda *_: {"resultType": "input_required", "inputRequests": many}))
    with pytest.raises(UpstreamBroken, match="too many things"):
        await call(server(tasks, wire), Talker())


@pytest.mark.parametrize("result", [{"text": "input_required"}, {"resultType": "input_required", "inputRequests": 1}])
async def test_what_only_looks_like_a_question_is_a_result(tasks: Tasks, result: dict[str, Any]) -> None:
    wire = Wire(doing(tools_call=lambda *_: result))
    assert await call(server(tasks, wire), Talker()) == bytes(raw(result))


# What a server tells.


async def test_progress_and_log_messages_reach_the_client(tasks: Tasks) -> None:
    def react(message: Message, tell: Sink) -> Reply:
        token = message.read()["_meta"]["progressToken"]
        tell(notification("notifications/progress", {"progressToken": token}))
        tell(notification("notifications/message", {"data": 1}))
        tell(notification(TOOLS))
        return {}

    talker = Talker("modern")
    await call(server(tasks, Wire(doing(tools_call=react))), talker, _meta={"progressToken": "t"})
    assert [one.method for one in talker.told] == ["notifications/progress", "notifications/message", TOOLS]
    assert talker.told[0].read() == {"progressToken": "t"}


@pytest.mark.parametrize("has_headers", [True, False])
async def test_over_stdio_a_server_is_told_that_nobody_waits(tasks: Tasks, has_headers: bool) -> None:
    wire = Wire(doing(tools_call=lambda *_: UpstreamTimeout()))
    with pytest.raises(UpstreamTimeout):
        await call(server(tasks, wire, has_headers=has_headers), Talker())
    await until(lambda: len(tasks) == 0)
    assert [one.method for one in wire.posts] == ([] if has_headers else ["notifications/cancelled"])


class Listening:
    """A server with streams of changes."""

    def __init__(self) -> None:
        self.streams: list[tuple[dict[str, Any], Sink]] = []
        self.failures: list[Exception] = []

    def __call__(self, message: Message, tell: Sink) -> Reply:
        if self.failures:
            return self.failures.pop(0)
        self.streams.append((message.read()["notifications"], tell))
        tell(notification(ACKNOWLEDGED, {"_meta": {SUBSCRIPTION: message.id}}))
        return None


async def test_all_who_watch_share_one_stream_and_a_wider_one_takes_its_place(tasks: Tasks) -> None:
    listening = Listening()
    wire = Wire(doing(subscriptions_listen=listening))
    found = server(tasks, wire)
    heard: list[Message] = []
    found.watch(Interest(tools=True, prompts=True), heard.append)
    await until(lambda: len(listening.streams) == 1)
    found.watch(Interest(tools=True), heard.append)
    found.watch(Interest(uris=frozenset({"a"})), heard.append)
    await until(lambda: len(listening.streams) == 2 and len(tasks) == 1)
    # The server has no news of prompts.
    assert [one[0] for one in listening.streams] == [
        {"toolsListChanged": True},
        {"toolsListChanged": True, "resourceSubscriptions": ["a"]},
    ]
    tell = listening.streams[1][1]
    tell(notification(TOOLS, {"_meta": {SUBSCRIPTION: 3}}))
    tell(notification(UPDATED, {"uri": "a", "_meta": {SUBSCRIPTION: 3, "x": 1}}))
    tell(notification(PROMPTS))
    assert heard[:2] == [notification(TOOLS)] * 2
    assert heard[2].read() == {"uri": "a", "_meta": {"x": 1}}
    assert [one.method for one in heard[3:]] == [PROMPTS]


async def test_the_stream_ends_when_nobody_watches(tasks: Tasks) -> None:
    listening = Listening()
    found = server(tasks, Wire(doing(subscriptions_listen=listening)))
    watches = [found.watch(Interest(tools=True), _nothing) for _ in range(2)]
    await until(lambda: listening.streams)
    watches[0].close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(tasks) == 1
    watches[1].close()
    await until(lambda: len(tasks) == 0)
    found.watch(Interest(tools=True), _nothing)
    await until(lambda: len(listening.streams) == 2)


async def test_streams_that_were_not_acknowledged_end_with_those_they_should_have_replaced(tasks: Tasks) -> None:
    listening = Listening()

    def react(message: Message, tell: Sink) -> Reply:
        return None if listening.streams else listening(message, tell)

    wire = Wire(doing(subscriptions_listen=react))
    found = server(tasks, wire)
    watches = [found.watch(Interest(tools=True), _nothing)]
    await until(lambda: listening.streams)
    watches.append(found.watch(Interest(uris=frozenset({"a"})), _nothing))
    await until(lambda: wire.methods.count("subscriptions/listen") == 2)
    assert len(tasks) == 2
    for one in watches:
        one.close()
    await until(lambda: len(tasks) == 0)


@pytest.mark.requirement("mcp.changes")
async def test_after_a_broken_stream_what_may_have_been_missed_is_told(tasks: Tasks) -> None:
    listening = Listening()
    listening.failures = [UpstreamBroken(), UpstreamRejected(status=503, kind="x")]
    heard: list[Message] = []
    found = server(tasks, Wire(doing(subscriptions_listen=listening)))
    found.watch(Interest(tools=True), heard.append)
    await until(lambda: listening.streams)
    assert heard == [notification(TOOLS)]


@pytest.mark.parametrize("error", [RpcError(-32601, "Method not found"), UpstreamRejected(status=405, kind="x")])
async def test_a_server_without_a_stream_is_not_asked_again(tasks: Tasks, error: Exception) -> None:
    wire = Wire(doing(subscriptions_listen=lambda *_: error))
    server(tasks, wire).watch(Interest(tools=True), _nothing)
    await until(lambda: len(tasks) == 0 and len(wire.requests) == 2)


async def test_a_server_without_changes_is_not_listened_to(tasks: Tasks) -> None:
    wire = Wire(doing())
    server(tasks, wire).watch(Interest(prompts=True), _nothing)
    await until(lambda: wire.requests and len(tasks) == 0)
    assert wire.methods == ["server/discover"]


async def test_closing_ends_the_stream(tasks: Tasks) -> None:
    listening = Listening()
    found = server(tasks, Wire(doing(subscriptions_listen=listening)))
    found.watch(Interest(tools=True), _nothing)
    await until(lambda: listening.streams)
    await found.close()
    await until(lambda: len(tasks) == 0)


def _nothing(_message: Message) -> None:
    return None


async def test_a_process_that_has_ended_is_asked_what_it_is_and_the_call_is_made_again(tasks: Tasks) -> None:
    lost = [False, True]
    wire = Wire(doing(tools_call=lambda *_: SessionLost() if lost.pop() else {"again": True}))
    found = server(tasks, wire, has_headers=False)
    first = await found.introduce()
    assert await call(found, Talker()) == b'{"again":true}'
    assert wire.methods == ["server/discover", "tools/call", "server/discover", "tools/call"]
    assert found.introduction is not first


async def test_a_call_is_not_made_a_third_time(tasks: Tasks) -> None:
    wire = Wire(doing(tools_call=lambda *_: SessionLost()))
    with pytest.raises(SessionLost):
        await call(server(tasks, wire, has_headers=False), Talker())
    assert wire.methods.count("tools/call") == 2


async def test_calls_that_meet_an_end_together_ask_once_what_the_next_process_is(tasks: Tasks) -> None:
    lost = [False, False, True, True]
    wire = Wire(doing(tools_call=lambda *_: SessionLost() if lost.pop() else {}))
    found = server(tasks, wire, has_headers=False)
    await asyncio.gather(call(found, Talker()), call(found, Talker()))
    assert wire.methods.count("server/discover") == 2


async def test_a_watch_is_ready_when_the_server_has_acknowledged_it(tasks: Tasks) -> None:
    listening = Listening()
    found = server(tasks, Wire(doing(subscriptions_listen=listening)))
    await asyncio.wait_for(found.watch(Interest(tools=True), _nothing).ready(), 1)
    await asyncio.wait_for(found.watch(Interest(tools=True), _nothing).ready(), 1)
    assert len(listening.streams) == 1
    await asyncio.wait_for(found.watch(Interest(uris=frozenset({"a"})), _nothing).ready(), 1)
    assert len(listening.streams) == 2
    await found.close()


@pytest.mark.parametrize("refusal", [RpcError(-32601, "no"), UpstreamRejected(status=404, kind="x")])
async def test_a_server_that_tells_of_nothing_is_not_waited_for(tasks: Tasks, refusal: Exception) -> None:
    found = server(tasks, Wire(doing(subscriptions_listen=lambda *_: refusal)))
    await asyncio.wait_for(found.watch(Interest(tools=True), _nothing).ready(), 1)
    await asyncio.wait_for(server(tasks, Wire(doing())).watch(Interest(prompts=True), _nothing).ready(), 1)
