from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import msgspec
import pytest
from unit.a2a.agents.test_telling import artifact, read, task, update

from pointsman.a2a.agents import following as module
from pointsman.a2a.agents.following import MAX_BARREN, Following
from pointsman.a2a.agents.streams import Leg
from pointsman.a2a.agents.telling import Telling
from pointsman.a2a.protocol.operations import Version
from pointsman.errors import UpstreamBroken, UpstreamError, UpstreamRejected, UpstreamTimeout, UpstreamUnreachable
from pointsman.wire.jsonrpc import RpcError

CUT = UpstreamBroken("cut")
AWAY = UpstreamUnreachable("away")
GONE = RpcError(-32001, "Task not found")
ENDED = RpcError(-32004, "The task has ended")
DONE = update("1.0", "completed")
FIRST = task("1.0")
Step = bytes | Exception


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0, 0.0))


class Played(Leg):
    """An answer that goes as it was written."""

    def __init__(self, *steps: Step, gives_snapshot: bool = True, is_spent: bool = False, early: int = 0) -> None:
        super().__init__(None, lambda event: event.data, gives_snapshot=gives_snapshot)
        self._steps = list(steps)
        self._is_spent = is_spent
        self._early = early
        self.is_closed = False

    @property
    def is_spent(self) -> bool:
        return self._is_spent

    async def next(self) -> bytes | None:
        if self._first:
            return await super().next()
        if not self._steps:
            return None
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def buffered(self) -> list[bytes]:
        found = [step for step in self._steps[: self._early] if isinstance(step, bytes)]
        del self._steps[: self._early]
        return found

    def close(self) -> None:
        self.is_closed = True


class Agent:
    """Gives the answers that were written for it, one after the other; the last look stays."""

    def __init__(self, *answers: Leg | Exception, look: bytes | Exception = GONE) -> None:
        self._answers = list(answers)
        self.legs: list[Leg | Exception] = []
        self.resumed: list[str] = []
        self.looks = 0
        self._look = look

    async def begin(self) -> Leg:
        return self._next()

    async def resume(self, task: str) -> Leg:
        self.resumed.append(task)
        return self._next()

    async def look(self, task: str) -> bytes:
        assert task == "t"
        self.looks += 1
        if isinstance(self._look, Exception):
            raise self._look
        return self._look

    def _next(self) -> Leg:
        found = self._answers.pop(0) if self._answers else AWAY
        if isinstance(found, Exception):
            raise found
        self.legs.append(found)
        return found


async def heard(agent: Agent, telling: Telling | None = None) -> list[bytes]:
    return [event async for event in Following(agent, telling or Telling("1.0")).events()]


async def failed(agent: Agent, kind: type[Exception], match: str) -> list[bytes]:
    """What came before it failed so."""
    found: list[bytes] = []

    async def hear() -> None:
        async for event in Following(agent, Telling("1.0")).events():
            found.append(event)  # noqa: PERF401  what came before a failure counts

    with pytest.raises(kind, match=match):
        await hear()
    assert all(isinstance(leg, Played) and leg.is_closed for leg in agent.legs)
    return found


async def test_a_stream_that_ends_with_its_task_is_one_answer() -> None:
    agent = Agent(Played(FIRST, artifact("1.0", "1"), DONE))
    assert await heard(agent) == [FIRST, artifact("1.0", "1"), DONE]
    assert (agent.resumed, agent.looks) == ([], 0)


async def test_what_fails_before_the_first_event_is_raised() -> None:
    assert await failed(Agent(GONE), RpcError, "not found") == []
    assert await failed(Agent(AWAY), UpstreamUnreachable, "away") == []
    assert await failed(Agent(Played(CUT)), UpstreamBroken, "cut") == []


async def test_an_error_ends_the_stream() -> None:
    agent = Agent(Played(FIRST, ENDED))
    assert await failed(agent, RpcError, "ended") == [FIRST]
    assert agent.resumed == []


@pytest.mark.requirement("a2a.resumption")
async def test_a_stream_that_is_cut_goes_on_and_nothing_is_told_twice() -> None:
    agent = Agent(
        Played(FIRST, artifact("1.0", "1"), CUT),
        AWAY,
        Played(task("1.0", "working", "1", "2"), artifact("1.0", "3", append=True), CUT),
        Played(task("1.0", "working", "1", "2", "3"), DONE),
    )
    found = read(await heard(agent))
    parts = [
        one["text"]
        for event in found
        if "artifactUpdate" in event
        for one in event["artifactUpdate"]["artifact"]["parts"]
    ]
    assert parts == ["1", "2", "3"]
    assert [event["statusUpdate"]["status"]["state"] for event in found if "statusUpdate" in event] == [
        "TASK_STATE_COMPLETED"
    ]
    assert agent.resumed == ["t"] * 3


@pytest.mark.requirement("a2a.resumption")
async def test_where_an_agent_does_not_tell_what_was_missed_it_is_asked() -> None:
    agent = Agent(
        Played(FIRST, artifact("1.0", "1"), CUT),
        Played(
            artifact("1.0", "2", append=True), artifact("1.0", "3", append=True), DONE, gives_snapshot=False, early=1
        ),
        look=task("1.0", "working", "1", "2"),
    )
    found = read(await heard(agent))
    parts = [
        one["text"]
        for event in found
        if "artifactUpdate" in event
        for one in event["artifactUpdate"]["artifact"]["parts"]
    ]
    assert parts == ["1", "2", "3"]
    assert agent.looks == 1


async def test_an_agent_that_should_tell_the_task_and_does_not_is_asked_too() -> None:
    agent = Agent(
        Played(FIRST, CUT),
        Played(update("1.0", "working", "news"), DONE),
        look=task("1.0", "working", text="news"),
    )
    found = read(await heard(agent))
    assert [next(iter(event)) for event in found] == ["task", "statusUpdate", "statusUpdate"]


async def test_what_is_missed_again_and_again_is_news_too() -> None:
    class Growing(Agent):
        async def look(self, task_id: str) -> bytes:
            await super().look(task_id)
            return task("1.0", "working", *map(str, range(self.looks)))

    answers = [Played(CUT, gives_snapshot=False) for _ in range(2 * MAX_BARREN)]
    agent = Growing(Played(FIRST, CUT), *answers, Played(DONE, gives_snapshot=False), look=FIRST)
    assert len(await heard(agent)) == 1 + 2 * MAX_BARREN + 1 + 1


async def test_what_came_early_is_told_where_the_task_is_not() -> None:
    agent = Agent(Played(FIRST, CUT), Played(artifact("1.0", "1"), DONE))
    assert await heard(agent) == [FIRST, artifact("1.0", "1"), DONE]


@pytest.mark.requirement("a2a.resumption")
@pytest.mark.parametrize("failure", [ENDED, UpstreamRejected("no", status=404, kind="x")])
async def test_a_task_that_has_ended_meanwhile_is_told_as_it_is(failure: Exception) -> None:
    agent = Agent(Played(FIRST, CUT), failure, look=task("1.0", "completed", "1"))
    found = read(await heard(agent))
    assert [next(iter(event)) for event in found] == ["task", "artifactUpdate", "statusUpdate"]


async def test_a_refusal_in_the_answer_that_goes_on_is_like_one_before_it() -> None:
    agent = Agent(Played(FIRST, CUT), Played(ENDED), look=task("1.0", "completed"))
    assert len(await heard(agent)) == 2
    agent = Agent(Played(FIRST, CUT), Played(ENDED), look=FIRST)
    assert await failed(agent, RpcError, "ended") == [FIRST]


@pytest.mark.parametrize("look", [GONE, AWAY, FIRST])
async def test_a_stream_that_cannot_go_on_fails_with_what_has_cut_it(look: bytes | Exception) -> None:
    agent = Agent(Played(FIRST, CUT), look=look)
    assert await failed(agent, UpstreamBroken, "cut") == [FIRST]
    assert len(agent.resumed) == 3


async def test_a_stream_that_is_cut_again_and_again_without_news_fails() -> None:
    agent = Agent(Played(FIRST, CUT), *(Played(FIRST, CUT) for _ in range(20)))
    assert await failed(agent, UpstreamBroken, "cut") == [FIRST]
    assert len(agent.resumed) == MAX_BARREN


async def test_a_stream_that_ends_early_goes_on_while_there_is_news() -> None:
    agent = Agent(
        Played(FIRST),
        Played(FIRST, artifact("1.0", "1")),
        Played(task("1.0", "working", "1")),
        look=task("1.0", "working", "1"),
    )
    assert await heard(agent) == [FIRST, artifact("1.0", "1")]
    assert len(agent.resumed) == 2


async def test_an_agent_that_ends_a_stream_before_its_task_and_goes_has_failed() -> None:
    assert await failed(Agent(Played(FIRST)), UpstreamError, "away") == [FIRST]


async def test_an_agent_that_cannot_go_on_may_end_its_stream_when_it_likes() -> None:
    for refusal in (GONE, UpstreamRejected("no", status=404, kind="x")):
        assert await heard(Agent(Played(FIRST), refusal)) == [FIRST]


async def test_a_task_that_waits_for_its_client_is_not_asked_about() -> None:
    waiting = update("1.0", "input-required")
    for last in ((), (CUT,)):
        agent = Agent(Played(FIRST, waiting, *last))
        assert await heard(agent) == [FIRST, waiting]
        assert agent.resumed == []


@pytest.mark.parametrize("failure", [CUT, UpstreamTimeout("slow")])
async def test_bounds_are_the_end_of_a_stream(failure: UpstreamError) -> None:
    agent = Agent(Played(FIRST, failure, is_spent=True))
    assert await failed(agent, type(failure), failure.message) == [FIRST]
    assert agent.resumed == []


async def test_a_stream_of_nothing_that_is_known_is_not_gone_on_with() -> None:
    strange = b'{"somethingNew":1}'
    assert await heard(Agent(Played(strange))) == [strange]
    assert await failed(Agent(Played(strange, CUT)), UpstreamBroken, "cut") == [strange]


async def test_a_task_that_the_client_has_named_is_gone_on_with_from_the_beginning() -> None:
    agent = Agent(Played(CUT), Played(FIRST, DONE))
    found = read(await heard(agent, Telling("1.0", "t")))
    assert [next(iter(event)) for event in found] == ["statusUpdate", "statusUpdate"]


WAITING = update("1.0", "input-required")


def lasting() -> Telling:
    return Telling("1.0", "t", outlasts_pauses=True)


class Moving(Agent):
    """Tells of a task that moves on with each look."""

    def __init__(self, *answers: Leg | Exception, looks: Sequence[Step]) -> None:
        super().__init__(*answers)
        self._steps = list(looks)

    async def look(self, task: str) -> bytes:
        self._look = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        return await super().look(task)


async def test_a_client_may_want_to_hear_of_a_task_until_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    waits, goes = task("1.0", "input-required"), task("1.0", "working", "1")
    looks = [waits, waits, goes, goes, task("1.0", "completed", "1")]
    agent = Moving(Played(FIRST, WAITING), Played(), looks=looks)
    found = read(await heard(agent, lasting()))
    assert [next(iter(event)) for event in found] == [
        "task",
        "statusUpdate",
        "artifactUpdate",
        "statusUpdate",
        "statusUpdate",
    ]
    assert agent.looks == len(looks)


@pytest.mark.parametrize("refusal", [GONE, ENDED])
@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_a_task_that_an_agent_tells_nothing_of_while_it_waits_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, refusal: Exception, version: Version
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    waits, ended = [msgspec.json.decode(task(version, state)) for state in ("input-required", "completed")]
    looks = [msgspec.json.encode(one.get("task", one)) for one in (waits, waits, ended)]
    found = read(await heard(Moving(refusal, looks=looks), Telling(version, "t", outlasts_pauses=True)))
    assert found[:-1] == ([waits] if version == "1.0" else [])
    assert found[-1].get("statusUpdate", found[-1])["status"] == ended.get("task", ended)["status"]


async def test_a_task_that_is_not_there_or_has_ended_is_refused() -> None:
    for telling, looks in (
        (lasting(), [GONE]),
        (lasting(), [task("1.0", "completed")]),
        (Telling("1.0", "t"), [task("1.0", "input-required")]),
    ):
        with pytest.raises(RpcError, match="ended"):
            await heard(Moving(ENDED, looks=looks), telling)
    with pytest.raises(RpcError, match="No"):
        await heard(Moving(RpcError(-32602, "No"), looks=[task("1.0", "input-required")]), lasting())


async def test_such_a_client_hears_of_failures_and_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = task("1.0", "input-required")
    cases: list[tuple[float, list[Step], type[Exception]]] = [
        (0.0, [waits, GONE], RpcError),
        (0.0, [waits, AWAY], UpstreamError),
        (0.1, [waits], UpstreamTimeout),
    ]
    for wait, looks, kind in cases:
        monkeypatch.setattr(module, "LOOK_SECONDS", wait)
        events = Following(Moving(Played(FIRST, WAITING), GONE, looks=looks), lasting(), 0.05).events()
        assert [await anext(events), await anext(events)] == [FIRST, WAITING]
        with pytest.raises(kind):
            await anext(events)


async def test_such_a_client_hears_no_longer_than_a_stream_may_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    source = Moving(Played(FIRST, WAITING), GONE, looks=[task("1.0", "input-required")])
    events = Following(source, lasting(), deadline=0.0).events()
    assert [await anext(events), await anext(events)] == [FIRST, WAITING]
    with pytest.raises(UpstreamTimeout, match="lasted"):
        await anext(events)


async def test_after_the_end_of_a_task_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_SECONDS", 0.0)

    class Endless(Played):
        async def next(self) -> bytes | None:
            found = await super().next()
            if found is None:
                await asyncio.get_running_loop().create_future()
            return found

    assert await heard(Agent(Endless(FIRST, DONE))) == [FIRST, DONE]


async def test_what_an_agent_tells_after_the_end_of_a_task_is_told_and_its_failures_are_not() -> None:
    assert await heard(Agent(Played(FIRST, DONE, artifact("1.0", "1"), CUT))) == [FIRST, DONE, artifact("1.0", "1")]


async def test_a_client_that_leaves_ends_the_answer() -> None:
    leg = Played(FIRST, DONE)
    async with aclosing(Following(Agent(leg), Telling("1.0")).events()) as events:
        async for _ in events:
            break
    assert leg.is_closed
