from __future__ import annotations

import asyncio
from typing import Any

import pytest
from unit.a2a.rig import NOW, Rig, caller, message, task

from pointsman.a2a.protocol.operations import Operation
from pointsman.access.keys import Key
from pointsman.errors import Overloaded, UpstreamBroken
from pointsman.wire.jsonrpc import RpcError

OTHER = caller("key:other")


def about(operation: Operation, task_id: str) -> dict[str, Any]:
    """Parameters that name a task."""
    if operation in {Operation.SEND, Operation.STREAM}:
        return message(taskId=task_id)
    name = "id" if operation in {Operation.GET, Operation.CANCEL, Operation.SUBSCRIBE} else "taskId"
    return {name: task_id, **({"id": "p", "url": "https://me"} if name == "taskId" else {})}


@pytest.mark.parametrize("version", ["1.0", "0.3"])
@pytest.mark.parametrize(
    "operation", [one for one in Operation if one not in {Operation.LIST, Operation.EXTENDED_CARD}]
)
@pytest.mark.requirement("a2a.owners")
async def test_a_task_of_somebody_else_looks_like_none(operation: Operation, version: Any) -> None:
    rig = Rig()
    await rig.begin("theirs", OTHER)
    asked = len(rig.agent.asked)
    told = []
    for task_id in ("theirs", "unknown", "x" * 600):
        params = about(operation, task_id)
        if version == "0.3" and "taskId" in params and operation is not Operation.SET_PUSH:
            params = {"id": params["taskId"], "pushNotificationConfigId": "p"}
        with pytest.raises(RpcError) as error:
            await (rig.stream if operation.is_streamed else rig.ask)(operation, params, version=version)
        told.append((error.value.code, error.value.message, error.value.data))
    assert told[0][0] == -32001
    assert len({str(one) for one in told}) == 1
    assert len(rig.agent.asked) == asked


@pytest.mark.parametrize("more", [{"contextId": "c9"}, {"referenceTaskIds": ["theirs"]}, {"referenceTaskIds": ["no"]}])
@pytest.mark.requirement("a2a.owners")
async def test_a_message_goes_into_no_context_and_refers_to_no_task_of_somebody_else(more: dict[str, Any]) -> None:
    rig = Rig()
    await rig.begin("theirs", OTHER, context="c9")
    with pytest.raises(RpcError) as error:
        await rig.ask(Operation.SEND, message(**more))
    assert error.value.code == -32001


async def test_a_context_that_nobody_has_becomes_the_callers() -> None:
    rig = Rig()
    rig.agent.answers[Operation.SEND] = {"message": {"messageId": "n", "contextId": "c7", "role": "ROLE_AGENT"}}
    await rig.ask(Operation.SEND, message(contextId="c7"))
    await rig.ask(Operation.SEND, message(contextId="c7"))
    with pytest.raises(RpcError):
        await rig.ask(Operation.SEND, message(contextId="c7"), OTHER)


async def test_of_two_who_choose_one_context_at_once_one_is_answered() -> None:
    rig = Rig()
    rig.agent.answers[Operation.SEND] = {"message": {"messageId": "n", "contextId": "c7", "role": "ROLE_AGENT"}}
    asking = [rig.ask(Operation.SEND, message(contextId="c7"), who) for who in (caller(), OTHER)]
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(one, dict) for one in told].count(True) == 1


async def test_an_agent_may_have_all_its_callers_in_one_context() -> None:
    rig = Rig()
    await rig.begin("theirs", OTHER, context="all")
    await rig.begin("mine", context="all")
    rig.agent.answers[Operation.SEND] = {"task": task("mine", context="all")}
    await rig.ask(Operation.SEND, message(taskId="mine", contextId="all"))
    with pytest.raises(RpcError):
        await rig.ask(Operation.SEND, message(contextId="all"))


async def test_own_tasks_are_asked_about_continued_and_referred_to() -> None:
    rig = Rig()
    await rig.begin("mine")
    rig.agent.answers = {Operation.SEND: {"task": task("mine")}, Operation.GET: task("mine", "TASK_STATE_COMPLETED")}
    await rig.ask(Operation.SEND, message(taskId="mine", contextId="c1", referenceTaskIds=["mine"]))
    assert (await rig.ask(Operation.GET, {"id": "mine"}))["id"] == "mine"
    await rig.ledger.flush()
    row = await rig.rows.get("a", "mine")
    assert row is not None
    assert (row.state, row.is_over) == ("completed", True)


async def test_an_agent_that_answers_with_a_task_of_somebody_else_is_not_believed() -> None:
    rig = Rig()
    await rig.begin("one", OTHER)
    with pytest.raises(UpstreamBroken):
        await rig.ask(Operation.SEND, message())
    rig.agent.answers[Operation.SEND] = {"task": task("x" * 600)}
    with pytest.raises(UpstreamBroken):
        await rig.ask(Operation.SEND, message())


async def test_the_same_id_at_another_agent_is_another_task() -> None:
    rig = Rig()
    rig.registry.entries = {**rig.registry.entries, "b": _named(rig, "b")}
    await rig.begin("t1", OTHER)
    rig.agent.answers[Operation.SEND] = {"task": task("t1")}
    await rig.ask(Operation.SEND, message(), agent="b")
    rig.agent.answers[Operation.GET] = task("t1")
    assert (await rig.ask(Operation.GET, {"id": "t1"}, agent="b"))["id"] == "t1"


def _named(rig: Rig, name: str) -> Any:
    from msgspec.structs import replace

    return replace(rig.registry.entries["a"], id=name)


async def test_tasks_are_shared_by_a_team_where_the_operator_says_so() -> None:
    rig = Rig(rule="team")
    one, two = (_of_team(name, "t") for name in ("key:1", "key:2"))
    await rig.begin("ours", one)
    rig.agent.answers[Operation.GET] = task("ours")
    assert (await rig.ask(Operation.GET, {"id": "ours"}, two))["id"] == "ours"
    with pytest.raises(RpcError):
        await rig.ask(Operation.GET, {"id": "ours"}, _of_team("key:3", "u"))


def _of_team(name: str, team: str) -> Any:
    from pointsman.access.caller import Caller

    return Caller(name=name, role="key", key=Key(team_id=team))


async def test_while_nobody_can_tell_whose_a_task_is_nothing_is_asked() -> None:
    rig = Rig()
    rig.is_down = True
    with pytest.raises(Overloaded) as error:
        await rig.ask(Operation.GET, {"id": "t1"})
    assert error.value.code == "store_unavailable"
    assert rig.agent.asked == []


async def test_the_time_of_a_state_is_the_agents() -> None:
    rig = Rig()
    status = {"state": "TASK_STATE_WORKING", "timestamp": "2027-01-15T08:00:00.5Z"}
    rig.agent.answers[Operation.SEND] = {"task": {**task(), "status": status}}
    await rig.ask(Operation.SEND, message())
    row = await rig.rows.get("a", "t1")
    assert row is not None
    assert (row.changed_at, row.first_at) == (NOW + 0.5, NOW)
