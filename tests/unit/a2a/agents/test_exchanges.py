from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from unit.upstream.peers import Answer, Peer, event, events, json

from pointsman.a2a.agents.exchanges import Exchanges, Misfit, in_form, speech_of
from pointsman.a2a.agents.places import Places
from pointsman.a2a.agents.streams import Budget, Leg
from pointsman.a2a.base import Interface, Passed
from pointsman.a2a.protocol.operations import Binding, Operation, Version
from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import NOBODY
from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.wire.jsonrpc import RpcError

URL = "http://agent.test/a"
MODERN = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
LEGACY = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "working"}}
NOT_FOUND = {"code": -32601, "message": "Method not found"}


def exchanges(peer: Peer, max_result_bytes: int = 10_000) -> Exchanges:
    settings = AgentSettings(id="a", name="A", url=URL, max_result_bytes=max_result_bytes)
    return Exchanges(settings, Places(settings, lambda _: peer, None))


def way(binding: Binding = "jsonrpc", version: Version = "1.0") -> Interface:
    return Interface(url=URL, binding=binding, version=version)


def rpc(**members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, **members}


async def ask(
    peer: Peer,
    operation: Operation = Operation.GET,
    binding: Binding = "jsonrpc",
    version: Version = "1.0",
    max_result_bytes: int = 10_000,
) -> Any:
    passed = Passed(caller=NOBODY, deadline=asyncio.get_running_loop().time() + 10)
    found = await exchanges(peer, max_result_bytes).ask(way(binding, version), URL, operation, b'{"id":"t"}', passed)
    return msgspec.json.decode(found)


async def open_(
    exchanges: Exchanges,
    operation: Operation = Operation.STREAM,
    binding: Binding = "jsonrpc",
    version: Version = "1.0",
) -> Leg:
    now = asyncio.get_running_loop().time()
    passed = Passed(caller=NOBODY, deadline=now + 10)
    params = b'{"message":{"messageId":"m","role":"ROLE_USER","parts":[]}}'
    if operation is Operation.SUBSCRIBE:
        params = b'{"id":"t"}'
    budget = Budget(10_000, 10_000, 10.0, now + 10)
    return await exchanges.open(way(binding, version), URL, operation, params, passed, budget)


async def taken(leg: Leg) -> list[Any]:
    found = []
    while (one := await leg.next()) is not None:
        found.append(msgspec.json.decode(one))
    return found


async def test_a_result_is_given_over_either_binding() -> None:
    assert await ask(Peer(json(rpc(result=MODERN)))) == MODERN
    assert await ask(Peer(json(MODERN)), binding="rest") == MODERN
    assert await ask(
        Peer(json({"id": "t", "status": {"state": "TASK_STATE_WORKING"}})), binding="rest", version="0.3"
    ) == {
        "kind": "task",
        "id": "t",
        "contextId": "",
        "status": {"state": "working"},
    }


@pytest.mark.parametrize(
    ("operation", "is_repeatable"), [(Operation.SEND, False), (Operation.GET, True), (Operation.CANCEL, True)]
)
async def test_what_may_not_arrive_twice_is_not_sent_twice(operation: Operation, *, is_repeatable: bool) -> None:
    peer = Peer(json(rpc(result={"task": MODERN})))
    await ask(peer, operation)
    assert peer.repeatable == [is_repeatable]


async def test_an_agent_may_answer_with_a_stream() -> None:
    peer = Peer(events("\n: hello\n\n", rpc(result={"x": 1}), rpc(result=MODERN)))
    assert await ask(peer) == MODERN
    with pytest.raises(UpstreamBroken, match="without an answer"):
        await ask(Peer(events(": hello\n\n")))


async def test_a_result_has_a_bound() -> None:
    with pytest.raises(UpstreamBroken, match="allowed"):
        await ask(Peer(json(rpc(result=MODERN))), max_result_bytes=20)


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_an_error_is_told_whatever_the_status(status: int) -> None:
    body = rpc(error={"code": -32001, "message": "Task not found"})
    with pytest.raises(RpcError, match="Task not found") as caught:
        await ask(Peer(json(body, status)))
    assert caught.value.code == -32001


@pytest.mark.parametrize(
    ("answer", "binding"),
    [
        (json(rpc(error=NOT_FOUND)), "jsonrpc"),
        (json(rpc(error=NOT_FOUND), 404), "jsonrpc"),
        (json(rpc(error={"code": -32009, "message": "Version not supported"})), "jsonrpc"),
        (json({"detail": "Not Found"}, 404), "jsonrpc"),
        (json({"detail": "Method Not Allowed"}, 405), "jsonrpc"),
        (Answer(404, {}, b"<html>"), "rest"),
        (
            json({"error": {"code": 400, "message": "No", "details": [{"reason": "VERSION_NOT_SUPPORTED"}]}}, 400),
            "rest",
        ),
    ],
)
async def test_whoever_speaks_something_else_is_told_from_who_refuses(answer: Answer, binding: Binding) -> None:
    with pytest.raises(Misfit):
        await ask(Peer(answer), binding=binding)


@pytest.mark.parametrize(
    "answer", [json({}, 401), json(rpc(error=NOT_FOUND), 403), json({}, 429), Answer(503, {}, b"<html>")]
)
async def test_other_refusals_are_those_of_a_server(answer: Answer) -> None:
    with pytest.raises(UpstreamRejected, match="The agent refused"):
        await ask(Peer(answer))


async def test_events_are_given_as_they_come() -> None:
    told = [{"task": MODERN}, {"statusUpdate": {"taskId": "t"}}]
    peer = Peer(events(*(rpc(result=one) for one in told)))
    leg = await open_(exchanges(peer))
    assert await taken(leg) == told
    assert leg.gives_snapshot
    assert peer.requests[0].headers["accept"] == "text/event-stream, application/json"
    peer = Peer(events(*told))
    assert await taken(await open_(exchanges(peer), binding="rest")) == told
    assert peer.requests[0].target == "/a/message:stream"


async def test_an_error_among_events_is_one() -> None:
    leg = await open_(exchanges(Peer(events(rpc(result={"task": MODERN}), rpc(error=NOT_FOUND)))))
    assert await leg.next() is not None
    with pytest.raises(RpcError, match="Method not found"):
        await leg.next()


async def test_a_stream_may_be_answered_with_one_result_or_an_error() -> None:
    assert await taken(await open_(exchanges(Peer(json(rpc(result={"task": MODERN})))))) == [{"task": MODERN}]
    with pytest.raises(Misfit):
        await open_(exchanges(Peer(json(rpc(error=NOT_FOUND)))))
    with pytest.raises(UpstreamRejected):
        await open_(exchanges(Peer(json({}, 500))))


async def test_a_task_is_followed_by_get_where_post_is_not_taken_and_from_then_on() -> None:
    def react(request: Any) -> Answer:
        return events({"task": MODERN}) if request.method == "GET" else json({}, 405)

    peer = Peer(on=react)
    mine = exchanges(peer)
    for _ in range(2):
        assert await taken(await open_(mine, Operation.SUBSCRIBE, "rest")) == [{"task": MODERN}]
    assert [one.method for one in peer.requests] == ["POST", "GET", "GET"]
    with pytest.raises(Misfit):
        await open_(exchanges(Peer(json({}, 405), json({}, 405))), Operation.SUBSCRIBE, "rest")


async def test_only_streams_of_the_latest_version_begin_with_the_task() -> None:
    assert not (await open_(exchanges(Peer(events(is_open=True))), version="0.3")).gives_snapshot


@pytest.mark.requirement("a2a.lying-agents")
async def test_an_agent_that_speaks_the_form_of_the_other_version_is_understood() -> None:
    assert await ask(Peer(json(rpc(result=LEGACY)))) == MODERN
    assert await ask(Peer(json(rpc(result=LEGACY))), Operation.SEND) == {"task": MODERN}
    assert await ask(Peer(json(rpc(result={"task": MODERN}))), Operation.SEND, version="0.3") == LEGACY
    leg = await open_(exchanges(Peer(Answer(200, {"content-type": "text/event-stream"}, event(rpc(result=LEGACY))))))
    assert await taken(leg) == [{"task": MODERN}]


@pytest.mark.parametrize("data", [b'{"a":{"kind":"x"}}', b'{"kind":7}', b"[]", b'{"task":{"metadata":{"kind":1}}}'])
def test_what_looks_a_little_like_the_other_form_is_left_as_it_is(data: bytes) -> None:
    assert in_form(Operation.SEND, "1.0", data) is data


def test_bindings_are_known_by_their_names() -> None:
    assert speech_of("jsonrpc").ACCEPT == "application/json"
    assert "a2a+json" in speech_of("rest").ACCEPT
