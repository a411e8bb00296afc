from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from unit.upstream.peers import Answer, Peer, Request, event, events, json

from pointsman.a2a.agents import following
from pointsman.a2a.agents.remote import RemoteAgent
from pointsman.a2a.base import Health, Interface, LiveCard, Passed
from pointsman.a2a.protocol.operations import Binding, Operation, Version
from pointsman.a2a.settings import AgentSettings, AuthSettings, StreamLimits
from pointsman.access.caller import NOBODY
from pointsman.errors import CONNECT_TIMEOUT, GatewayError, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from pointsman.upstream.addresses import Credential
from pointsman.wire.jsonrpc import RpcError
from pointsman.wire.secret import Secret

HOME = "http://one.test/a"
OTHER = "http://two.test/a"
MODERN = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}}
LEGACY = {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "completed"}}
SEND = b'{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"Do it"}]}}'
SEND_LEGACY = b'{"message":{"messageId":"m","role":"user","kind":"message","parts":[{"kind":"text","text":"Do it"}]}}'
AWAY = UpstreamUnreachable(operator_detail="one.test:80: refused")
React = Callable[[Request], Answer | GatewayError]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAUSES", (0.0, 0.0))


class Cards:
    """What is known of one agent."""

    def __init__(self, *interfaces: Interface, streaming: bool = True) -> None:
        card = {"capabilities": {"streaming": streaming}}
        self.card = LiveCard(card=card, interfaces=interfaces, state="live")
        self.changes: list[str] = []

    async def live(self, agent: str) -> LiveCard:
        assert agent == "a"
        return self.card

    def peek(self, agent: str) -> LiveCard | None:
        return self.card

    def health(self, agent: str) -> Health:
        return Health()

    async def look(self, settings: AgentSettings) -> LiveCard:
        return self.card

    def changed(self, agent: str) -> None:
        self.changes.append(agent)


class Host(Peer):
    """One of the agent's hosts, which does with requests as it is told."""

    def __init__(self, react: React) -> None:
        super().__init__(on=self._react)
        self.react = react
        self.deadlines: list[float | None] = []

    async def send(self, head: bytes, body: bytes, **more: Any) -> Any:
        self.deadlines.append(more["deadline"])
        return await super().send(head, body, **more)

    def _react(self, request: Request) -> Answer:
        found = self.react(request)
        if isinstance(found, GatewayError):
            raise found
        return found


def way(version: Version = "1.0", binding: Binding = "jsonrpc", url: str = HOME) -> Interface:
    return Interface(url=url, binding=binding, version=version)


def speaks(version: Version, **results: Any) -> React:
    """An agent that knows the methods of one version; ``results`` are by method, and for all others a task."""

    def react(request: Request) -> Answer:
        asked = msgspec.json.decode(request.body)
        is_modern = asked["method"][0].isupper()
        if is_modern != (version == "1.0"):
            return json({"id": 1, "error": {"code": -32601, "message": "Method not found"}})
        found = results.get(asked["method"].replace("/", "_"), {"task": MODERN} if is_modern else LEGACY)
        if isinstance(found, Answer):
            return found
        return json({"id": 1, **found} if "error" in found else {"id": 1, "result": found})

    return react


def agent(
    hosts: Mapping[str, React] | React,
    cards: Cards | None = None,
    credential: Credential | None = None,
    **settings: Any,
) -> tuple[RemoteAgent, dict[str, Host]]:
    found = {url: Host(react) for url, react in (hosts if isinstance(hosts, Mapping) else {HOME: hosts}).items()}
    replicas = tuple(url for url in found if url != HOME)
    made = AgentSettings(id="a", name="A", url=HOME, replicas=replicas, **settings)
    return RemoteAgent(made, cards or Cards(way()), lambda url: found[url], credential), found


def passed(**members: Any) -> Passed:
    return Passed(caller=NOBODY, deadline=asyncio.get_running_loop().time() + 10, **members)


async def heard(remote: RemoteAgent, version: Version = "1.0", params: bytes = SEND, **members: Any) -> list[Any]:
    operation = members.pop("operation", Operation.STREAM)
    stream = remote.stream(operation, version, params, passed(**members))
    return [msgspec.json.decode(one) async for one in stream]


async def test_an_agent_is_spoken_to_in_the_version_of_the_client_where_it_can() -> None:
    remote, _ = agent(speaks("1.0"), Cards(way("0.3"), way("1.0")))
    assert [await remote.version("1.0"), await remote.version("0.3")] == ["1.0", "0.3"]
    remote, _ = agent(speaks("1.0"), Cards(way("1.0")))
    assert await remote.version("0.3") == "1.0"


@pytest.mark.requirement("a2a.lying-cards")
@pytest.mark.parametrize(
    ("says", "speaks_", "params", "result"),
    [("1.0", "0.3", SEND, {"task": MODERN}), ("0.3", "1.0", SEND_LEGACY, LEGACY)],
)
async def test_a_card_that_lies_about_the_version_is_seen_through_once(
    caplog: pytest.LogCaptureFixture, says: Version, speaks_: Version, params: bytes, result: Any
) -> None:
    cards = Cards(way(says))
    remote, hosts = agent(speaks(speaks_), cards)
    with caplog.at_level(logging.WARNING):
        assert await remote.version(says) == says
        assert msgspec.json.decode(await remote.ask(Operation.SEND, says, params, passed())) == result
        assert await remote.version(says) == speaks_
        assert msgspec.json.decode(await remote.ask(Operation.SEND, says, params, passed())) == result
    assert len(hosts[HOME].requests) == 3
    assert cards.changes == ["a"]
    (line,) = caplog.messages
    assert "test" not in line


@pytest.mark.requirement("a2a.lying-cards")
async def test_a_card_that_lies_about_the_binding_is_seen_through() -> None:
    def react(request: Request) -> Answer:
        return json({"task": MODERN}) if request.target == "/a/message:send" else json({"detail": "Not Found"}, 404)

    remote, hosts = agent(react)
    for _ in range(2):
        found = await remote.ask(Operation.SEND, "1.0", SEND, passed())
        assert msgspec.json.decode(found) == {"task": MODERN}
    assert [one.target for one in hosts[HOME].requests][-2:] == ["/a/message:send"] * 2


async def test_an_agent_that_understands_nothing_says_what_it_said_first() -> None:
    refused = {"error": {"code": -32601, "message": "No such method"}}
    remote, hosts = agent(speaks("1.0", SendMessage=refused), binding="jsonrpc")
    with pytest.raises(RpcError, match="No such method"):
        await remote.ask(Operation.SEND, "1.0", SEND, passed())
    assert await remote.version("1.0") == "1.0"
    assert len(hosts[HOME].requests) == 2


async def test_an_agent_may_speak_otherwise_after_a_while() -> None:
    remote, hosts = agent(speaks("0.3"), binding="jsonrpc")
    await remote.ask(Operation.SEND, "1.0", SEND, passed())
    assert await remote.version("1.0") == "0.3"
    hosts[HOME].react = speaks("1.0")
    with pytest.raises(RpcError, match="Method not found"):
        await remote.ask(Operation.SEND, "1.0", SEND, passed())
    assert msgspec.json.decode(await remote.ask(Operation.SEND, "1.0", SEND, passed())) == {"task": MODERN}


async def test_what_an_agent_of_the_right_version_cannot_do_it_is_asked_once() -> None:
    refused = {"error": {"code": -32601, "message": "No lists"}}
    remote, hosts = agent(speaks("1.0", ListTasks=refused))
    await remote.ask(Operation.SEND, "1.0", SEND, passed())
    with pytest.raises(RpcError, match="No lists"):
        await remote.ask(Operation.LIST, "1.0", b"{}", passed())
    assert len(hosts[HOME].requests) == 2


async def test_an_agent_over_rest_may_know_a_task_only_by_having_a_place_for_it() -> None:
    def react(request: Request) -> Answer:
        return json({"task": MODERN}) if request.target == "/a/message:send" else json({"detail": "Not Found"}, 404)

    remote, hosts = agent(react, Cards(way("1.0", "rest")))
    await remote.ask(Operation.SEND, "1.0", SEND, passed())
    with pytest.raises(RpcError, match="Task not found") as caught:
        await remote.ask(Operation.GET, "1.0", b'{"id":"t"}', passed())
    assert caught.value.code == -32001
    assert len(hosts[HOME].requests) == 2


async def test_a_refusal_teaches_which_version_is_spoken_too() -> None:
    refused = {"error": {"code": -32001, "message": "Task not found"}}
    remote, _ = agent(speaks("0.3", tasks_get=refused))
    with pytest.raises(RpcError, match="Task not found"):
        await remote.ask(Operation.GET, "1.0", b'{"id":"t"}', passed())
    assert await remote.version("1.0") == "0.3"


def two(first: React, second: React | None = None) -> dict[str, React]:
    return {HOME: first, OTHER: second or first}


@pytest.mark.requirement("a2a.replicas")
async def test_new_tasks_go_to_the_replicas_in_turn_and_known_ones_stay() -> None:
    remote, hosts = agent(two(speaks("1.0")))
    seen: list[str] = []
    for _ in range(4):
        await remote.ask(Operation.SEND, "1.0", SEND, passed(on_replica=seen.append))
    assert seen == [HOME, OTHER, HOME, OTHER]
    for _ in range(3):
        await remote.ask(Operation.GET, "1.0", b'{"id":"t"}', passed(replica=OTHER, on_replica=seen.append))
    assert seen[4:] == [OTHER] * 3
    await remote.ask(Operation.GET, "1.0", b'{"id":"t"}', passed(replica="http://gone.test", on_replica=seen.append))
    assert seen[-1] in (HOME, OTHER)
    assert len(hosts[HOME].requests) + len(hosts[OTHER].requests) == 8


@pytest.mark.requirement("a2a.replicas")
@pytest.mark.parametrize("failure", [AWAY, UpstreamTimeout(code=CONNECT_TIMEOUT)])
async def test_a_replica_that_cannot_be_reached_is_passed_over(failure: GatewayError) -> None:
    remote, _ = agent(two(lambda _: failure, speaks("1.0")))
    seen: list[str] = []
    await remote.ask(Operation.SEND, "1.0", SEND, passed(on_replica=seen.append))
    await remote.ask(Operation.GET, "1.0", b'{"id":"t"}', passed(replica=HOME, on_replica=seen.append))
    assert seen == [OTHER, OTHER]


@pytest.mark.requirement("a2a.replicas")
async def test_a_replica_that_may_have_acted_is_not_passed_over() -> None:
    for failure in (UpstreamBroken(), UpstreamTimeout()):
        remote, hosts = agent(two(lambda _, failure=failure: failure, speaks("1.0")))  # type: ignore[misc]
        with pytest.raises(type(failure)):
            await remote.ask(Operation.SEND, "1.0", SEND, passed())
        assert hosts[OTHER].requests == []


async def test_a_task_of_a_replica_that_is_away_is_not_unknown() -> None:
    unknown = speaks("1.0", GetTask={"error": {"code": -32001, "message": "Task not found"}})
    remote, _ = agent(two(lambda _: AWAY, unknown))
    with pytest.raises(UpstreamUnreachable, match="The agent could not be reached"):
        await remote.ask(Operation.GET, "1.0", b'{"id":"t"}', passed(replica=HOME))


@pytest.mark.requirement("a2a.leaks")
async def test_no_failure_tells_where_an_agent_is_or_what_it_is_shown() -> None:
    def react(request: Request) -> Answer:
        text = f"{request.headers['authorization']} is not known at {HOME}"
        return json({"id": 1, "error": {"code": -32603, "message": text, "data": {"at": HOME}}})

    auth = AuthSettings(kind="bearer_token", value=Secret("canary-token"))

    class Shown:
        async def lines(self, _caller: Any) -> dict[str, str]:
            return {"authorization": "Bearer canary-token"}

        async def renew(self, _caller: Any, _status: int, _challenge: str) -> bool:
            return False

    remote, _ = agent(react, credential=Shown(), auth=auth)
    for failing in (remote.ask(Operation.SEND, "1.0", SEND, passed()), heard(remote)):
        with pytest.raises(RpcError) as caught:
            await failing
        told = f"{caught.value} {caught.value.data}"
        assert "the agent" in told
        assert "canary" not in told
        assert "one.test" not in told


# -- streams ----------------------------------------------------------------------------------------------------------


def rpc(result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "result": result}


def working(version: Version) -> dict[str, Any]:
    if version == "1.0":
        return {"task": MODERN | {"status": {"state": "TASK_STATE_WORKING"}}}
    return LEGACY | {"status": {"state": "working"}}


async def test_events_are_given_and_so_is_the_replica_before_them() -> None:
    seen: list[str] = []
    remote, hosts = agent(speaks("1.0", SendStreamingMessage=events(rpc(working("1.0")), rpc({"task": MODERN}))))
    assert await heard(remote, on_replica=seen.append) == [working("1.0"), {"task": MODERN}]
    assert seen == [HOME]
    (deadline,) = hosts[HOME].deadlines
    assert deadline is not None
    assert deadline > asyncio.get_running_loop().time() + 1000


@pytest.mark.requirement("a2a.lying-cards")
@pytest.mark.parametrize("in_stream", [False, True])
async def test_a_stream_too_sees_through_a_card_that_lies(*, in_stream: bool) -> None:
    lie = {"id": 1, "error": {"code": -32601, "message": "Method not found"}}
    lying = events(lie, is_open=True) if in_stream else json(lie)

    def react(request: Request) -> Answer:
        if b"message/stream" in request.body:
            return events(rpc(working("0.3")), rpc(LEGACY))
        return lying

    remote, _ = agent(react)
    assert await heard(remote) == [working("1.0"), {"task": MODERN}]
    assert await remote.version("1.0") == "0.3"
    await asyncio.sleep(0)
    assert lying.producer.is_aborted is in_stream


@pytest.mark.requirement("a2a.resumption")
@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_a_stream_that_is_cut_goes_on_where_its_task_is(version: Version) -> None:
    part = {"text": "1"} if version == "1.0" else {"kind": "text", "text": "1"}
    ids = {"taskId": "t", "contextId": "c", "artifact": {"artifactId": "a", "parts": [part]}}
    piece = {"artifactUpdate": ids} if version == "1.0" else {"kind": "artifact-update"} | ids
    cut = Answer(200, {"content-type": "text/event-stream"}, event(rpc(working(version))), b"data: {", is_open=False)
    now = working(version)["task"] if version == "1.0" else working(version)
    done = {"task": MODERN} if version == "1.0" else LEGACY
    answers: dict[str, Any] = {
        "SendStreamingMessage": cut,
        "message_stream": cut,
        "SubscribeToTask": events(rpc(working(version)), rpc(piece), rpc(done)),
        "tasks_resubscribe": events(rpc(piece), rpc(done)),
        "tasks_get": now,
    }
    remote, hosts = agent({HOME: lambda _: AWAY, OTHER: speaks(version, **answers)}, Cards(way(version)))
    found = await heard(remote, version, SEND if version == "1.0" else SEND_LEGACY)
    assert found[:2] == [working(version), piece]
    assert len(found) == 3
    methods = [msgspec.json.decode(one.body)["method"] for one in hosts[OTHER].requests]
    assert methods[:2] in (["SendStreamingMessage", "SubscribeToTask"], ["message/stream", "tasks/resubscribe"])
    assert len(hosts[HOME].requests) == 1


async def test_a_task_that_a_client_follows_is_gone_on_with_too() -> None:
    cut = Answer(200, {"content-type": "text/event-stream"}, event(rpc({"statusUpdate": {"taskId": "t"}})), b"data: {")
    subscriptions = [cut, events(rpc({"task": MODERN}))]

    def react(request: Request) -> Answer:
        assert b"SubscribeToTask" in request.body
        return subscriptions.pop(0)

    remote, _ = agent(react)
    found = await heard(remote, params=b'{"id":"t"}', operation=Operation.SUBSCRIBE)
    assert [next(iter(one)) for one in found] == ["statusUpdate", "statusUpdate"]


async def test_a_stream_may_outlast_the_pauses_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.0)
    waits = {
        "kind": "status-update",
        "taskId": "t",
        "contextId": "c",
        "status": {"state": "input-required"},
        "final": True,
    }

    def react(request: Request) -> Answer:
        if b"tasks/get" in request.body:
            return json(rpc(LEGACY))
        return events(rpc(waits))

    params = b'{"id":"t"}'
    remote, _ = agent(react, Cards(way("0.3")))
    assert await heard(remote, "0.3", params, operation=Operation.SUBSCRIBE) == [waits]
    found = await heard(remote, "0.3", params, operation=Operation.SUBSCRIBE, outlasts_pauses=True)
    assert [one["status"]["state"] for one in found] == ["input-required", "completed"]


async def test_a_task_that_waits_may_be_one_that_the_agent_does_not_tell_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.0)
    states = ["input-required", "input-required", "completed"]
    unknown = {"id": 1, "error": {"code": -32001, "message": "Task not found"}}

    def react(request: Request) -> Answer:
        return (
            json(rpc(LEGACY | {"status": {"state": states.pop(0)}})) if b"tasks/get" in request.body else json(unknown)
        )

    remote, _ = agent(react, Cards(way("0.3")))
    (found,) = await heard(remote, "0.3", b'{"id":"t"}', operation=Operation.SUBSCRIBE, outlasts_pauses=True)
    assert found["status"]["state"] == "completed"


async def test_nobody_looks_at_a_task_for_longer_than_a_stream_may_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.0)
    waits = rpc(LEGACY | {"status": {"state": "input-required"}})
    unknown = {"id": 1, "error": {"code": -32001, "message": "Task not found"}}
    looks = iter([waits] * 10)

    def react(request: Request) -> Answer:
        return json(next(looks) if b"tasks/get" in request.body else unknown)

    remote, _ = agent(react, Cards(way("0.3")), stream=StreamLimits(total_seconds=0.0))
    with pytest.raises(UpstreamTimeout, match="lasted"):
        await heard(remote, "0.3", b'{"id":"t"}', operation=Operation.SUBSCRIBE, outlasts_pauses=True)


async def test_an_agent_without_streams_gives_one_event_where_that_is_added() -> None:
    remote, hosts = agent(speaks("1.0"), Cards(way(), streaming=False), adds=("streaming",))
    assert await heard(remote) == [{"task": MODERN}]
    assert b'"SendMessage"' in hosts[HOME].requests[0].body
    remote, _ = agent(speaks("0.3"), Cards(way("0.3"), streaming=False), adds=("streaming",))
    assert await heard(remote, "0.3", SEND_LEGACY) == [LEGACY]
    remote, hosts = agent(speaks("1.0"), Cards(way(), streaming=False))
    await heard(remote)
    assert b'"SendStreamingMessage"' in hosts[HOME].requests[0].body


async def test_a_task_of_such_an_agent_is_told_as_long_as_it_has_not_ended() -> None:
    now = working("1.0")["task"]
    remote, _ = agent(speaks("1.0", GetTask=now), Cards(way(), streaming=False), adds=("streaming",))
    assert await heard(remote, params=b'{"id":"t"}', operation=Operation.SUBSCRIBE) == [{"task": now}]
    remote, _ = agent(speaks("1.0", GetTask=MODERN), Cards(way(), streaming=False), adds=("streaming",))
    with pytest.raises(RpcError, match="ended"):
        await heard(remote, params=b'{"id":"t"}', operation=Operation.SUBSCRIBE)


async def test_a_stream_has_the_bounds_of_the_agent() -> None:
    answer = events(rpc(working("1.0")), rpc({"task": MODERN}))
    remote, _ = agent(speaks("1.0", SendStreamingMessage=answer), stream=StreamLimits(max_bytes=200))
    with pytest.raises(UpstreamBroken, match="longer"):
        await heard(remote)


async def test_a_client_that_leaves_ends_the_stream_at_the_agent() -> None:
    answer = events(rpc(working("1.0")), is_open=True)
    remote, hosts = agent(speaks("1.0", SendStreamingMessage=answer))
    async with aclosing(remote.stream(Operation.STREAM, "1.0", SEND, passed())) as stream:
        await anext(stream)
    await asyncio.sleep(0)
    assert answer.producer.is_aborted
    assert len(hosts[HOME].requests) == 1


async def test_streams_of_an_agent_that_is_left_fail() -> None:
    answers = [events(rpc(working("1.0")), is_open=True) for _ in range(2)]
    remote, hosts = agent(lambda _: answers.pop())
    stream = remote.stream(Operation.STREAM, "1.0", SEND, passed())
    await anext(stream)
    await remote.close()
    with pytest.raises(UpstreamBroken, match="not registered"):
        await anext(stream)
    (late,) = answers
    with pytest.raises(UpstreamBroken, match="not registered"):
        await heard(remote)
    await asyncio.sleep(0)
    assert late.producer.is_aborted
    assert len(hosts[HOME].requests) == 2
