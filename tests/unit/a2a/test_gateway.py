from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace
from unit.a2a.rig import Rig, caller, message, task

from pointsman.a2a.protocol import translation
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import NOBODY
from pointsman.errors import RateLimited, Unseen, UpstreamBroken
from pointsman.wire.jsonrpc import RpcError

OTHER = caller("key:other")
OLD = {"message": {"kind": "message", "messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hello"}]}}
HOOK = {"configuration": {"taskPushNotificationConfig": {"url": "https://me"}}}


async def test_a_message_and_its_answer_go_through_as_they_are() -> None:
    rig = Rig()
    rig.agent.answers[Operation.SEND] = {"task": task(strange={"x": 1})}
    asked = message(metadata={"y": 2})
    assert await rig.ask(Operation.SEND, asked) == {"task": task(strange={"x": 1})}
    assert rig.agent.asked == [(Operation.SEND, "1.0", asked)]


async def test_an_agent_of_another_version_is_asked_and_understood_in_its_own() -> None:
    rig = Rig()
    rig.agent.speaks = ("0.3",)
    rig.agent.answers[Operation.SEND] = {**task(state="working"), "kind": "task"}
    result = await rig.ask(Operation.SEND, message())
    assert result["task"]["status"]["state"] == "TASK_STATE_WORKING"
    [(operation, version, params)] = rig.agent.asked
    assert (operation, version, params["message"]["parts"]) == (
        Operation.SEND,
        "0.3",
        [{"kind": "text", "text": "hello"}],
    )


@pytest.mark.parametrize(("most", "left"), [(0, None), (1, ["2"]), (None, ["1", "2"])])
async def test_as_much_history_is_told_as_was_asked_for(most: int | None, left: list[str] | None) -> None:
    rig = Rig()
    rig.agent.speaks = ("0.3",)
    history: list[Any] = [{"kind": "message", "messageId": one, "role": "user", "parts": []} for one in ("1", "2")]
    old = {**task(state="working"), "kind": "task", "history": history}
    rig.agent.answers = {Operation.SEND: old, Operation.GET: old}
    wish = {} if most is None else {"historyLength": most}
    for told in (
        (await rig.ask(Operation.SEND, {**message(), "configuration": wish}))["task"],
        await rig.ask(Operation.GET, {"id": "t1", **wish}),
    ):
        assert (None if "history" not in told else [one["messageId"] for one in told["history"]]) == left


@pytest.mark.parametrize(("size", "is_beside"), [(100, False), (300_000, True)])
async def test_a_long_result_is_translated_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, size: int, is_beside: bool
) -> None:
    rig = Rig()
    rig.agent.speaks = ("0.3",)
    text = {"artifactId": "a", "parts": [{"kind": "text", "text": "x" * size}]}
    legacy = {"kind": "task", "id": "t1", "contextId": "c1", "status": {"state": "working"}, "artifacts": [text]}
    rig.agent.answers[Operation.SEND] = legacy
    threads, translate = [], translation.result_bytes

    def translating(*args: Any) -> bytes:
        threads.append(threading.current_thread())
        return translate(*args)

    monkeypatch.setattr(translation, "result_bytes", translating)
    answer = await rig.ask(Operation.SEND, message())
    assert answer["task"]["artifacts"][0]["parts"] == [{"text": "x" * size}]
    assert [one is not threading.main_thread() for one in threads] == [is_beside]


async def test_whoever_subscribes_in_the_latest_version_hears_of_a_task_until_it_is_over() -> None:
    rig = Rig()
    await rig.begin()
    for version, is_wished in (("1.0", True), ("0.3", False)):
        await rig.stream(Operation.SUBSCRIBE, {"id": "t1"}, version=version)
        assert rig.agent.passed[-1].outlasts_pauses is is_wished
    await rig.stream(Operation.STREAM, message())
    assert not rig.agent.passed[-1].outlasts_pauses


async def test_a_client_of_the_older_version_is_answered_in_it() -> None:
    rig = Rig()
    rig.agent.speaks = ("1.0",)
    result = await rig.ask(Operation.SEND, OLD, version="0.3")
    assert (result["kind"], result["status"]["state"]) == ("task", "working")


async def test_an_agent_sees_no_member_twice() -> None:
    rig = Rig()
    await rig.begin("mine")
    twice = b'{"id":"theirs","id":"mine"}'
    rig.agent.answers[Operation.GET] = task("mine")
    await rig.ask(Operation.GET, twice)
    assert rig.agent.asked[-1][2] == {"id": "mine"}


async def test_half_a_character_is_read_as_no_character() -> None:
    rig = Rig()
    text = b'{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"x\\ud83d"}]}}'
    await rig.ask(Operation.SEND, text)
    assert rig.agent.asked[-1][2]["message"]["parts"] == [{"text": "x\ufffd"}]


@pytest.mark.parametrize("params", [b'{"message":', b'{"id":"theirs","id":"mine","x":1e999}', b'{"x":"\xff"}', b""])
async def test_what_is_no_json_is_refused(params: bytes) -> None:
    rig = Rig()
    with pytest.raises(RpcError) as error:
        await rig.ask(Operation.SEND, params)
    assert error.value.code == -32700
    assert rig.counted.seen == [("a", "send", "rpc -32700")]


async def test_parameters_that_cannot_be_read_are_refused() -> None:
    rig = Rig()
    with pytest.raises(RpcError) as error:
        await rig.ask(Operation.SEND, {"message": "hello"})
    assert error.value.code == -32602
    assert rig.agent.asked == []


async def test_an_agent_that_is_not_there_and_one_that_may_not_be_asked_look_alike() -> None:
    rig = Rig(AgentSettings(id="a", name="a"))
    for agent in ("a", "b"):
        with pytest.raises(Unseen) as error:
            await rig.ask(Operation.SEND, message(), agent=agent)
        assert error.value.message == f"Agent {agent} not found"
    assert rig.meter.opened == []


async def test_limits_are_looked_at_before_anything_else_is() -> None:
    rig = Rig()
    rig.meter.refusal = RateLimited("slow down")
    with pytest.raises(RateLimited):
        await rig.ask(Operation.GET, {"id": "unknown"})


@pytest.mark.parametrize(
    ("operation", "params", "off", "code"),
    [
        (Operation.STREAM, message(), "streaming", -32004),
        (Operation.SUBSCRIBE, {"id": "t1"}, "streaming", -32004),
        (Operation.SET_PUSH, {"taskId": "t1", "url": "https://me"}, "pushNotifications", -32003),
        (Operation.LIST_PUSH, {"taskId": "t1"}, "pushNotifications", -32003),
        (Operation.SEND, {**message(), **HOOK}, "pushNotifications", -32003),
        (Operation.EXTENDED_CARD, {}, "extendedAgentCard", -32004),
    ],
)
@pytest.mark.requirement("a2a.capabilities")
async def test_what_an_agent_cannot_do_is_refused_without_asking_it(
    operation: Operation, params: Any, off: str, code: int
) -> None:
    rig = Rig()
    rig.cards.capabilities[off] = False
    with pytest.raises(RpcError) as error:
        await (rig.stream if operation.is_streamed else rig.ask)(operation, params)
    assert error.value.code == code
    assert rig.agent.asked == []


async def test_without_an_extended_card_the_older_version_says_so() -> None:
    rig = Rig()
    rig.cards.capabilities.clear()
    with pytest.raises(RpcError) as error:
        await rig.ask(Operation.EXTENDED_CARD, version="0.3")
    assert error.value.code == -32007


@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_whoever_shows_no_key_sees_no_extended_card(version: Any) -> None:
    rig = Rig(is_public=True)
    with pytest.raises(RpcError) as error:
        await rig.ask(Operation.EXTENDED_CARD, None, NOBODY, version)
    assert error.value.code == -32007


async def test_an_extended_card_becomes_one_of_the_gateway() -> None:
    rig = Rig()
    rig.agent.answers[Operation.EXTENDED_CARD] = {"name": "far"}
    assert await rig.ask(Operation.EXTENDED_CARD) == ["1.0", "a", {"name": "far"}]


async def test_events_are_passed_on_and_told_to_the_ledger() -> None:
    rig = Rig()
    rig.agent.events = [
        {"task": task(state="TASK_STATE_SUBMITTED")},
        {"artifactUpdate": {"taskId": "t1", "contextId": "c1", "artifact": {"artifactId": "x", "parts": []}}},
        {"statusUpdate": {"taskId": "t1", "contextId": "c1", "status": {"state": "TASK_STATE_COMPLETED"}}},
    ]
    assert await rig.stream(Operation.STREAM, message()) == rig.agent.events
    await rig.ledger.flush()
    row = await rig.rows.get("a", "t1")
    assert row is not None
    assert (row.owner, row.context, row.state, row.is_over) == ("key:me", "c1", "completed", True)


async def test_events_of_an_agent_of_another_version_are_translated() -> None:
    rig = Rig()
    rig.agent.speaks = ("1.0",)
    rig.agent.events = [{"task": task()}, {"statusUpdate": {"taskId": "t1", "status": {"state": "TASK_STATE_FAILED"}}}]
    events = await rig.stream(Operation.STREAM, OLD, version="0.3")
    assert [(one["kind"], one["status"]["state"]) for one in events] == [
        ("task", "working"),
        ("status-update", "failed"),
    ]
    assert events[1]["final"] is True


async def test_whoever_subscribes_hears_first_how_the_task_is_although_its_agent_does_not_say_so() -> None:
    rig = Rig()
    rig.agent.speaks = ("0.3",)
    old = {**task(state="working"), "kind": "task"}
    rig.agent.answers = {Operation.SEND: old, Operation.GET: old}
    await rig.ask(Operation.SEND, message())
    rig.agent.events = [{"kind": "status-update", "taskId": "t1", "contextId": "c1", "status": {"state": "failed"}}]
    events = await rig.stream(Operation.SUBSCRIBE, {"id": "t1"})
    assert [list(one) for one in events] == [["task"], ["statusUpdate"]]
    assert len(await rig.stream(Operation.SUBSCRIBE, {"id": "t1"}, version="0.3")) == 1
    rig.agent.answers[Operation.GET] = {**task(state="failed"), "kind": "task"}
    with pytest.raises(RpcError) as error:
        await rig.stream(Operation.SUBSCRIBE, {"id": "t1"})
    assert error.value.code == -32004


@pytest.mark.requirement("a2a.ledger")
async def test_a_task_is_safe_before_its_first_event_goes_out() -> None:
    rig = Rig()
    rig.agent.events = [{"task": task()}, {"task": task("t2")}]
    stream = rig.gateway.stream(rig.call(Operation.STREAM, message()))
    await anext(stream)
    assert await rig.rows.get("a", "t1") is not None
    assert await rig.rows.get("a", "t2") is None
    await anext(stream)
    assert await rig.rows.get("a", "t2") is not None
    await stream.aclose()


@pytest.mark.requirement("a2a.withdrawn")
@pytest.mark.parametrize(
    ("now", "told"), [(None, 1), ({"allow_all_keys": False}, 1), ({"description": "another one"}, 2)], ids=str
)
async def test_a_stream_ends_where_its_agent_may_not_be_asked_any_more(now: dict[str, Any] | None, told: int) -> None:
    rig = Rig()
    rig.agent.events = [{"task": task()}, {"task": task(state="TASK_STATE_COMPLETED")}]
    events, heard = rig.gateway.stream(rig.call(Operation.STREAM, message())), 0
    with suppress(Unseen):
        async for _ in events:
            heard += 1
            settings = rig.registry.entries["a"]
            rig.registry.entries = {} if now is None else {"a": replace(settings, **now)}
            now = now or {}
    assert heard == told


async def test_a_client_that_leaves_ends_the_stream_and_pays_for_it() -> None:
    rig = Rig()
    rig.agent.events = [{"task": task()}, {"task": task()}]
    stream = rig.gateway.stream(rig.call(Operation.STREAM, message()))
    await anext(stream)
    await stream.aclose()
    assert rig.agent.streams_closed == 1
    assert rig.meter.closed == [(False, True)]
    assert rig.counted.seen == [("a", "stream", "cancelled")]


async def test_a_client_that_leaves_after_the_last_word_has_heard_all() -> None:
    rig = Rig()
    rig.agent.events = [{"task": task(state="TASK_STATE_COMPLETED")}, {"task": task()}]
    stream = rig.gateway.stream(rig.call(Operation.STREAM, message()))
    await anext(stream)
    await stream.aclose()
    assert rig.meter.closed == [(True, True)]


async def test_a_stream_that_breaks_off_is_told_after_what_it_has_given() -> None:
    rig = Rig()
    rig.agent.events = [{"task": task()}, UpstreamBroken("cut")]
    stream = rig.gateway.stream(rig.call(Operation.STREAM, message()))
    await anext(stream)
    with pytest.raises(UpstreamBroken):
        await anext(stream)
    assert rig.counted.seen == [("a", "stream", "upstream_broken")]


async def test_webhooks_of_a_message_are_looked_at_and_bound_to_its_task() -> None:
    rig = Rig()
    asked = {**message(), **HOOK}
    await rig.ask(Operation.SEND, asked)
    assert rig.push.seen == [("outgoing", asked), ("bound", "t1")]
    rig.push.seen.clear()
    rig.agent.events = [{"task": task("t2")}, {"task": task("t2", state="TASK_STATE_COMPLETED")}]
    await rig.stream(Operation.STREAM, asked)
    assert rig.push.seen == [("outgoing", asked), ("bound", "t2")]


async def test_what_is_asked_about_webhooks_is_about_tasks_of_the_caller() -> None:
    rig = Rig()
    await rig.begin()
    rig.agent.answers[Operation.LIST_PUSH] = {"configs": []}
    assert await rig.ask(Operation.LIST_PUSH, {"taskId": "t1"}) == {"configs": []}
    with pytest.raises(RpcError) as error:
        await rig.ask(Operation.LIST_PUSH, {"taskId": "t1"}, OTHER)
    assert error.value.code == -32001
    assert rig.push.seen == [(Operation.LIST_PUSH, "a")]


@pytest.mark.requirement("a2a.replicas")
async def test_the_replica_that_has_begun_a_task_is_asked_about_it() -> None:
    rig = Rig()
    rig.agent.replica = "http://two"
    await rig.begin()
    assert rig.agent.passed[-1].replica == ""
    await rig.ask(Operation.CANCEL, {"id": "t1"})
    assert rig.agent.passed[-1].replica == "http://two"
    await rig.ask(Operation.SEND, message(contextId="c1"))
    assert rig.agent.passed[-1].replica == "http://two"


async def test_an_agent_sees_what_is_for_it() -> None:
    rig = Rig(forward_headers=("X-Trace", "Authorization", "x-own"), timeout=7.0)
    rig.gateway.key_header = "x-own"
    headers = {b"x-trace": b"1", b"authorization": b"Bearer mine", b"x-own": b"mine", b"traceparent": b"00-1"}
    call = rig.call(Operation.SEND, message(), extensions=("https://e",), headers=headers)
    await rig.gateway.ask(call)
    assert rig.agent.passed[-1].headers == {"a2a-extensions": "https://e", "traceparent": "00-1", "x-trace": "1"}
    assert rig.agent.passed[-1].caller is call.caller
