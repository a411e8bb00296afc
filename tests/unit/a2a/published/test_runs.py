from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pointsman.a2a.published.runs import Run, Said, encoded, usage_of
from pointsman.wire.usage import Usage

MESSAGE = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}


def make(most: int = 100) -> Run:
    return Run("t", "c", MESSAGE, lambda: 1_800_000_000.0, most)


async def gather(run: Run, *, from_start: bool = True) -> list[Any]:
    return [event async for event in run.events(from_start=from_start)]


async def test_all_who_listen_hear_the_same_and_whoever_comes_later_the_rest() -> None:
    run = make()
    first = asyncio.ensure_future(gather(run))
    await asyncio.sleep(0)
    run.add("Hel")
    await asyncio.sleep(0)
    later = asyncio.ensure_future(gather(run, from_start=False))
    await asyncio.sleep(0)
    run.add("lo")
    await asyncio.sleep(0)
    run.usage = Usage(input_tokens=1, output_tokens=2)
    run.end("completed")
    begun, *updates, end = await first
    assert begun["task"]["status"]["state"] == "TASK_STATE_WORKING"
    assert begun["task"]["history"] == [MESSAGE | {"taskId": "t", "contextId": "c"}]
    assert "artifacts" not in begun["task"]
    told = [(one["artifactUpdate"]["artifact"]["parts"][0]["text"], one["artifactUpdate"]["append"]) for one in updates]
    assert told == [("Hel", False), ("lo", True)]
    assert end["statusUpdate"]["status"] == {"state": "TASK_STATE_COMPLETED", "timestamp": "2027-01-15T08:00:00.000Z"}
    assert end["statusUpdate"]["metadata"]["usage"]["total_tokens"] == 3
    snapshot, *rest = await later
    assert snapshot["task"]["artifacts"][0]["parts"] == [{"text": "Hel"}]
    assert rest == [updates[1], end]


async def test_what_is_added_between_two_looks_is_one_event() -> None:
    run = make()
    run.add("a")
    run.add("b")
    run.end("completed")
    assert [one["artifactUpdate"]["artifact"]["parts"] for one in (await gather(run))[1:-1]] == [[{"text": "ab"}]]


def test_a_run_ends_once_and_nothing_is_added_afterwards() -> None:
    run = make()
    run.end("failed", "No")
    run.end("completed")
    run.add("late")
    task = run.snapshot(has_history=False)
    assert (task["status"]["state"], task["status"]["message"]["parts"]) == ("TASK_STATE_FAILED", [{"text": "No"}])
    assert "artifacts" not in task
    assert "history" not in task


def test_an_answer_is_kept_as_far_as_it_may_be_long() -> None:
    run = make(most=3)
    run.add("äb")
    assert not run.is_too_long
    run.add("c")
    assert (run.is_too_long, run.text) == (True, "äb")


async def test_it_has_begun_when_there_is_something_to_tell() -> None:
    for has_text in (True, False):
        run = make()
        waiting = asyncio.ensure_future(run.begun())
        await asyncio.sleep(0)
        assert not waiting.done()
        if has_text:
            run.add("x")
        else:
            run.end("failed")
        await waiting


def test_of_what_was_used_nothing_is_told_where_nothing_is_known() -> None:
    assert usage_of(None) == {}
    assert json.loads(encoded(usage_of(Usage(input_tokens=4, output_tokens=1, total_tokens=9))))["usage"] == {
        "prompt_tokens": 4,
        "completion_tokens": 1,
        "total_tokens": 9,
    }


@pytest.mark.parametrize(("text", "turn"), [("Hi", {"role": "assistant", "content": "Hi"}), ("", None)])
def test_what_was_said_is_a_turn_that_others_can_go_on_with(text: str, turn: Any) -> None:
    run = make()
    run.add(text)
    assert run.answer is None
    run.end("completed")
    found: Said | None = run.answer
    assert (found and found.turn) == turn


async def test_a_run_can_be_stopped() -> None:
    run = make()
    run.stop()
    assert run.state == "canceled"

    async def go_on() -> None:
        await asyncio.Event().wait()

    run = make()
    run.task = asyncio.ensure_future(go_on())
    run.stop()
    await asyncio.wait({run.task})
    assert run.task.cancelled()
