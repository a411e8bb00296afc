from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from unit.pipeline.routing import Noted, chat, routed_rig

from pointsman.pipeline.chosen import Chosen, lines_of

Make = Callable[..., Any]


@pytest.fixture
async def chosen(groups: Make) -> Chosen:
    rig = routed_rig(groups, about={"prices": {}})
    rig.routed.records = noted = Noted()
    await rig.ask(chat())
    return noted.chosen[0]


def told(chosen: Chosen, served: str | None = None) -> dict[str, str]:
    lines = lines_of(chosen, served).decode("ascii").split("\r\n")
    assert lines.pop() == ""
    return dict(line.removeprefix("x-pointsman-").split(": ", 1) for line in lines)


async def test_header_lines_tell_the_model_and_what_was_expected_of_it(chosen: Chosen) -> None:
    assert told(chosen) == {
        "routed-model": "house",
        "reason": "baseline",
        "predicted-quality": "0.900",
        "predicted-cost": "0.02",
        "checkpoint": "knn@0123456789ab",
    }


async def test_another_model_that_was_served_stands_in_its_place(chosen: Chosen) -> None:
    assert told(chosen, "second") == told(chosen) | {"routed-model": "second"}


async def test_the_procedure_that_has_asked_is_the_reason(chosen: Chosen) -> None:
    assert chosen.reason == "baseline"
    assert told(msgspec.structs.replace(chosen, procedure="automix"))["reason"] == "automix"


@pytest.mark.parametrize(("name", "shown"), [("héron", "h?ron"), ("a\r\nb: c", "a??b: c"), ("n" * 300, "n" * 256)])
async def test_a_name_cannot_break_a_header_line(chosen: Chosen, name: str, shown: str) -> None:
    assert told(chosen, name)["routed-model"] == shown


@pytest.mark.parametrize(("cost", "shown"), [(0.0, "0"), (1.0, "1"), (0.00000012, "0.00000012"), (12.5, "12.5")])
async def test_a_cost_is_shown_without_exponent_and_ending_zeros(chosen: Chosen, cost: float, shown: str) -> None:
    decision = msgspec.structs.replace(chosen.decision, cost_usd=cost)
    assert told(msgspec.structs.replace(chosen, decision=decision))["predicted-cost"] == shown
