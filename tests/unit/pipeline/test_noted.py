from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.pipeline.conftest import Downstream
from unit.pipeline.routing import add_routed, chat, routed_rig

from pointsman.ml.decisionlog import read
from pointsman.pipeline.call import Call
from pointsman.pipeline.decisions import Decisions, decisions_of
from pointsman.routing.settings import LearningSettings
from pointsman.wire import operations as op


async def ask(rig: Any, request_id: str) -> None:
    call = Call(op.CHAT, Downstream(), {}, f"x-request-id: {request_id}\r\n".encode(), rig.clock.now, is_master=True)
    await rig.pipeline.serve(call, chat(("user", request_id)))


def begun(groups: Callable[..., Any], data: Path | None) -> tuple[Any, Decisions]:
    rig = routed_rig(groups, learning=LearningSettings(is_online=True, exploration_share=0.0))
    return rig, decisions_of({"auto": rig.routed}, {}, data, "w1", lambda: 1_000.0)


@pytest.mark.requirement("config.swap.memory")
async def test_what_is_noted_keeps_no_checkpoint_alive_and_can_still_be_rated(
    groups: Callable[..., Any], tmp_path: Path
) -> None:
    rig, decisions = begun(groups, tmp_path)
    await ask(rig, "r1")
    gone = [weakref.ref(rig.routed.learning), weakref.ref(rig.routed.kept.current.learned.scorer)]
    settings = msgspec.structs.replace(rig.routed.settings, quality=0.9)
    rig.routed, rig.told = add_routed(rig, settings)
    decisions = decisions_of({"auto": rig.routed}, {}, tmp_path, "w1", lambda: 1_001.0, decisions)
    gc.collect()
    assert [one() for one in gone] == [None, None]
    await ask(rig, "r1 again")
    assert not decisions.feedback("r1", 0.25, None, "", is_master=True)
    assert decisions.feedback("r1", 0.5, None, "", is_master=True)
    assert rig.routed.learning.ratings == 0
    await decisions.save()
    lines = [line for file in (tmp_path / "decisions").iterdir() for line in file.read_bytes().splitlines()]
    assert {entry.decided.id: entry.score for entry in read(lines)[0]} == {"r1": 0.5, "r1 again": None}


async def test_an_answer_whose_teacher_is_gone_can_be_followed_up(groups: Callable[..., Any]) -> None:
    rig, decisions = begun(groups, None)
    await ask(rig, "r1")
    rig.routed, rig.told = add_routed(rig, msgspec.structs.replace(rig.routed.settings, quality=0.9))
    decisions = decisions_of({"auto": rig.routed}, {}, None, "w1", lambda: 1_001.0, decisions)
    gc.collect()
    call = Call(op.CHAT, Downstream(), {}, b"x-request-id: r2\r\n", rig.clock.now, is_master=True)
    await rig.pipeline.serve(call, chat(("user", "r1")))
    assert decisions.memory.noted["r1"].is_judged
    assert decisions.memory.noted["r1"].learning is None


@pytest.mark.requirement("config.swap.memory")
async def test_a_call_that_has_ended_leaves_no_circle_that_holds_its_checkpoint(groups: Callable[..., Any]) -> None:
    rig = routed_rig(groups)
    gone = weakref.ref(rig.routed.kept.current)
    gc.collect()
    gc.disable()
    try:
        await ask(rig, "r1")
        rig.routed, rig.told = add_routed(rig, rig.routed.settings)
        assert gone() is None
    finally:
        gc.enable()
