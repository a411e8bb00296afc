from __future__ import annotations

import asyncio
from typing import Any

import pytest
from unit.mcp.peers import until
from unit.upstream.peers import Answer, Peer, event, events, json

from pointsman.errors import SessionLost, UpstreamBroken, UpstreamRejected, UpstreamTimeout, UpstreamUnreachable
from pointsman.mcp.transports import streamable_http
from pointsman.mcp.transports.http import WHO
from pointsman.mcp.transports.streamable_http import StreamableHttp
from pointsman.upstream.addresses import Address
from pointsman.wire.jsonrpc import METHOD_NOT_FOUND, Message, RpcError, failure, notification, request, success

VERSION = {"mcp-protocol-version": "2025-11-25"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamable_http, "RETRY_SECONDS", 0.0)


def transport(peer: Peer, max_bytes: int = 10_000) -> StreamableHttp:
    return StreamableHttp(Address(upstream=peer, who=WHO, url="http://mcp.test/mcp", max_bytes=max_bytes))


def ignore(_message: Message) -> None:
    return None


async def ask(transport: StreamableHttp, method: str = "tools/call", *, seconds: float = 5.0, **more: Any) -> Message:
    deadline = asyncio.get_running_loop().time() + seconds
    on_message = more.get("on_message", ignore)
    return await transport.request(request(1, method), on_message, headers=VERSION, deadline=deadline)


async def begun(peer: Peer) -> StreamableHttp:
    """A transport with a session."""
    found = transport(peer)
    peer.answers.insert(0, json(success(1, {}), mcp_session_id="s1"))
    await ask(found, "initialize")
    return found


async def test_a_request_is_a_post_that_takes_both_kinds_of_answers() -> None:
    peer = Peer(json(success(1, {"a": 1})))
    assert await ask(transport(peer)) == success(1, {"a": 1})
    (sent,) = peer.requests
    assert (sent.method, sent.target) == ("POST", "/mcp")
    assert sent.headers["accept"] == "application/json, text/event-stream"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["mcp-protocol-version"] == "2025-11-25"
    assert "mcp-session-id" not in sent.headers
    assert sent.message == request(1, "tools/call")


async def test_what_comes_before_the_answer_is_told_in_order() -> None:
    heard: list[Message] = []
    news = [notification("notifications/progress", {"progress": n}) for n in range(3)]
    peer = Peer(events(*news, success(1, {"a": 1})))
    assert await ask(transport(peer), on_message=heard.append) == success(1, {"a": 1})
    assert heard == news


async def test_a_session_begins_with_initialize_and_is_sent_from_then_on() -> None:
    peer = Peer(json(success(1, {})), json({}, 202), json({}, 204))
    found = await begun(peer)
    assert found.has_session
    await ask(found)
    await found.post(notification("a"), headers=VERSION, deadline=1e9)
    await found.close()
    assert [one.headers.get("mcp-session-id") for one in peer.requests] == [None, "s1", "s1", "s1"]
    assert peer.requests[-1].method == "DELETE"
    assert peer.requests[-1].headers["mcp-protocol-version"] == "2025-11-25"


async def test_a_new_initialize_begins_without_the_old_session() -> None:
    peer = Peer(json(success(1, {})))
    found = await begun(peer)
    await ask(found, "initialize")
    assert "mcp-session-id" not in peer.requests[-1].headers
    assert not found.has_session


async def test_another_answer_gives_no_session() -> None:
    found = transport(Peer(json(success(1, {}), mcp_session_id="s9")))
    await ask(found)
    assert not found.has_session


@pytest.mark.parametrize(
    "answer",
    [
        json({}, 404),
        json(failure(None, RpcError(-32600, "Session not found")), 404),
        json(failure(None, RpcError(-32000, "Bad Request: No valid session ID provided")), 400),
    ],
)
async def test_a_server_that_has_forgotten_the_session_is_told_from_other_refusals(answer: Answer) -> None:
    peer = Peer(answer)
    found = await begun(peer)
    with pytest.raises(SessionLost):
        await ask(found)
    assert not found.has_session


async def test_an_unknown_method_in_a_session_is_no_lost_session() -> None:
    answer = failure(1, RpcError(METHOD_NOT_FOUND, "Method not found"))
    found = await begun(Peer(json(answer, 404)))
    assert await ask(found) == answer
    assert found.has_session


async def test_a_refusal_without_a_session_is_the_error_that_it_holds() -> None:
    error = RpcError(-32022, "Unsupported protocol version", {"supported": ["2026-07-28"]})
    peer = Peer(json(failure(1, error), 400))
    assert bytes((await ask(transport(peer))).error) == bytes(error.raw())


@pytest.mark.parametrize("status", [400, 401, 404, 405, 429, 500])
async def test_a_refusal_without_an_error_keeps_its_status(status: int) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await ask(transport(Peer(Answer(status, {"content-type": "text/plain"}, b"no"))))
    assert caught.value.status == status


@pytest.mark.parametrize("status", [301, 307, 308])
@pytest.mark.requirement("mcp.ssrf")
async def test_a_redirect_is_not_followed(status: int) -> None:
    peer = Peer(Answer(status, {"location": "http://169.254.169.254/"}))
    with pytest.raises(UpstreamBroken, match="redirected"):
        await ask(transport(peer))
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"content-type": "text/html"}, b"<html>"),
        Answer(202, {}),
        json({"jsonrpc": "1.0"}),
        json(success(2, {})),
        json(notification("a")),
        events(notification("a")),
        events(success(2, {})),
        json(success(1, {"a": "x" * 20_000})),
        events(success(1, {"a": "x" * 20_000})),
    ],
)
async def test_what_is_no_answer_is_a_failure(answer: Answer) -> None:
    with pytest.raises(UpstreamBroken):
        await ask(transport(Peer(answer)))


async def test_a_batch_of_one_is_an_answer() -> None:
    assert await ask(transport(Peer(json([success(1, {})])))) == success(1, {})


async def test_a_server_that_cannot_be_reached_is_a_failure() -> None:
    with pytest.raises(UpstreamUnreachable):
        await ask(transport(Peer(UpstreamUnreachable())))


async def test_an_answer_that_does_not_come_in_time_closes_the_connection() -> None:
    answer = events(is_open=True)
    with pytest.raises(UpstreamTimeout):
        await ask(transport(Peer(answer)), seconds=0.01)
    await asyncio.sleep(0)
    assert answer.producer.is_aborted


async def test_whoever_waits_no_more_closes_the_connection() -> None:
    answer = events(is_open=True)
    peer = Peer(answer)
    task = asyncio.ensure_future(ask(transport(peer)))
    await until(lambda: peer.requests)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    await asyncio.sleep(0)
    assert answer.producer.is_aborted


async def test_closing_ends_what_is_in_progress() -> None:
    peer = Peer(events(is_open=True))
    found = transport(peer)
    task = asyncio.ensure_future(ask(found))
    await until(lambda: peer.requests)
    await found.close()
    with pytest.raises(UpstreamBroken, match="was closed"):
        await task


@pytest.mark.requirement("mcp.resumption")
async def test_a_stream_that_is_cut_is_asked_for_again_where_its_events_have_ids() -> None:
    heard: list[Message] = []
    cut = events("id: e1\nretry: 0\ndata:\n\n", event(notification("a"), "e2").decode(), is_open=True)
    cut.response.fail(UpstreamBroken())
    peer = Peer(cut, events(event(notification("b"), "e3").decode()), events(success(1, {"a": 1})))
    assert await ask(transport(peer), on_message=heard.append) == success(1, {"a": 1})
    assert [one.method for one in heard] == ["a", "b"]
    assert [(one.method, one.headers.get("last-event-id")) for one in peer.requests] == [
        ("POST", None),
        ("GET", "e2"),
        ("GET", "e3"),
    ]


async def test_a_stream_that_is_cut_without_ids_is_lost() -> None:
    cut = events(notification("a"), is_open=True)
    cut.response.fail(UpstreamBroken("cut"))
    with pytest.raises(UpstreamBroken, match="cut"):
        await ask(transport(Peer(cut)))


async def test_a_server_is_not_asked_for_a_stream_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamable_http, "MAX_RESUMPTIONS", 3)
    peer = Peer(on=lambda _: events("id: e1\ndata:\n\n"))
    with pytest.raises(UpstreamBroken):
        await ask(transport(peer))
    assert len(peer.requests) == 4


@pytest.mark.requirement("mcp.resumption")
async def test_listening_goes_on_where_it_was_cut() -> None:
    heard: list[Message] = []
    cut = events(event(notification("b"), "e2").decode(), is_open=True)
    cut.response.fail(UpstreamBroken())
    peer = Peer(events(event(notification("a"), "e1").decode()), cut, events(notification("c")), json({}, 405))
    found = await begun(peer)
    with pytest.raises(UpstreamBroken):
        await found.listen(heard.append, headers=VERSION)
    with pytest.raises(UpstreamRejected):
        await found.listen(heard.append, headers=VERSION)
    assert [one.method for one in heard] == ["a", "b", "c"]
    assert [one.headers.get("last-event-id") for one in peer.requests[1:]] == [None, "e1", "e2", "e2"]
    assert {one.headers["accept"] for one in peer.requests[1:]} == {"text/event-stream"}


async def test_a_stream_without_ids_that_ends_is_not_asked_for_again() -> None:
    peer, opened = Peer(events(notification("a"))), []
    await transport(peer).listen(ignore, headers=VERSION, on_open=lambda: opened.append(True))
    assert (len(peer.requests), opened) == (1, [True])


async def test_listening_needs_a_stream() -> None:
    with pytest.raises(UpstreamBroken, match="no stream"):
        await transport(Peer(json({}))).listen(ignore, headers=VERSION, on_open=pytest.fail)


async def test_listening_ends_when_the_transport_is_closed() -> None:
    peer = Peer(events(is_open=True), json({}))
    found = await begun(peer)
    task = asyncio.ensure_future(found.listen(ignore, headers=VERSION))
    await until(lambda: len(peer.requests) == 2)
    await asyncio.sleep(0)
    await found.close()
    await asyncio.wait_for(task, 5)


async def test_an_end_of_the_session_that_cannot_be_told_is_an_end() -> None:
    found = await begun(Peer(UpstreamUnreachable()))
    await found.close()
    assert not found.has_session


async def test_a_notification_that_is_refused_is_a_failure() -> None:
    with pytest.raises(UpstreamRejected):
        await transport(Peer(json({}, 400))).post(notification("a"), headers={}, deadline=1e9)


async def test_a_stream_in_answer_to_a_notification_is_closed() -> None:
    answer = events(is_open=True)
    await transport(Peer(answer)).post(notification("a"), headers={}, deadline=1e9)
    assert answer.producer.is_aborted


@pytest.mark.requirement("mcp.once")
async def test_a_tool_is_not_called_twice_where_nobody_knows_whether_it_was_called() -> None:
    peer = Peer(on=lambda asked: json(success(1, {})) if asked.message.is_request else json({}, 202))
    found = transport(peer)
    for method in ("tools/call", "tools/list", "vendor/thing"):
        await ask(found, method)
    await found.post(notification("notifications/cancelled"), headers={}, deadline=1e9)
    assert peer.repeatable == [False, True, False, True]
