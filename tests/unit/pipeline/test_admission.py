from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from pointsman.errors import Overloaded
from pointsman.pipeline.admission import BATCH_PRIORITY, LAG, LAG_FOR_BATCH, Admission
from pointsman.wire import operations as op

CHAT: dict[str, Any] = {"model": "house", "messages": []}


@dataclass
class State:
    lag: float = 0.0
    in_flight: int = 1


@pytest.fixture
def state() -> State:
    return State()


def lets_in(admission: Admission, priority: int = 0) -> bool:
    try:
        admission.check(priority)
    except Overloaded as error:
        return error.retry_after != 1
    return True


@pytest.mark.parametrize(
    ("lag", "priority", "is_let_in"),
    [
        (0.0, 255, True),
        (LAG_FOR_BATCH, BATCH_PRIORITY, True),
        (LAG_FOR_BATCH + 0.01, BATCH_PRIORITY, False),
        (LAG_FOR_BATCH + 0.01, BATCH_PRIORITY - 1, True),
        (LAG, 0, True),
        (LAG + 0.01, 0, False),
    ],
)
def test_a_late_event_loop_refuses_what_can_wait_and_then_everything(
    state: State, lag: float, priority: int, is_let_in: bool
) -> None:
    state.lag = lag
    assert lets_in(Admission(state, state), priority) is is_let_in


@pytest.mark.parametrize(("in_flight", "is_let_in"), [(1, True), (3, True), (4, False)])
def test_one_request_more_than_there_may_be_is_refused(state: State, in_flight: int, is_let_in: bool) -> None:
    state.in_flight = in_flight
    assert lets_in(Admission(state, state, 3)) is is_let_in


def test_without_a_limit_any_number_is_let_in(state: State) -> None:
    state.in_flight = 1_000_000
    assert lets_in(Admission(state, state))


def test_who_is_refused_is_counted(state: State) -> None:
    admission = Admission(state, state, 1)
    assert lets_in(admission)
    state.in_flight = 2
    assert not lets_in(admission)
    assert not lets_in(admission)
    assert admission.refused_total == 2


async def test_a_late_event_loop_refuses_before_anything_is_done(pair: Any) -> None:
    pair.sweeper.lag = 0.2
    await pair.ask(CHAT | {"priority": 99})
    with pytest.raises(Overloaded):
        await pair.ask(CHAT | {"priority": 100})
    pair.sweeper.lag = 1.0
    with pytest.raises(Overloaded):
        await pair.ask(b"not even read")
    with pytest.raises(Overloaded):
        await pair.pipeline.serve_upload(pair.call(op.TRANSCRIPTION), None)
    assert pair.asked == {"a": 1}


async def test_a_call_that_goes_on_without_its_client_still_counts() -> None:
    load = State()
    before = load.in_flight
    task = asyncio.create_task(asyncio.sleep(0))
    Admission(load, load).adopt(task)
    assert load.in_flight == before + 1
    await task
    await asyncio.sleep(0)
    assert load.in_flight == before


async def test_a_call_that_can_wait_is_refused_as_a_wish_to_wait_is(pair: Any) -> None:
    pair.sweeper.lag = 0.2
    call = pair.call()
    call.priority = 100
    with pytest.raises(Overloaded):
        await pair.pipeline.serve(call, msgspec.json.encode(CHAT))
    pair.sweeper.lag = 0.0
    await pair.pipeline.serve(call, msgspec.json.encode(CHAT))
    assert call.downstream.status == 200
