from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from pointsman.errors import UpstreamUnreachable
from pointsman.mcp.base import Asking
from pointsman.mcp.settings import Limits
from pointsman.wire.jsonrpc import Message, RpcError

ELICIT = Raw(b'{"message":"name?"}')


def note(method: str, **params: Any) -> Message:
    return Message(jsonrpc="2.0", method=method, params=Raw(msgspec.json.encode(params)))


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [("2025-11-25", "2025-11-25"), ("2025-03-26", "2025-03-26"), ("2026-07-28", "2025-11-25"), ("x", "2025-11-25")],
)
async def test_a_session_begins_with_what_the_server_is_and_the_revision_that_is_spoken(
    bench: Any, asked: str, spoken: str
) -> None:
    params = {"protocolVersion": asked, "capabilities": {"roots": {}}, "clientInfo": {"name": "old"}}
    reply = await bench.post({"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": params})
    assert reply.json == {
        "jsonrpc": "2.0",
        "id": "i",
        "result": {
            "protocolVersion": spoken,
            "capabilities": bench.gateway.introduction.capabilities,
            "serverInfo": {"name": "fake", "version": "2", "x": 1},
            "vendor": [1],
            "instructions": "be kind",
        },
    }
    session = reply.headers["mcp-session-id"]
    assert session.isascii()
    assert session.isprintable()
    assert (await bench.legacy(session, "tools/list")).status == 200
    client = bench.gateway.clients[-1]
    assert (client.era, client.revision, client.capabilities) == ("legacy", spoken, {"roots": {}})
    assert client.session == bench.gateway.clients[0].session != ""


async def test_a_session_begins_with_nothing_where_the_server_cannot_be_reached(bench: Any) -> None:
    async def introduce(*_: Any) -> None:
        raise UpstreamUnreachable

    bench.gateway.introduce = introduce
    reply = await bench.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}})
    assert (reply.status, reply.json["error"]["code"]) == (200, 502)
    assert "mcp-session-id" not in reply.headers


async def test_what_is_asked_goes_through_as_it_is(bench: Any) -> None:
    session = await bench.initialize()
    params = {"name": "add", "_meta": {"progressToken": 1, "io.modelcontextprotocol/related-task": {"taskId": "x"}}}
    reply = await bench.legacy(session, "tools/call", params)
    assert bench.gateway.calls == [("tools/call", params)]
    assert reply.json["result"] == {"method": "tools/call", "params": params}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"mcp-session-id": "invented"}, 404),
        ({"mcp-session-id": "invented.é"}, 404),
        ({"mcp-session-id": ""}, 404),
    ],
)
async def test_a_request_needs_a_session(bench: Any, headers: dict[str, str], status: int) -> None:
    reply = await bench.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers)
    assert (reply.status, reply.json["id"]) == (status, 1)
    assert bench.gateway.calls == []


async def test_a_session_is_its_callers_and_has_an_end(bench: Any) -> None:
    session = await bench.initialize()
    assert (await bench.legacy(session, "ping", caller="key:2")).status == 404
    assert (await bench.legacy(session[:-1] + ("A" if session[-1] != "A" else "B"), "ping")).status == 404
    bench.clock[0] += 31 * 86_400
    assert (await bench.legacy(session, "ping")).status == 404


async def test_a_session_goes_on_in_another_process(bench: Any) -> None:
    session = await bench.initialize()
    bench.fronts.close()
    bench.fronts = bench.make()
    assert (await bench.legacy(session, "tools/list")).status == 200


async def test_a_session_that_rests_costs_nothing(bench: Any) -> None:
    for _ in range(3):
        session = await bench.initialize()
        await bench.legacy(session, "tools/list")
    assert len(bench.fronts._legacy.sessions) == 0


async def test_a_session_can_be_ended_once(bench: Any) -> None:
    session = await bench.initialize()
    request, reply = bench.request(headers={"mcp-session-id": session, "content-type": None})
    await bench.fronts.delete(request)
    assert (reply.status, reply.body) == (204, b"")
    assert bench.gateway.ended == [bench.gateway.clients[0].session]
    assert (await bench.legacy(session, "tools/list")).status == 404
    request, reply = bench.request(headers={"mcp-session-id": session})
    await bench.fronts.delete(request)
    assert reply.status == 404


async def test_a_revision_that_has_no_sessions_cannot_be_named_in_one(bench: Any) -> None:
    session = await bench.initialize()
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {"mcp-session-id": session, "mcp-protocol-version": "2024-99-99"}
    assert (await bench.post(body, headers=headers)).status == 400
    headers = {"mcp-session-id": session, "mcp-protocol-version": "2025-06-18"}
    assert (await bench.post(body, headers=headers)).json["result"] == {}


async def test_what_a_revision_does_not_have_yet_is_no_method(bench: Any) -> None:
    session = await bench.initialize()
    for method in ("server/discover", "subscriptions/listen"):
        assert (await bench.legacy(session, method)).json["error"]["code"] == -32601
    assert (await bench.legacy(session, "ping")).json["result"] == {}
    assert bench.gateway.calls == []


async def test_a_failure_of_a_server_is_an_answer(bench: Any) -> None:
    async def fail(*_: Any) -> None:
        raise RpcError(-32601, "no such method", {"x": 1})

    bench.gateway.calling = fail
    reply = await bench.legacy(await bench.initialize(), "tools/call", {"name": "add"})
    assert (reply.status, reply.json["error"]) == (200, {"code": -32601, "message": "no such method", "data": {"x": 1}})


async def test_notifications_are_passed_on_and_the_first_one_is_not(bench: Any) -> None:
    session = await bench.initialize()
    for method in ("notifications/initialized", "notifications/roots/list_changed"):
        reply = await bench.post({"jsonrpc": "2.0", "method": method}, headers={"mcp-session-id": session})
        assert (reply.status, reply.body) == (202, b"")
    assert bench.gateway.notes == [("notifications/roots/list_changed", None)]


# -- what is asked of the client ----------------------------------------------------------------------------------


async def test_a_server_asks_on_the_reply_and_the_client_answers_by_a_request_of_its_own(bench: Any) -> None:
    async def call(_method: str, _params: Raw, asking: Asking) -> Any:
        asking.tell(note("notifications/progress", progress=1))
        return {"got": await asking.ask("elicitation/create", ELICIT)}

    bench.gateway.calling = call
    session = await bench.initialize({"elicitation": {}})
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add"}}
    task, reply = await bench.run(bench.fronts.post, message=message, headers={"mcp-session-id": session})
    asked = (await reply.until(2))[1]
    assert (asked["method"], asked["params"]) == ("elicitation/create", {"message": "name?"})
    answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept", "z": 1}}
    other = await bench.initialize({"elicitation": {}})
    assert (await bench.post(answer, headers={"mcp-session-id": other})).status == 202
    assert not task.done()
    assert (await bench.post(answer, headers={"mcp-session-id": session})).status == 202
    await asyncio.wait([task], timeout=5)
    assert reply.messages[-1]["result"] == {"got": {"action": "accept", "z": 1}}
    assert (await bench.post(answer, headers={"mcp-session-id": session})).status == 202
    assert len(bench.fronts._legacy.sessions) == 0


async def test_a_client_may_say_no(bench: Any) -> None:
    async def call(_method: str, _params: Raw, asking: Asking) -> Any:
        with pytest.raises(RpcError) as raised:
            await asking.ask("sampling/createMessage", Raw(b"{}"))
        return {"code": raised.value.code}

    bench.gateway.calling = call
    session = await bench.initialize({"sampling": {}})
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add"}}
    task, reply = await bench.run(bench.fronts.post, message=message, headers={"mcp-session-id": session})
    asked = (await reply.until(1))[0]
    no = {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -1, "message": "rejected"}}
    await bench.post(no, headers={"mcp-session-id": session})
    await asyncio.wait([task], timeout=5)
    assert reply.messages[-1]["result"] == {"code": -1}


async def test_a_client_is_not_asked_for_what_it_has_not_declared_or_cannot_hear(bench: Any) -> None:
    async def call(_method: str, _params: Raw, asking: Asking) -> Any:
        return await asking.ask("elicitation/create", ELICIT)

    bench.gateway.calling = call
    reply = await bench.legacy(await bench.initialize({"roots": {}}), "tools/call", {"name": "add"})
    assert reply.json["error"]["code"] == -32601
    headers = {"mcp-session-id": await bench.initialize({"elicitation": {}}), "accept": "application/json"}
    reply = await bench.post({"jsonrpc": "2.0", "id": 1, "method": "tools/call"}, headers=headers)
    assert reply.json["error"]["code"] == -32601


class TestImpatient:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(parked_seconds=0)

    async def test_a_client_that_does_not_answer_in_time_is_told_that_it_need_not(self, bench: Any) -> None:
        async def call(_method: str, _params: Raw, asking: Asking) -> Any:
            return await asking.ask("elicitation/create", ELICIT)

        bench.gateway.calling = call
        reply = await bench.legacy(await bench.initialize({"elicitation": {}}), "tools/call", {"name": "add"})
        asked, cancelled, last = reply.messages
        assert cancelled["method"] == "notifications/cancelled"
        assert cancelled["params"] == {"requestId": asked["id"]}
        assert last["error"]["code"] == 408


# -- levels, cancellation, batches --------------------------------------------------------------------------------


async def test_log_messages_below_the_level_of_the_session_are_left_out(bench: Any) -> None:
    async def call(method: str, _params: Raw, asking: Asking) -> Any:
        if method == "tools/call":
            asking.tell(note("notifications/message", level="info", data="a"))
            asking.tell(note("notifications/message", level="error", data="b"))
        return {}

    bench.gateway.calling = call
    session = await bench.initialize()
    assert (await bench.legacy(session, "logging/setLevel", {"level": "loud"})).json["error"]["code"] == -32602
    assert len((await bench.legacy(session, "tools/call", {"name": "add"})).messages) == 3
    assert (await bench.legacy(session, "logging/setLevel", {"level": "error"})).json["result"] == {}
    assert len((await bench.legacy(session, "tools/call", {"name": "add"})).messages) == 2
    assert bench.gateway.clients[-1].log_level == "error"


@pytest.mark.parametrize("name", [1, "1"])
async def test_a_request_is_cancelled_by_its_name_in_its_session(bench: Any, name: int | str) -> None:
    over = asyncio.Event()

    async def call(*_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            over.set()

    bench.gateway.calling = call
    session = await bench.initialize()
    message = {"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": {"name": "add"}}
    task, reply = await bench.run(bench.fronts.post, message=message, headers={"mcp-session-id": session})
    other = await bench.initialize()
    for where, request_id in ((session, "1" if name == 1 else 1), (other, name), (session, None), (session, [1])):
        note_ = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}
        await bench.post(note_, headers={"mcp-session-id": where})
        await asyncio.sleep(0)
        assert not task.done()
    note_ = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": name}}
    await bench.post(note_, headers={"mcp-session-id": session})
    await asyncio.wait([task], timeout=5)
    assert over.is_set()
    assert not task.cancelled()
    assert (reply.json["id"], reply.json["error"]["code"]) == (name, -32800)


async def test_a_batch_is_answered_by_a_batch_where_the_revision_has_them(bench: Any) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        {"jsonrpc": "2.0", "id": 2, "method": "ping"},
    ]
    new = await bench.initialize()
    assert (await bench.post(batch, headers={"mcp-session-id": new})).status == 400
    old = await bench.initialize(revision="2025-03-26")
    reply = await bench.post(batch, headers={"mcp-session-id": old})
    assert [one["id"] for one in reply.json] == [1, 2]
    assert len(bench.gateway.notes) == 1
    assert (await bench.post(batch[1:2], headers={"mcp-session-id": old})).status == 202
    begun = [{"jsonrpc": "2.0", "id": 1, "method": "initialize"}]
    assert (await bench.post(begun, headers={"mcp-session-id": old})).status == 400
    assert (await bench.post([], headers={"mcp-session-id": old})).status == 400


async def test_a_batch_that_says_something_on_the_way_is_answered_by_events(bench: Any) -> None:
    async def call(_method: str, _params: Raw, asking: Asking) -> Any:
        asking.tell(note("notifications/progress", progress=1))
        return {}

    bench.gateway.calling = call
    old = await bench.initialize(revision="2025-03-26")
    batch = [{"jsonrpc": "2.0", "id": n, "method": "tools/call"} for n in (1, 2)]
    reply = await bench.post(batch, headers={"mcp-session-id": old})
    assert [one.get("id") for one in reply.messages] == [None, None, 1, 2]
    assert reply.is_finished


# -- the stream ---------------------------------------------------------------------------------------------------


async def stream(bench: Any, session: str) -> Any:
    return await bench.run(bench.fronts.get, headers={"mcp-session-id": session, "accept": "text/event-stream"})


async def test_what_belongs_to_no_request_goes_to_the_stream(bench: Any) -> None:
    session = await bench.initialize()
    task, reply = await stream(bench, session)
    assert (reply.status, reply.is_stream) == (200, True)
    watch = bench.gateway.watches[-1]
    assert (watch.interest.tools, watch.interest.prompts, watch.interest.resources) == (True, True, True)
    watch.sink(note("notifications/tools/list_changed"))
    assert (await reply.until(1))[0]["method"] == "notifications/tools/list_changed"
    task.cancel()
    await asyncio.wait([task])
    assert watch.is_closed
    assert len(bench.fronts._legacy.sessions) == 0


async def test_nothing_that_changes_after_the_head_of_the_stream_or_the_answer_is_missed(bench: Any) -> None:
    go = bench.gateway.ready = asyncio.Event()
    session = await bench.initialize()
    task, reply = await stream(bench, session)
    bench.gateway.watches[-1].sink(note("notifications/tools/list_changed"))
    assert not reply.is_started
    go.set()
    assert (await reply.until(1))[0]["method"] == "notifications/tools/list_changed"
    go.clear()
    message = {"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "a:b"}}
    subscribing, answer = await bench.run(bench.fronts.post, message=message, headers={"mcp-session-id": session})
    assert not answer.is_started
    go.set()
    await asyncio.wait([subscribing], timeout=5)
    assert answer.status == 200
    assert not task.done()


async def test_a_client_that_leaves_before_its_stream_is_open_leaves_nothing_behind(bench: Any) -> None:
    bench.gateway.ready = asyncio.Event()
    task, _ = await stream(bench, await bench.initialize())
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert bench.gateway.watches[-1].is_closed
    assert len(bench.fronts._legacy.sessions) == 0


async def test_a_second_stream_takes_the_place_of_the_first(bench: Any) -> None:
    session = await bench.initialize()
    first, reply = await stream(bench, session)
    _, other = await stream(bench, session)
    await asyncio.wait([first], timeout=5)
    assert reply.is_finished
    bench.gateway.watches[-1].sink(note("notifications/tools/list_changed"))
    assert len(await other.until(1)) == 1
    assert not bench.gateway.watches[-1].is_closed


async def test_the_end_of_a_session_ends_its_stream_and_all_that_it_has_watched(bench: Any) -> None:
    session = await bench.initialize()
    task, reply = await stream(bench, session)
    await bench.legacy(session, "resources/subscribe", {"uri": "file:///a"})
    request, _ = bench.request(headers={"mcp-session-id": session})
    await bench.fronts.delete(request)
    await asyncio.wait([task], timeout=5)
    assert reply.is_finished
    assert [watch.is_closed for watch in bench.gateway.watches] == [True, True]
    assert len(bench.fronts._legacy.sessions) == 0


async def test_a_server_that_drains_ends_its_streams_and_opens_none(bench: Any) -> None:
    session = await bench.initialize()
    task, reply = await stream(bench, session)
    bench.fronts.drain()
    await asyncio.wait([task], timeout=5)
    assert reply.is_finished
    _, other = await stream(bench, session)
    assert other.status == 503
    assert (await bench.legacy(session, "tools/list")).status == 200


async def test_what_changes_while_the_stream_is_not_open_is_told_when_it_is(bench: Any) -> None:
    session = await bench.initialize()
    assert (await bench.legacy(session, "resources/subscribe", {"uri": "file:///a"})).status == 200
    watch = bench.gateway.watches[-1]
    assert (watch.interest.uris, watch.interest.tools) == ({"file:///a"}, False)
    for _ in range(3):
        watch.sink(note("notifications/resources/updated", uri="file:///a"))
    _, reply = await stream(bench, session)
    assert [one["params"] for one in await reply.until(1)] == [{"uri": "file:///a"}]
    assert watch.is_closed
    assert (bench.gateway.watches[-1].interest.uris, bench.gateway.watches[-1].interest.tools) == ({"file:///a"}, True)
    assert (await bench.legacy(session, "resources/unsubscribe", {"uri": "file:///a"})).status == 200
    assert bench.gateway.watches[-1].interest.uris == set()
    assert [method for method, _ in bench.gateway.calls] == ["resources/subscribe", "resources/unsubscribe"]


@pytest.mark.parametrize("params", [{}, {"uri": 1}])
async def test_a_resource_to_watch_needs_a_name(bench: Any, params: Any) -> None:
    reply = await bench.legacy(await bench.initialize(), "resources/subscribe", params)
    assert reply.json["error"]["code"] == -32602


class TestFew:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(max_streams=1, max_sessions=1)

    async def test_no_more_streams_are_open_than_may(self, bench: Any) -> None:
        first, _ = await stream(bench, await bench.initialize())
        _, other = await stream(bench, await bench.initialize())
        assert other.status == 503
        first.cancel()
        await asyncio.wait([first])
        _, other = await stream(bench, await bench.initialize())
        assert other.status == 200

    async def test_of_too_many_sessions_the_one_that_was_longest_unused_is_forgotten(self, bench: Any) -> None:
        first, second = await bench.initialize(), await bench.initialize()
        await bench.legacy(first, "logging/setLevel", {"level": "error"})
        await bench.legacy(second, "logging/setLevel", {"level": "error"})
        await bench.legacy(first, "tools/list")
        assert bench.gateway.clients[-1].log_level is None
