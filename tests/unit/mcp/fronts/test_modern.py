from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from pointsman.access.grants import grants_of
from pointsman.access.keys import ObjectPermission
from pointsman.errors import RateLimited, UpstreamBroken
from pointsman.mcp.base import Asking
from pointsman.mcp.settings import Limits
from pointsman.wire.jsonrpc import Message, RpcError

META = "io.modelcontextprotocol/"
LEVEL = META + "logLevel"
CAN_BE_ASKED: dict[str, Any] = {META + "clientCapabilities": {"elicitation": {}, "sampling": {}, "roots": {}}}
ELICIT = Raw(b'{"message":"name?","requestedSchema":{"type":"object"}}')


def note(method: str, **params: Any) -> Message:
    return Message(jsonrpc="2.0", method=method, params=Raw(msgspec.json.encode(params)))


async def test_a_call_goes_through_without_what_is_between_the_client_and_us(bench: Any) -> None:
    reply = await bench.modern(
        "tools/call", {"name": "add", "arguments": {"a": 1}, "x": [2]}, meta={"progressToken": 5}
    )
    assert bench.gateway.calls == [
        ("tools/call", {"name": "add", "arguments": {"a": 1}, "x": [2], "_meta": {"progressToken": 5}})
    ]
    client = bench.gateway.clients[0]
    assert (client.era, client.revision, client.session) == ("modern", "2026-07-28", "")
    assert client.info == {"name": "tester", "version": "1"}
    assert (reply.status, reply.is_stream) == (200, False)
    assert reply.json["id"] == 7
    assert reply.json["result"]["resultType"] == "complete"


@pytest.mark.parametrize(
    ("meta", "version", "code"),
    [
        ({META + "protocolVersion": None}, "2026-07-28", -32602),
        ({META + "clientCapabilities": None}, "2026-07-28", -32602),
        ({META + "protocolVersion": "v999"}, "2026-07-28", -32020),
        ({META + "protocolVersion": "v999"}, "v999", -32022),
        ({}, "v999", -32020),
        ({}, None, -32020),
        ({META + "clientCapabilities": []}, "2026-07-28", -32602),
        ({META + "logLevel": "loud"}, "2026-07-28", -32602),
    ],
)
async def test_what_a_request_says_of_itself_has_to_be_there_and_to_agree(
    bench: Any, meta: dict[str, Any], version: str | None, code: int
) -> None:
    whole = {META + "protocolVersion": "2026-07-28", META + "clientCapabilities": {}} | meta
    body = {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/list",
        "params": {"_meta": {name: value for name, value in whole.items() if value is not None}},
    }
    reply = await bench.post(body, headers={"mcp-protocol-version": version, "mcp-method": "tools/list"})
    assert (reply.status, reply.json["id"], reply.json["error"]["code"]) == (400, 3, code)
    if code == -32022:
        assert reply.json["error"]["data"] == {"supported": ["2026-07-28"], "requested": "v999"}
    assert bench.gateway.calls == []


async def test_a_request_without_any_meta_is_told_what_is_missing(bench: Any) -> None:
    body = {"jsonrpc": "2.0", "id": 3, "method": "server/discover"}
    reply = await bench.post(body, headers={"mcp-protocol-version": "2026-07-28", "mcp-method": "server/discover"})
    assert (reply.status, reply.json["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp-name": "other"},
        {"mcp-name": None},
        {"mcp-method": "TOOLS/CALL"},
        {"mcp-method": None},
        {"mcp-name": "add, add"},
        {"mcp-name": "=?base64?YWRk==?="},
    ],
)
async def test_headers_have_to_say_what_the_body_says(bench: Any, headers: dict[str, str | None]) -> None:
    reply = await bench.modern("tools/call", {"name": "add"}, headers=headers)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32020)
    assert bench.gateway.calls == []


@pytest.mark.parametrize("name", ["  add  ", "=?base64?YWRk?="])
async def test_headers_may_be_padded_or_encoded(bench: Any, name: str) -> None:
    reply = await bench.modern("tools/call", {"name": "add"}, headers={"mcp-name": name})
    assert reply.status == 200


@pytest.mark.parametrize(
    "method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"]
)
async def test_what_the_revision_has_removed_is_not_found(bench: Any, method: str) -> None:
    reply = await bench.modern(method)
    assert (reply.status, reply.json["id"], reply.json["error"]["code"]) == (404, 7, -32601)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RpcError(-32601, "no such method"), 404, -32601),
        (RpcError(-32602, "no such tool"), 400, -32602),
        (RpcError(-1, "its own", {"x": 1}), 200, -1),
        (RpcError(-32020, "mismatch", status=400), 400, -32020),
        (RateLimited(retry_after=2), 429, 429),
        (UpstreamBroken(), 200, 502),
    ],
)
async def test_a_failure_is_told_with_the_status_that_the_transport_has_for_it(
    bench: Any, error: Exception, status: int, code: int
) -> None:
    async def fail(*_: Any) -> None:
        raise error

    bench.gateway.calling = fail
    reply = await bench.modern("tools/call", {"name": "add"})
    assert (reply.status, reply.json["error"]["code"], reply.json["id"]) == (status, code, 7)
    if isinstance(error, RateLimited):
        assert reply.headers["retry-after"] == "2"
        assert reply.json["error"]["data"] == {"type": "rate_limit_error", "code": "rate_limit_exceeded"}


async def test_a_server_that_is_not_there_is_not_found(bench: Any) -> None:
    reply = await bench.modern("tools/list", server="nobody")
    assert (reply.status, reply.json["id"], reply.json["error"]["message"]) == (404, 7, "Server nobody not found")


async def test_discovery_tells_what_the_server_is_and_which_revisions_are_spoken(bench: Any) -> None:
    result = (await bench.modern("server/discover")).json["result"]
    assert result["supportedVersions"] == ["2026-07-28"]
    assert result["capabilities"] == bench.gateway.introduction.capabilities
    assert result["_meta"] == {META + "serverInfo": {"name": "fake", "version": "2", "x": 1}}
    assert (result["instructions"], result["vendor"], result["resultType"]) == ("be kind", [1], "complete")
    assert (result["ttlMs"], result["cacheScope"]) == (60_000, "private")
    assert "serverInfo" not in result


async def test_what_is_said_before_the_answer_makes_the_reply_a_stream(bench: Any) -> None:
    async def call(_method: str, _params: Raw, asking: Asking) -> Any:
        asking.tell(note("notifications/progress", progressToken=5, progress=1))
        return {"content": []}

    bench.gateway.calling = call
    reply = await bench.modern("tools/call", {"name": "add"})
    assert (reply.status, reply.is_stream, reply.is_finished) == (200, True, True)
    assert [one.get("method", one.get("id")) for one in reply.messages] == ["notifications/progress", 7]
    assert reply.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize(("level", "count"), [(None, 0), ("error", 1), ("debug", 2)])
async def test_log_messages_come_only_where_the_request_wants_them(bench: Any, level: str | None, count: int) -> None:
    async def call(_method: str, _params: Raw, asking: Asking) -> Any:
        asking.tell(note("notifications/message", level="info", data="a"))
        asking.tell(note("notifications/message", level="error", data="b"))
        return {}

    bench.gateway.calling = call
    reply = await bench.modern("tools/call", {"name": "add"}, meta={} if level is None else {LEVEL: level})
    assert len(reply.messages if reply.is_stream else []) == (count + 1 if count else 0)


async def test_a_client_that_takes_no_events_gets_the_answer_alone(bench: Any) -> None:
    async def call(_method: str, _params: Raw, asking: Asking) -> Any:
        asking.tell(note("notifications/progress", progress=1))
        return {}

    bench.gateway.calling = call
    reply = await bench.modern("tools/call", {"name": "add"}, headers={"accept": "application/json"})
    assert reply.json["result"] == {"resultType": "complete"}


async def test_a_notification_is_taken_and_an_answer_is_not(bench: Any) -> None:
    headers = {"mcp-protocol-version": "2026-07-28"}
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert (await bench.post(cancelled, headers=headers)).status == 202
    answer = {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert (await bench.post(answer, headers=headers)).status == 400


async def test_a_client_that_leaves_cancels_its_call(bench: Any) -> None:
    seen = asyncio.Event()

    async def call(*_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.set()

    bench.gateway.calling = call
    for meta in ({}, CAN_BE_ASKED):
        seen.clear()
        task, _ = await bench.begin("tools/call", {"name": "add"}, meta=meta)
        task.cancel()
        async with asyncio.timeout(5):
            await seen.wait()


# -- what a server asks -------------------------------------------------------------------------------------------


async def asks_twice(_method: str, _params: Raw, asking: Asking) -> Any:
    first = await asking.ask("elicitation/create", ELICIT)
    second = await asking.ask("roots/list", Raw(b""))
    return {"first": first, "second": second}


@pytest.mark.requirement("mcp.parked")
async def test_a_call_waits_until_the_client_comes_again_with_what_was_asked(bench: Any) -> None:
    bench.gateway.calling = asks_twice
    asked = {"name": "add", "arguments": {"a": {"x": 1, "y": 2}}}
    first = (await bench.modern("tools/call", asked, meta=CAN_BE_ASKED)).json["result"]
    assert first["resultType"] == "input_required"
    assert first["inputRequests"] == {
        "elicitation-1": {"method": "elicitation/create", "params": msgspec.json.decode(ELICIT)}
    }
    again = {
        "name": "add",
        "arguments": {"a": {"y": 2, "x": 1}},
        "requestState": first["requestState"],
        "inputResponses": {"elicitation-1": {"action": "accept", "content": {"name": "me"}, "z": 1}, "more": {}},
    }
    second = (await bench.modern("tools/call", again, meta=CAN_BE_ASKED)).json["result"]
    assert second["inputRequests"] == {"roots-2": {"method": "roots/list"}}
    assert second["requestState"] != first["requestState"]
    again |= {"requestState": second["requestState"], "inputResponses": {"roots-2": {"roots": []}}}
    last = (await bench.modern("tools/call", again, meta=CAN_BE_ASKED)).json["result"]
    assert last == {
        "resultType": "complete",
        "first": {"action": "accept", "content": {"name": "me"}, "z": 1},
        "second": {"roots": []},
    }
    assert len(bench.gateway.calls) == 1


async def test_what_is_asked_at_once_is_told_at_once_and_what_is_missing_is_asked_again(bench: Any) -> None:
    async def call(_method: str, _params: Raw, asking: Asking) -> Any:
        return await asyncio.gather(*(asking.ask("elicitation/create", ELICIT) for _ in range(3)))

    bench.gateway.calling = call
    first = (await bench.modern("tools/call", {"name": "add"}, meta=CAN_BE_ASKED)).json["result"]
    assert list(first["inputRequests"]) == ["elicitation-1", "elicitation-2", "elicitation-3"]
    given = {"elicitation-1": {"action": "decline"}, "elicitation-3": {"action": "cancel"}}
    again = {"name": "add", "requestState": first["requestState"], "inputResponses": given}
    second = (await bench.modern("tools/call", again, meta=CAN_BE_ASKED)).json["result"]
    assert list(second["inputRequests"]) == ["elicitation-2"]


async def test_a_client_is_not_asked_for_what_it_has_not_declared(bench: Any) -> None:
    bench.gateway.calling = asks_twice
    few: tuple[dict[str, Any], ...] = ({}, {"roots": {}}, {"elicitation": {"url": {}}})
    for capabilities in few:
        meta = {META + "clientCapabilities": capabilities}
        reply = await bench.modern("tools/call", {"name": "add"}, meta=meta)
        assert (reply.status, reply.json["error"]["code"]) == (400, -32021)
        assert list(reply.json["error"]["data"]["requiredCapabilities"]) == ["elicitation"]


async def parked(bench: Any) -> dict[str, Any]:
    bench.gateway.calling = asks_twice
    first = (await bench.modern("tools/call", {"name": "add"}, meta=CAN_BE_ASKED)).json["result"]
    answers = {"elicitation-1": {"action": "decline"}}
    return {"name": "add", "requestState": first["requestState"], "inputResponses": answers}


@pytest.mark.parametrize(
    "how",
    [
        "altered",
        "other caller",
        "other arguments",
        "other method",
        "too late",
        "invented",
        "other server",
        "other rights",
    ],
)
async def test_a_state_is_good_for_its_caller_its_request_and_its_time(bench: Any, how: str) -> None:
    again = await parked(bench)
    more: dict[str, Any] = {}
    method, caller = "tools/call", "key:1"
    if how == "other server":
        more["server"] = "a"
    if how == "other rights":
        more["grants"] = grants_of((ObjectPermission(blocked_tools=("add",)),))
    if how == "altered":
        again["requestState"] = "A" + again["requestState"][1:]
    if how == "other caller":
        caller = "key:2"
    if how == "other arguments":
        again["arguments"] = {"a": 1}
    if how == "other method":
        method = "prompts/get"
    if how == "too late":
        bench.clock[0] += 301
    if how == "invented":
        again["requestState"] = "state"
    reply = await bench.modern(method, again, meta=CAN_BE_ASKED, caller=caller, **more)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32602)
    assert len(bench.gateway.calls) == 1


@pytest.mark.requirement("mcp.parked")
async def test_a_state_is_good_once(bench: Any) -> None:
    again = await parked(bench)
    assert "result" in (await bench.modern("tools/call", again, meta=CAN_BE_ASKED)).json
    assert (await bench.modern("tools/call", again, meta=CAN_BE_ASKED)).json["error"]["code"] == -32602


@pytest.mark.parametrize("answer", [{}, {"action": "maybe"}, [], "accept", {"action": "accept", "content": 1}])
async def test_an_answer_that_is_none_is_refused_and_may_be_given_again(bench: Any, answer: Any) -> None:
    again = await parked(bench)
    bad = again | {"inputResponses": {"elicitation-1": answer}}
    assert (await bench.modern("tools/call", bad, meta=CAN_BE_ASKED)).json["error"]["code"] == -32602
    assert "result" in (await bench.modern("tools/call", again, meta=CAN_BE_ASKED)).json


async def test_a_call_that_waits_elsewhere_is_unknown_here(bench: Any) -> None:
    again = await parked(bench)
    bench.fronts.close()
    bench.fronts = bench.make()
    assert (await bench.modern("tools/call", again, meta=CAN_BE_ASKED)).json["error"]["code"] == -32602


class TestFew:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(max_parked=1, max_streams=1)

    async def test_no_more_calls_wait_than_may(self, bench: Any) -> None:
        await parked(bench)
        reply = await bench.modern("tools/call", {"name": "add"}, meta=CAN_BE_ASKED)
        assert (reply.status, reply.json["error"]["code"]) == (503, 503)

    async def test_no_more_streams_are_open_than_may(self, bench: Any) -> None:
        await bench.begin("subscriptions/listen", {"notifications": {}})
        reply = await bench.modern("subscriptions/listen", {"notifications": {}})
        assert reply.status == 503


class TestShort:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(parked_seconds=0)

    async def test_a_call_whose_client_does_not_come_again_is_cancelled(self, bench: Any) -> None:
        over = asyncio.Event()

        async def call(method: str, params: Raw, asking: Asking) -> Any:
            try:
                return await asks_twice(method, params, asking)
            finally:
                over.set()

        bench.gateway.calling = call
        await bench.modern("tools/call", {"name": "add"}, meta=CAN_BE_ASKED)
        async with asyncio.timeout(5):
            await over.wait()


@pytest.mark.parametrize("meta", [{}, CAN_BE_ASKED])
async def test_the_state_of_a_server_is_bound_to_the_caller_and_comes_back_as_it_was(
    bench: Any, meta: dict[str, Any]
) -> None:
    async def call(_method: str, params: Raw, _asking: Asking) -> Any:
        if b"requestState" in bytes(params):
            return {"resultType": "complete"}
        return {
            "resultType": "input_required",
            "inputRequests": {"k": {"method": "roots/list"}},
            "requestState": "s~.\n",
        }

    bench.gateway.calling = call
    first = (await bench.modern("tools/call", {"name": "add"}, meta=meta)).json["result"]
    assert first["resultType"] == "input_required"
    assert first["requestState"].endswith("~s~.\n")
    again = {"name": "add", "requestState": first["requestState"], "inputResponses": {"k": {"roots": []}}}
    assert (await bench.modern("tools/call", again, meta=meta, caller="key:2")).json["error"]["code"] == -32602
    changed = again | {"requestState": first["requestState"] + "x"}
    assert (await bench.modern("tools/call", changed, meta=meta)).json["error"]["code"] == -32602
    assert len(bench.gateway.calls) == 1
    assert (await bench.modern("tools/call", again, meta=meta)).json["result"] == {"resultType": "complete"}
    assert bench.gateway.calls[1][1]["requestState"] == "s~.\n"
    assert bench.gateway.calls[1][1]["inputResponses"] == {"k": {"roots": []}}


# -- streams ------------------------------------------------------------------------------------------------------


async def test_listening_begins_with_what_is_agreed_and_tags_all_that_follows(bench: Any) -> None:
    wanted = {"toolsListChanged": True, "resourceSubscriptions": ["file:///a"], "vendor": True}
    task, reply = await bench.begin("subscriptions/listen", {"notifications": wanted}, id="sub")
    watch = bench.gateway.watches[0]
    assert (watch.interest.tools, watch.interest.prompts, watch.interest.uris) == (True, False, {"file:///a"})
    watch.sink(note("notifications/resources/updated", uri="file:///a", _meta={"x": 1}))
    first, second = await reply.until(2)
    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"] == {
        "_meta": {META + "subscriptionId": "sub"},
        "notifications": {"toolsListChanged": True, "resourceSubscriptions": ["file:///a"]},
    }
    assert second["params"] == {"uri": "file:///a", "_meta": {"x": 1, META + "subscriptionId": "sub"}}
    task.cancel()
    await asyncio.wait([task])
    assert watch.is_closed


async def test_a_client_is_told_first_of_what_it_will_hear_and_misses_nothing_after_that(bench: Any) -> None:
    go = asyncio.Event()
    bench.gateway.ready = go
    task, reply = await bench.begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    for _ in range(2):
        bench.gateway.watches[0].sink(note("notifications/tools/list_changed"))
    assert not reply.is_started
    go.set()
    told = await reply.until(2)
    assert [one["method"].rpartition("/")[2] for one in told] == ["acknowledged", "list_changed"]
    task.cancel()


async def test_what_a_server_cannot_tell_is_not_agreed(bench: Any) -> None:
    bench.gateway.introduction = msgspec.structs.replace(
        bench.gateway.introduction, capabilities={"tools": {}, "resources": {"listChanged": True}}
    )
    wanted = {"toolsListChanged": True, "resourcesListChanged": True, "resourceSubscriptions": ["a"]}
    _, reply = await bench.begin("subscriptions/listen", {"notifications": wanted})
    assert (await reply.until(1))[0]["params"]["notifications"] == {"resourcesListChanged": True}


async def test_a_stream_that_we_end_says_so(bench: Any) -> None:
    task, reply = await bench.begin("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    bench.fronts.drain()
    await asyncio.wait([task], timeout=5)
    assert reply.is_finished
    assert reply.messages[-1] == {
        "jsonrpc": "2.0",
        "id": 7,
        "result": {"resultType": "complete", "_meta": {META + "subscriptionId": 7}},
    }


@pytest.mark.parametrize(
    ("notifications", "accept", "status"),
    [({"toolsListChanged": 1}, None, 400), ([], None, 400), ({}, "application/json", 406)],
)
async def test_listening_needs_a_filter_and_events(
    bench: Any, notifications: Any, accept: str | None, status: int
) -> None:
    headers = {} if accept is None else {"accept": accept}
    reply = await bench.modern("subscriptions/listen", {"notifications": notifications}, headers=headers)
    assert reply.status == status
