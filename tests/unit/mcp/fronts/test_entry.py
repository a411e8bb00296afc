from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from pointsman.errors import UpstreamBroken
from pointsman.mcp.settings import Limits, McpSettings
from pointsman.wire.jsonrpc import RpcError

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": None}, 415),
        ({"accept": "text/html"}, 406),
        ({"accept": "application/json;q=0, text/event-stream; q=0.00"}, 406),
        ({"accept": "application/json;q=0.5, text/event-stream"}, 200),
        ({"accept": "*/*"}, 200),
        ({"accept": "text/*"}, 200),
        ({"accept": None}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
async def test_messages_are_json_and_so_are_answers(bench: Any, headers: dict[str, str | None], status: int) -> None:
    session = await bench.initialize()
    assert (await bench.post(PING, headers={"mcp-session-id": session, **headers})).status == status


async def test_a_client_that_takes_events_alone_gets_the_answer_as_one(bench: Any) -> None:
    session = await bench.initialize()
    reply = await bench.post(PING, headers={"mcp-session-id": session, "accept": "text/event-stream"})
    assert (reply.is_stream, reply.messages) == (True, [{"jsonrpc": "2.0", "id": 1, "result": {}}])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b"1", -32600),
        (b'{"id":1,"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\xff"}}', -32700),
        (b"[" * 10_000, -32600),
    ],
)
async def test_what_is_no_message_is_refused_in_the_form_of_messages(bench: Any, body: bytes, code: int) -> None:
    for headers in ({}, {"mcp-protocol-version": "2026-07-28"}):
        reply = await bench.post(body, headers=headers)
        assert reply.status == 400
        assert reply.json["id"] is None
        assert reply.json["error"]["code"] in {code, -32600}


async def test_a_notification_that_makes_no_sense_is_refused_by_the_status(bench: Any) -> None:
    session = await bench.initialize()
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": [1]}
    assert (await bench.post(cancelled, headers={"mcp-session-id": session})).status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"accept": "*/*"}, 406),
        ({"accept": "text/event-stream"}, 400),
        ({"accept": "text/event-stream", "mcp-protocol-version": "2026-07-28"}, 405),
        ({"accept": "text/event-stream", "mcp-session-id": "x"}, 404),
    ],
)
async def test_a_stream_is_for_a_session(bench: Any, headers: dict[str, str], status: int) -> None:
    request, reply = bench.request(headers=headers)
    await bench.fronts.get(request)
    assert reply.status == status
    assert "error" in reply.json


async def test_modern_clients_end_no_sessions(bench: Any) -> None:
    request, reply = bench.request(headers={"mcp-protocol-version": "2026-07-28"})
    await bench.fronts.delete(request)
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


async def test_a_path_or_a_header_names_the_servers(bench: Any) -> None:
    session = await bench.initialize()
    assert (await bench.legacy(session, "tools/list", server="a,b")).status == 200
    reply = await bench.post(PING, headers={"mcp-session-id": session, "x-mcp-servers": "nobody"})
    assert (reply.status, reply.json["id"]) == (404, 1)


async def test_other_settings_hold_from_then_on_and_what_goes_on_is_not_touched(bench: Any) -> None:
    go = asyncio.Event()

    async def call(*_: Any) -> Any:
        await go.wait()
        return {"content": []}

    bench.gateway.calling = call
    task, reply = await bench.begin("tools/call", {"name": "add"})
    _, stream = await bench.begin("subscriptions/listen", {"notifications": {}})
    bench.fronts.configure(McpSettings(limits=Limits(max_streams=1)))
    assert (await bench.modern("subscriptions/listen", {"notifications": {}})).status == 503
    request, refused = bench.request(headers={"accept": "text/event-stream"}, path="/mcp/sse")
    await bench.fronts.get_sse(request)
    assert refused.status == 404
    assert not stream.is_finished
    go.set()
    await asyncio.wait([task], timeout=5)
    assert reply.json["result"] == {"resultType": "complete", "content": []}


class TestTwoProcesses:
    """A session that begins in one of them, and whose requests come to both."""

    @pytest.fixture
    def others(self, bench: Any) -> Iterator[Any]:
        first, second = bench.fronts, bench.make()

        def line(to: Any) -> Any:
            async def ask(told: Any) -> list[Any]:
                answer = await to.hear(msgspec.json.decode(msgspec.json.encode(told)))
                return [{"pid": 1}, {"pid": 2, **msgspec.json.decode(msgspec.json.encode(answer))}]

            return ask

        first.join(line(second))
        second.join(line(first))
        yield second
        second.close()

    async def test_an_answer_finds_who_has_asked(self, bench: Any, others: Any) -> None:
        async def call(_method: str, _params: Any, asking: Any) -> Any:
            return {"got": await asking.ask("elicitation/create", Raw(b"{}"))}

        bench.gateway.calling = call
        session = await bench.initialize({"elicitation": {}})
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        task, reply = await bench.run(bench.fronts.post, message=message, headers={"mcp-session-id": session})
        asked = (await reply.until(1))[0]
        bench.fronts = others
        answer = {"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}}
        assert (await bench.post(answer, headers={"mcp-session-id": session})).status == 202
        await asyncio.wait([task], timeout=5)
        assert reply.messages[-1]["result"] == {"got": {"action": "decline"}}

    async def test_a_request_is_cancelled_where_it_runs(self, bench: Any, others: Any) -> None:
        async def call(*_: Any) -> None:
            await asyncio.Event().wait()

        bench.gateway.calling = call
        session = await bench.initialize()
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        task, reply = await bench.run(bench.fronts.post, message=message, headers={"mcp-session-id": session})
        bench.fronts = others
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        await bench.post(note, headers={"mcp-session-id": session})
        await asyncio.wait([task], timeout=5)
        assert reply.json["error"]["code"] == -32800

    async def test_what_a_session_wants_is_known_to_both(self, bench: Any, others: Any) -> None:
        session = await bench.initialize()
        headers = {"mcp-session-id": session, "accept": "text/event-stream"}
        await bench.run(bench.fronts.get, headers=headers)
        first, bench.fronts = bench.fronts, others
        await bench.legacy(session, "logging/setLevel", {"level": "error"})
        await bench.legacy(session, "resources/subscribe", {"uri": "file:///a"})
        for _ in range(3):
            await asyncio.sleep(0)
        assert (bench.gateway.watches[-1].interest.uris, bench.gateway.watches[-1].interest.tools) == (
            {"file:///a"},
            True,
        )
        bench.fronts = first
        await bench.legacy(session, "tools/list")
        assert bench.gateway.clients[-1].log_level == "error"

    async def test_a_session_that_has_ended_has_ended_in_both(self, bench: Any, others: Any) -> None:
        session = await bench.initialize()
        request, _ = bench.request(headers={"mcp-session-id": session})
        await bench.fronts.delete(request)
        bench.fronts = others
        for _ in range(3):
            await asyncio.sleep(0)
        assert (await bench.legacy(session, "ping")).status == 404

    async def test_a_call_goes_on_wherever_its_client_comes_again(self, bench: Any, others: Any) -> None:
        async def call(_method: str, _params: Any, asking: Any) -> Any:
            for _ in range(2):
                await asking.ask("roots/list", Raw(b""))
            return await asking.ask("roots/list", Raw(b""))

        bench.gateway.calling = call
        first = bench.fronts
        meta: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"roots": {}}}
        asked = {"name": "add"}
        result = (await bench.modern("tools/call", asked, meta=meta)).json["result"]
        for turn, fronts in enumerate((others, first, others), 1):
            assert list(result["inputRequests"]) == [f"roots-{turn}"]
            bench.fronts = fronts
            again = asked | {"requestState": result["requestState"], "inputResponses": {f"roots-{turn}": {"roots": []}}}
            result = (await bench.modern("tools/call", again, meta=meta)).json["result"]
        assert result == {"resultType": "complete", "roots": []}
        assert (await bench.modern("tools/call", again, meta=meta)).json["error"]["code"] == -32602

    @pytest.mark.parametrize("failure", [RpcError(-5, "bad", {"x": 1}), UpstreamBroken()])
    async def test_what_goes_wrong_there_is_told_here(self, bench: Any, others: Any, failure: Exception) -> None:
        async def call(_method: str, _params: Any, asking: Any) -> Any:
            await asking.ask("roots/list", Raw(b""))
            raise failure

        bench.gateway.calling = call
        meta: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"roots": {}}}
        result = (await bench.modern("tools/call", {"name": "add"}, meta=meta)).json["result"]
        bench.fronts = others
        again = {"name": "add", "requestState": result["requestState"], "inputResponses": {"roots-1": {"roots": 1}}}
        assert (await bench.modern("tools/call", again, meta=meta)).json["error"]["code"] == -32602
        again["inputResponses"] = {"roots-1": {"roots": []}}
        error = (await bench.modern("tools/call", again, meta=meta)).json["error"]
        assert error["code"] == {RpcError: -5, UpstreamBroken: 502}[type(failure)]

    async def test_a_call_that_takes_long_is_asked_for_again(
        self, bench: Any, others: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pointsman.mcp.fronts.parking.VISIT_SECONDS", 0)

        async def call(_method: str, _params: Any, asking: Any) -> Any:
            await asking.ask("roots/list", Raw(b""))
            for _ in range(50):
                await asyncio.sleep(0)
            return {}

        bench.gateway.calling = call
        meta: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"roots": {}}}
        result = (await bench.modern("tools/call", {"name": "add"}, meta=meta)).json["result"]
        bench.fronts = others
        again = {"name": "add", "requestState": result["requestState"], "inputResponses": {"roots-1": {"roots": []}}}
        assert (await bench.modern("tools/call", again, meta=meta)).json["result"] == {"resultType": "complete"}
