from __future__ import annotations

import asyncio
from typing import Any

import pytest
from unit.a2a.rig import Rig, message, task

from pointsman.a2a.protocol.answers import Text
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.talking import PAUSES, answered

DONE = task(state="TASK_STATE_COMPLETED", artifacts=[{"artifactId": "a", "parts": [{"text": "Hi"}]}])


async def ask(rig: Rig, seconds: float = 60.0) -> tuple[Any, list[Any], list[float]]:
    slept: list[float] = []

    async def sleep(pause: float) -> None:
        slept.append(pause)

    deadline = asyncio.get_running_loop().time() + seconds
    reading, pieces = await answered(rig.gateway, rig.call(Operation.SEND, message()), deadline, sleep)
    return reading, pieces, slept


async def test_an_answer_is_given_as_soon_as_it_is_there() -> None:
    rig = Rig()
    rig.agent.answers[Operation.SEND] = {"task": DONE}
    reading, pieces, slept = await ask(rig)
    assert (reading.state, pieces, slept) == ("completed", [Text("Hi")], [])


async def test_a_task_that_goes_on_is_looked_at_until_it_does_not() -> None:
    rig = Rig()
    rig.agent.answers[Operation.SEND] = {"task": task()}
    looks = [task()] * 5 + [DONE]
    rig.agent.answers[Operation.GET] = lambda _: looks.pop(0)
    reading, pieces, slept = await ask(rig)
    assert (reading.state, pieces) == ("completed", [Text("Hi")])
    assert slept == [*PAUSES, PAUSES[-1], PAUSES[-1]]


async def test_at_the_end_of_the_time_it_is_told_how_far_it_is() -> None:
    rig = Rig()
    rig.agent.answers[Operation.SEND] = {"task": task()}
    reading, pieces, slept = await ask(rig, PAUSES[0] / 2)
    assert (reading.goes_on, reading.task, pieces, slept) == (True, "t1", [], [])


async def test_an_agent_that_says_nothing_in_time_has_not_answered() -> None:
    with pytest.raises(TimeoutError):
        await ask(Rig(), -1.0)


async def test_there_are_so_many_looks_as_fit_into_the_time_even_if_no_time_goes_by() -> None:
    rig = Rig()
    rig.agent.answers |= {Operation.SEND: {"task": task()}, Operation.GET: task()}
    reading, _, slept = await ask(rig, 10.0)
    assert reading.goes_on
    assert (len(slept), sum(slept) < 10.0) == (7, True)


@pytest.mark.requirement("a2a.chat")
async def test_only_the_message_is_a_request_of_the_caller() -> None:
    rig = Rig()
    rig.agent.answers |= {Operation.SEND: {"task": task()}, Operation.GET: DONE}
    await ask(rig)
    assert len(rig.agent.asked) == 2
    assert rig.meter.opened == [("key:me", "a", True)]
