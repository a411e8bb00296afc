from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pointsman.a2a.base import Passed
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.published import memory, model
from pointsman.a2a.published.memory import Memory
from pointsman.a2a.published.model import LOST_SECONDS, PublishedModel, Question
from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import Caller
from pointsman.errors import Overloaded, RateLimited, UpstreamBroken
from pointsman.store.tasks import TaskRow
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import RpcError
from pointsman.wire.usage import Usage

NOW = 1_800_000_000.0
CALLER = Caller(name="key:me")


class World:
    """An agent that is a model which says what the test wants."""

    def __init__(self, most: int = 10, **settings: Any) -> None:
        self.says: list[Any] = ["Hel", "lo"]
        """Pieces; a failure ends them, and an event is waited for."""
        self.asked: list[Question] = []
        self.rows: dict[str, TaskRow] = {}
        self.memory = Memory()
        self.is_cancelled = False
        self.tasks = Tasks(logging.getLogger("test"), most)
        self._settings = AgentSettings(id="a", name="a", model="house", **settings)
        self._ids = map(str, itertools.count(1))
        self.agent = self.made()

    def made(self) -> PublishedModel:
        """The agent, anew."""
        unique, now = lambda: next(self._ids), lambda: NOW
        return PublishedModel(self._settings, self._ask, self, self.memory, self.tasks, unique=unique, now=now)

    async def ended(self) -> None:
        """Nothing goes on any more."""
        await asyncio.gather(*self.tasks._tasks, return_exceptions=True)

    async def _ask(self, question: Question, on_text: Callable[[str], None]) -> Usage | None:
        self.asked.append(question)
        for piece in self.says:
            if isinstance(piece, asyncio.Event):
                try:
                    await piece.wait()
                except asyncio.CancelledError:
                    self.is_cancelled = True
                    raise
            elif isinstance(piece, Exception):
                raise piece
            else:
                on_text(piece)
        return Usage(input_tokens=1, output_tokens=2, total_tokens=3)

    async def find(self, agent: str, id: str) -> TaskRow | None:  # noqa: A002  as the protocol has it
        assert agent == "a"
        return self.rows.get(id)

    def tell(self, task: TaskRow) -> None:
        self.rows[task.id] = task

    async def ask(self, operation: Operation, params: Any) -> Any:
        return json.loads(await self.agent.ask(operation, "1.0", encoded(params), passed()))

    async def stream(self, params: Any, operation: Operation = Operation.STREAM) -> list[Any]:
        return [json.loads(one) async for one in self.agent.stream(operation, "1.0", encoded(params), passed())]


def encoded(params: Any) -> bytes:
    return json.dumps(params).encode()


def passed(**more: Any) -> Passed:
    return Passed(caller=CALLER, deadline=asyncio.get_running_loop().time() + 60, **more)


def message(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}], **more}}


def row(task: str, state: str, at: float) -> TaskRow:
    return TaskRow(
        agent="a",
        id=task,
        owner="me",
        context="c",
        state=state,
        is_over=state == "completed",
        changed_at=at,
        first_at=at,
        last_at=at,
    )


async def refused(awaited: Any) -> int:
    with pytest.raises(RpcError) as error:
        await awaited
    return error.value.code


@pytest.mark.requirement("a2a.published-models")
async def test_a_message_is_answered_with_a_message() -> None:
    world = World()
    assert await world.agent.version("0.3") == "1.0"
    found = (await world.ask(Operation.SEND, message(contextId="c")))["message"]
    assert (found["role"], found["parts"], found["contextId"]) == ("ROLE_AGENT", [{"text": "Hello"}], "c")
    assert found["metadata"]["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    [question] = world.asked
    assert (question.caller, question.model) == (CALLER, "house")
    assert question.messages == [{"role": "user", "content": "hello"}]


@pytest.mark.requirement("a2a.published-models")
async def test_a_streamed_message_is_a_task_that_can_be_looked_at_afterwards() -> None:
    world = World()
    begun, *updates, end = await world.stream(message())
    task = begun["task"]["id"]
    assert "".join(one["artifactUpdate"]["artifact"]["parts"][0]["text"] for one in updates) == "Hello"
    assert end["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    found = await world.ask(Operation.GET, {"id": task, "historyLength": 0})
    assert found["artifacts"][0]["parts"] == [{"text": "Hello"}]
    assert "history" not in found
    assert await refused(world.ask(Operation.CANCEL, {"id": task})) == -32002
    assert await refused(world.stream({"id": task}, Operation.SUBSCRIBE)) == -32004


async def test_a_task_goes_on_when_nobody_listens_and_is_heard_by_whoever_comes_back() -> None:
    world, more = World(), asyncio.Event()
    world.says = ["Hel", more, "lo"]
    events = world.agent.stream(Operation.STREAM, "1.0", encoded(message()), passed())
    task = json.loads(await anext(events))["task"]["id"]
    await events.aclose()
    assert (await world.ask(Operation.GET, {"id": task}))["status"]["state"] == "TASK_STATE_WORKING"
    again = asyncio.ensure_future(world.stream({"id": task}, Operation.SUBSCRIBE))
    await asyncio.sleep(0)
    more.set()
    first, *_, last = await again
    assert first["task"]["artifacts"][0]["parts"] == [{"text": "Hel"}]
    assert last["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_a_task_can_be_cancelled() -> None:
    world = World()
    world.says = ["Hel", asyncio.Event()]
    listening = asyncio.ensure_future(world.stream(message()))
    while not (runs := list(world.memory._runs.values())) or not runs[0].text:
        await asyncio.sleep(0)
    assert (await world.ask(Operation.CANCEL, {"id": runs[0].id}))["status"]["state"] == "TASK_STATE_CANCELED"
    assert (await listening)[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_CANCELED"
    assert runs[0].task is not None
    await asyncio.wait({runs[0].task})
    assert runs[0].task.cancelled()


async def test_what_fails_before_anything_was_said_is_no_task() -> None:
    world = World()
    world.says = [RateLimited("slow down")]
    for operation in (Operation.SEND, Operation.STREAM):
        with pytest.raises(RateLimited):
            await (world.stream(message()) if operation.is_streamed else world.ask(operation, message()))
    assert len(world.memory) == 0


async def test_what_fails_later_fails_the_task() -> None:
    world = World()
    world.says = ["Hel", UpstreamBroken("cut")]
    status = (await world.stream(message()))[-1]["statusUpdate"]["status"]
    assert (status["state"], status["message"]["parts"]) == ("TASK_STATE_FAILED", [{"text": "cut"}])


async def test_whoever_leaves_before_anything_was_said_ends_it() -> None:
    world = World()
    world.says = [asyncio.Event()]
    listening = asyncio.ensure_future(world.stream(message()))
    while not world.asked:
        await asyncio.sleep(0)
    listening.cancel()
    await asyncio.wait({listening})
    assert len(world.memory) == 0
    await world.ended()
    assert world.is_cancelled


async def test_whoever_leaves_a_message_has_its_model_left_too() -> None:
    world = World()
    world.says = [asyncio.Event()]
    asking = asyncio.ensure_future(world.ask(Operation.SEND, message()))
    while not world.asked:
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait({asking})
    assert world.is_cancelled


async def test_a_task_can_end_with_its_stream() -> None:
    world = World()
    world.says = ["Hel", asyncio.Event()]
    events = world.agent.stream(Operation.STREAM, "1.0", encoded(message()), passed(ends_with_stream=True))
    task = json.loads(await anext(events))["task"]["id"]
    await events.aclose()
    await world.ended()
    assert world.is_cancelled
    assert (await world.ask(Operation.GET, {"id": task}))["status"]["state"] == "TASK_STATE_CANCELED"


async def test_an_answer_that_is_too_long_is_none() -> None:
    world = World(max_result_bytes=4)
    with pytest.raises(UpstreamBroken):
        await world.ask(Operation.SEND, message())
    assert (await world.stream(message()))[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_FAILED"


async def test_the_model_is_told_of_earlier_tasks_that_a_message_refers_to() -> None:
    world = World()
    task = (await world.stream(message("first")))[0]["task"]["id"]
    again = (await world.stream(message("second", referenceTaskIds=[task])))[0]["task"]["id"]
    # However often it is named, each of them was said once.
    await world.ask(Operation.SEND, message("third", referenceTaskIds=[task, again] * 50))
    assert [one["content"] for one in world.asked[-1].messages] == ["first", "Hello", "second", "Hello", "third"]
    assert [one["role"] for one in world.asked[-1].messages] == ["user", "assistant", "user", "assistant", "user"]


async def test_what_is_not_known_any_more_cannot_be_gone_on_with() -> None:
    assert await refused(World().ask(Operation.SEND, message(referenceTaskIds=["of another process"]))) == -32602


@pytest.mark.requirement("a2a.published-models")
@pytest.mark.parametrize(("name", "most"), [("MAX_TURNS", 2), ("MAX_BYTES", 300)])
async def test_a_conversation_has_its_bounds(monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    world = World()
    monkeypatch.setattr(model, name, most)
    first = (await world.stream(message("first")))[0]["task"]["id"]
    second = (await world.stream(message("second", referenceTaskIds=[first])))[0]["task"]["id"]
    assert await refused(world.stream(message("third", referenceTaskIds=[second]))) == -32602
    assert len(world.asked) == 2


@pytest.mark.parametrize(
    ("params", "code"),
    [([], -32602), ({}, -32602), ({"message": {"parts": []}}, -32602), (message(taskId="t"), -32004)],
)
async def test_what_cannot_be_answered_is_refused(params: Any, code: int) -> None:
    world = World()
    assert await refused(world.ask(Operation.SEND, params)) == code
    assert await refused(world.stream(params)) == code


async def test_what_only_others_can_do_is_refused() -> None:
    for operation in (Operation.LIST, Operation.SET_PUSH, Operation.EXTENDED_CARD):
        assert await refused(World().ask(operation, {})) == -32004


@pytest.mark.parametrize(
    ("state", "age", "told"),
    [
        ("completed", 10.0, "TASK_STATE_COMPLETED"),
        ("working", 10.0, "TASK_STATE_WORKING"),
        ("working", LOST_SECONDS + 1, "TASK_STATE_FAILED"),
    ],
)
async def test_of_tasks_of_another_process_is_told_what_the_ledger_knows(state: str, age: float, told: str) -> None:
    world, at = World(), NOW - age
    world.rows["t"] = row("t", state, at)
    found = await world.ask(Operation.GET, {"id": "t"})
    assert (found["id"], found["contextId"], found["status"]["state"]) == ("t", "c", told)
    assert await refused(world.ask(Operation.GET, {"id": "none"})) == -32001
    assert await refused(world.ask(Operation.GET, {"id": 1})) == -32001


@pytest.mark.requirement("a2a.published-models")
async def test_so_many_tasks_go_on_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(memory, "MAX_RUNS", 1)
    world.says = ["Hel", asyncio.Event()]
    events = world.agent.stream(Operation.STREAM, "1.0", encoded(message()), passed())
    await anext(events)
    with pytest.raises(Overloaded):
        await world.stream(message())
    assert (len(world.memory), len(world.asked)) == (1, 1)


async def test_a_task_that_nobody_can_make_is_not_remembered() -> None:
    world = World(most=0)
    with pytest.raises(Overloaded):
        await world.stream(message())
    assert len(world.memory) == 0


async def test_the_ledger_is_told_of_an_end_that_nobody_hears() -> None:
    world, more = World(), asyncio.Event()
    world.says = ["Hel", more, "lo"]
    events = world.agent.stream(Operation.STREAM, "1.0", encoded(message()), passed())
    task = json.loads(await anext(events))["task"]["id"]
    world.rows[task] = row(task, "working", NOW)
    await events.aclose()
    more.set()
    await world.ended()
    assert (world.rows[task].state, world.rows[task].is_over) == ("completed", True)


async def test_what_was_said_outlasts_a_change_of_the_agent() -> None:
    world, more = World(), asyncio.Event()
    world.says = ["Hel", more, "lo"]
    events = world.agent.stream(Operation.STREAM, "1.0", encoded(message()), passed())
    task = json.loads(await anext(events))["task"]["id"]
    await world.agent.close()
    world.agent = world.made()
    more.set()
    await world.ended()
    assert (await world.ask(Operation.GET, {"id": task}))["artifacts"][0]["parts"] == [{"text": "Hello"}]


async def test_in_the_end_everything_is_cancelled() -> None:
    world = World()
    world.says = ["Hel", asyncio.Event()]
    events = world.agent.stream(Operation.STREAM, "1.0", encoded(message()), passed())
    await anext(events)
    await asyncio.wait(world.memory.stop())
    assert world.is_cancelled
    assert [json.loads(one) async for one in events][-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_CANCELED"
