from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from unit.pipeline.routing import chat, routed_rig

from pointsman.errors import InvalidRequest, ModelNotFound
from pointsman.pipeline.explaining import Explaining, info_of
from pointsman.routing.settings import FailureKind, RoutingSettings

Make = Callable[..., Any]


def _explaining(rig: Any) -> Explaining:
    return Explaining(rig.pipeline.routed, rig.groups, RoutingSettings(), rig.clock)


async def _told(rig: Any, **asked: Any) -> dict[str, Any]:
    told = await _explaining(rig).explain(asked, {}, "")
    assert msgspec.json.encode(told)
    assert rig.asked == {}
    return told


async def test_a_prompt_is_explained_without_asking_anybody(groups: Make) -> None:
    told = await _told(routed_rig(groups), prompt="What is 2 + 2?")
    assert (told["model"], told["chosen"], told["reason"]) == ("auto", "house", "baseline")
    assert [row["model"] for row in told["candidates"]] == ["house", "second", "third"]
    assert told["candidates"][0]["quality"] == 0.9
    assert told["prompt"] == "What is 2 + 2?"
    assert told["decision"]["order"] == ["house", "second", "third"]


async def test_what_another_knob_would_choose_is_told(groups: Make) -> None:
    told = await _told(routed_rig(groups), prompt="x", quality="best")
    assert told["cheaper"]["model"] == "second"
    assert told["better"] is None


async def test_a_whole_chat_request_is_explained(groups: Make) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    told = await _told(
        routed_rig(groups),
        model="auto:0",
        messages=[{"role": "user", "content": "one two"}],
        tools=[tool],
        stream=True,
    )
    assert told["chosen"] == "third"
    assert told["needs"] == {"tools": True, "images": False, "json": False, "tokens": 2}


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [({"quality": 0}, "third"), ({"max_cost": 0.015}, "second"), ({"pointsman": {"quality": 0}}, "third")],
)
async def test_knobs_stand_beside_the_prompt(groups: Make, asked: dict[str, Any], chosen: str) -> None:
    assert (await _told(routed_rig(groups), prompt="x", **asked))["chosen"] == chosen


async def test_why_a_candidate_is_out_is_told(groups: Make) -> None:
    rig = routed_rig(groups)
    member = rig.groups.members["house-id"]
    for _ in range(5):
        member.enter(rig.clock.now)
        member.fail(FailureKind.TIMEOUT, rig.clock.now, rig.clock.now, 0.5, None)
    told = await _told(rig, prompt="x")
    assert {row["model"]: row["dropped"] for row in told["candidates"]}["house"] == "resting"


@pytest.mark.parametrize(
    "asked", [{}, {"prompt": 3}, {"prompt": "x", "model": 3}, {"messages": 3}, {"prompt": "x", "quality": 7}]
)
async def test_what_cannot_be_read_is_refused(groups: Make, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await _explaining(routed_rig(groups)).explain(asked, {}, "")


async def test_what_is_wrong_is_named_as_it_was_said(groups: Make) -> None:
    explaining = _explaining(routed_rig(groups))
    with pytest.raises(InvalidRequest, match=r"^Invalid 'quality': expected a number from 0 to 1, cheap or best$"):
        await explaining.explain({"prompt": "x", "quality": "much"}, {}, "")
    with pytest.raises(InvalidRequest, match=r"^Invalid 'model': expected the name of a routed model$"):
        await explaining.explain({"prompt": "x", "model": ""}, {}, "")


@pytest.mark.parametrize("model", ["house", "nobody"])
async def test_what_is_no_routed_model_is_refused(groups: Make, model: str) -> None:
    with pytest.raises(ModelNotFound):
        await _explaining(routed_rig(groups)).explain({"prompt": "x", "model": model}, {}, "")


async def test_without_a_name_auto_is_meant_or_the_first_one(groups: Make) -> None:
    rig = routed_rig(groups)
    explaining = Explaining({"auto": rig.routed}, rig.groups, RoutingSettings(), rig.clock)
    assert (await explaining.explain({"prompt": "x"}, {}, ""))["model"] == "auto"


def test_all_routed_models_are_listed(groups: Make) -> None:
    info = _explaining(routed_rig(groups)).info()
    assert [one["model"] for one in info["routed_models"]] == ["auto"]
    assert "knn-multiround" in info["strategies"]


def test_a_cost_that_is_not_known_is_told_as_none(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.routed.kept.current.costs_unknown = frozenset({"second"})
    assert [one["mean_cost_usd"] for one in info_of(rig.routed, 0.0)["candidates"]] == [0.02, None, 0.001]


async def test_what_a_routed_model_is_can_be_read(groups: Make) -> None:
    rig = routed_rig(groups, about={"prices": {}}, quality=0.5)
    await rig.ask(chat(model="auto:best"))
    info = info_of(rig.routed, rig.clock.now)
    assert info["candidates"][0] == {
        "model": "house",
        "is_known": True,
        "mean_quality": 0.9,
        "mean_cost_usd": 0.02,
        "is_cost_as_trained": True,
        "can_answer": True,
        "decisions": 1,
    }
    assert (info["baseline"], info["knobs"]["quality"]) == ("house", 0.5)
    assert info["checkpoint"]["decides_by"] == "knn@0123456789ab"
    assert (info["sessions"], info["counts"]) == (1, {"baseline": 1})
    assert msgspec.json.encode(info)
