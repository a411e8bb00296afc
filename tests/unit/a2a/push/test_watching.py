from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from unit.a2a.rig import Rig, caller, task

from pointsman.a2a.base import Call
from pointsman.a2a.protocol.faults import TASK_NOT_FOUND, UNSUPPORTED_OPERATION, refusal
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.push import watching
from pointsman.a2a.push.watching import PAUSES, Watching
from pointsman.errors import Overloaded, UpstreamBroken, UpstreamUnreachable
from pointsman.telemetry.tasks import Tasks

WORKING, DONE = {"task": task()}, {"task": task(state="TASK_STATE_COMPLETED")}
NEWS = {"artifactUpdate": {"taskId": "t1", "contextId": "c1", "artifact": {"artifactId": "a", "parts": []}}}


class World:
    """A gateway that listens to one task."""

    def __init__(self, tasks: Tasks) -> None:
        self.rig = Rig()
        self.tasks = tasks
        self.told: list[Any] = []
        self.slept: list[float] = []
        self.failures: list[Exception] = []
        self.wanted = 100
        self.is_wanted = True
        self.made = Watching(lambda: self.rig.gateway, tasks, sleep=self._sleep)
        self.call = Call(caller=caller(), agent="a", operation=Operation.SEND, version="0.3", params=b"{}")

    def listen(self) -> None:
        self.made.watch(self.call, "t1", self._tell, self._is_wanted)

    async def heard(self) -> list[Any]:
        """All that was told until there was nothing more."""
        self.listen()
        while len(self.tasks):
            await asyncio.sleep(0)
        return self.told

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def _is_wanted(self) -> bool:
        return self.is_wanted

    async def _tell(self, event: bytes) -> bool:
        if self.failures:
            raise self.failures.pop()
        self.told.append(json.loads(event))
        return len(self.told) < self.wanted


@pytest.fixture
async def world() -> AsyncIterator[World]:
    tasks = Tasks(logging.getLogger("test"), 10)
    made = World(tasks)
    await made.rig.begin("t1")
    yield made
    await tasks.close(1.0)


async def test_events_are_told_until_the_task_is_over(world: World) -> None:
    world.rig.agent.events = [WORKING, NEWS, DONE, NEWS]
    assert await world.heard() == [WORKING, NEWS, DONE]
    assert not world.slept


@pytest.mark.parametrize("failure", [refusal(UNSUPPORTED_OPERATION), UpstreamUnreachable()], ids=str)
async def test_where_nothing_is_streamed_it_is_asked_now_and_then(world: World, failure: Exception) -> None:
    world.rig.agent.events = [failure]
    states = iter(["WORKING", "WORKING", "INPUT_REQUIRED", "COMPLETED"])
    world.rig.agent.answers[Operation.GET] = lambda _: task(state=f"TASK_STATE_{next(states)}")
    told = await world.heard()
    assert [one["task"]["status"]["state"][11:] for one in told] == ["WORKING", "INPUT_REQUIRED", "COMPLETED"]
    assert world.slept == list(PAUSES[:3])


async def test_a_stream_that_was_cut_is_taken_up_again_without_the_same_word_twice(world: World) -> None:
    world.rig.agent.events = [WORKING, UpstreamBroken()]
    answers = iter([UpstreamUnreachable(), task(), task(state="TASK_STATE_FAILED")])
    world.rig.agent.answers[Operation.GET] = lambda _: next(answers)
    assert await world.heard() == [WORKING, {"task": task(state="TASK_STATE_FAILED")}]


async def test_a_task_that_is_gone_is_listened_to_no_more(world: World) -> None:
    world.rig.agent.events = []
    world.rig.agent.answers[Operation.GET] = refusal(TASK_NOT_FOUND)
    assert await world.heard() == []
    assert not world.slept


async def test_nobody_is_listened_to_for_nobody(world: World) -> None:
    world.wanted = 1
    world.rig.agent.events = [WORKING, NEWS, DONE]
    assert await world.heard() == [WORKING]


async def test_before_each_round_it_is_asked_whether_anybody_still_wants_to_be_told(world: World) -> None:
    asked = len(world.rig.agent.asked)
    world.is_wanted = False
    world.rig.agent.events = [WORKING, DONE]
    assert await world.heard() == []
    assert len(world.rig.agent.asked) == asked


async def test_an_agent_that_may_not_be_asked_any_more_is_listened_to_no_more(world: World) -> None:
    world.rig.registry.entries = {}
    assert await world.heard() == []
    assert not world.slept


@pytest.mark.requirement("a2a.limits")
async def test_what_is_asked_for_that_uses_up_no_limits(world: World) -> None:
    opened = len(world.rig.meter.opened)
    world.rig.agent.events = [UpstreamUnreachable()]
    states = iter(["WORKING", "WORKING", "COMPLETED"])
    world.rig.agent.answers[Operation.GET] = lambda _: task(state=f"TASK_STATE_{next(states)}")
    await world.heard()
    assert len(world.rig.meter.opened) == opened


@pytest.mark.parametrize("events", [[DONE], [UpstreamUnreachable()]], ids=["stream", "question"])
async def test_what_could_not_be_told_is_told_later(world: World, events: list[Any]) -> None:
    world.failures = [Overloaded(), Overloaded()]
    world.rig.agent.events = events
    world.rig.agent.answers[Operation.GET] = task(state="TASK_STATE_COMPLETED")
    assert await world.heard() == [DONE]


async def test_a_task_is_listened_to_once_at_a_time(world: World) -> None:
    world.rig.agent.events = [DONE]
    world.listen()
    assert await world.heard() == [DONE]
    world.told.clear()
    assert await world.heard() == [DONE], "and again later"


async def test_it_has_an_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MAX_QUESTIONS", 3)
    world.rig.agent.answers[Operation.GET] = task()
    await world.heard()
    assert len(world.slept) == len(PAUSES) + 3


async def test_where_too_much_goes_on_it_is_refused_and_may_be_asked_again(world: World) -> None:
    await world.tasks.close(1.0)
    for _ in range(2):
        with pytest.raises(Overloaded):
            world.listen()
