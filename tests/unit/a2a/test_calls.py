from __future__ import annotations

import logging
from typing import Any

import pytest
from unit.a2a.rig import Rig, caller, message, task

from pointsman.a2a.calls import Close
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.settings import AgentSettings
from pointsman.errors import (
    CONNECT_TIMEOUT,
    Overloaded,
    RateLimited,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pointsman.wire.jsonrpc import RpcError

LOG = "pointsman.a2a.calls"


@pytest.mark.requirement("a2a.audit")
async def test_a_call_is_metered_counted_and_written_down(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.agent.speaks = ("0.3",)
    rig.agent.answers[Operation.SEND] = {**task(state="completed"), "kind": "task"}
    with caplog.at_level(logging.INFO, LOG):
        await rig.ask(Operation.SEND, message(), request_id="r1")
    assert rig.meter.opened == [("key:me", "a", True)]
    assert rig.meter.closed == [(True, True)]
    assert rig.counted.seen == [("a", "send", "success")]
    [record] = caplog.records
    said = vars(record)
    names = ("caller", "agent", "operation", "task", "state", "version", "agent_version", "request_id", "outcome")
    assert [said[name] for name in names] == [
        *("key:me", "a", "send", "t1", "completed", "1.0", "0.3", "r1", "success"),
    ]
    assert said["bytes"] > 0
    assert "hello" not in str(said)


async def test_of_a_stream_its_events_are_written_down(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.agent.events = [{"task": task()}, {"task": task(state="TASK_STATE_COMPLETED")}]
    with caplog.at_level(logging.INFO, LOG):
        await rig.stream(Operation.STREAM, message())
    [record] = caplog.records
    assert [vars(record)[name] for name in ("operation", "events", "state")] == ["stream", 2, "completed"]


@pytest.mark.parametrize(
    ("answer", "outcome", "closed"),
    [
        (RpcError(-32000, "no"), "rpc -32000", (False, True)),
        *((RpcError(code, "no"), f"rpc {code}", (False, False)) for code in (-32601, -32004, -32009)),
        (UpstreamBroken("cut off"), "upstream_broken", (False, True)),
        (UpstreamTimeout("late"), "upstream_timeout", (False, True)),
        (UpstreamTimeout("nobody came", code=CONNECT_TIMEOUT), CONNECT_TIMEOUT, (False, False)),
        (UpstreamUnreachable("gone"), "upstream_unreachable", (False, False)),
        (Overloaded("full"), "overloaded", (False, False)),
    ],
)
async def test_what_an_agent_may_have_worked_on_has_to_be_paid_for(
    answer: Exception, outcome: str, closed: tuple[bool, bool]
) -> None:
    rig = Rig()
    rig.agent.answers[Operation.SEND] = answer
    with pytest.raises(type(answer)):
        await rig.ask(Operation.SEND, message())
    assert rig.counted.seen == [("a", "send", outcome)]
    assert rig.meter.closed == [closed]


async def test_a_stream_that_cannot_go_on_is_paid_for_as_it_has_begun() -> None:
    rig = Rig()
    for failure in (UpstreamUnreachable("gone"), RpcError(-32004, "no")):
        rig.agent.events = [{"task": task()}, failure]
        with pytest.raises(type(failure)):
            await rig.stream(Operation.STREAM, message())
    assert rig.meter.closed == [(False, True), (False, True)]


async def test_what_the_operator_is_to_know_of_a_failure_is_written_down(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.agent.answers[Operation.SEND] = UpstreamUnreachable("gone", operator_detail="the name does not resolve")
    with caplog.at_level(logging.INFO, LOG), pytest.raises(UpstreamUnreachable):
        await rig.ask(Operation.SEND, message())
    assert vars(caplog.records[0])["detail"] == "the name does not resolve"


async def test_what_is_refused_before_the_agent_is_asked_costs_nothing() -> None:
    rig = Rig()
    with pytest.raises(RpcError):
        await rig.ask(Operation.GET, {"id": "unknown"})
    assert rig.meter.opened == [("key:me", "a", False)]
    assert rig.meter.closed == [(False, False)]
    rig.meter.refusal = RateLimited("slow down")
    with pytest.raises(RateLimited):
        await rig.ask(Operation.SEND, message())
    assert rig.counted.seen[-1] == ("a", "send", "rate_limit_exceeded")
    assert rig.meter.closed == [(False, False)]


async def test_a_meter_may_take_its_time_to_close() -> None:
    rig, closed = Rig(), list[bool]()

    async def opening(*_: Any, **__: Any) -> Close:
        async def close(is_success: bool, _is_due: bool) -> None:
            closed.append(is_success)

        return close

    rig.meter.open = opening  # type: ignore[method-assign]
    await rig.ask(Operation.SEND, message())
    assert closed == [True]


@pytest.mark.requirement("a2a.audit")
async def test_who_asks_for_what_is_not_there_for_him_is_written_down(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(AgentSettings(id="a", name="a"))
    with caplog.at_level(logging.INFO, LOG):
        for agent in ("a", "b"):
            with pytest.raises(Exception, match="not found"):
                await rig.ask(Operation.SEND, message(), caller("key:x"), agent=agent)
    assert [vars(one)["outcome"] for one in caplog.records] == [
        "denied: the caller may not ask the agent a",
        "denied: there is no such agent",
    ]
