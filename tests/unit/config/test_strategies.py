from __future__ import annotations

from typing import Any

import pytest

from pointsman.config.kinds import Mismatch
from pointsman.config.strategies import ASKING, KNOBS, LEARNING, QUALITY, ROUTED, STRATEGY_ARGS, THRESHOLD, is_routed
from pointsman.config.strategies import names_of as names
from pointsman.ml.registry import PROCEDURES, STRATEGIES
from pointsman.routing.procedures import PROCEDURES as CARRIED_OUT
from pointsman.routing.registry import LEARNED


@pytest.mark.parametrize(("value", "read"), [(0.3, 0.3), ("0.3", 0.3), ("cheap", 0.5), ("Best ", 1.0), (1, 1.0)])
def test_a_quality_is_a_number_or_a_word(value: Any, read: float) -> None:
    assert QUALITY.read(value) == read


@pytest.mark.parametrize("value", [1.1, -1, "good", True, None, []])
def test_another_quality_is_none(value: Any) -> None:
    with pytest.raises(Mismatch, match="cheap or best"):
        QUALITY.read(value)


def test_a_threshold_is_one_number_or_two() -> None:
    assert (THRESHOLD.read("0.5"), THRESHOLD.read([0.2, "0.7"])) == (0.5, [0.2, 0.7])
    for value in ([0.1], [0.1, 2], "x"):
        with pytest.raises(Mismatch, match="two of them"):
            THRESHOLD.read(value)


def test_both_places_take_the_same_keys() -> None:
    assert {*names(ROUTED.keys)} - {"model"} == {*names(STRATEGY_ARGS.keys)}
    assert {*names((*KNOBS, *ASKING, *LEARNING))} < {*names(ROUTED.keys)}


def test_every_strategy_there_is_can_be_configured() -> None:
    assert sorted(STRATEGIES) == sorted(LEARNED)
    assert {*PROCEDURES} == {*CARRIED_OUT}


@pytest.mark.parametrize(
    ("entry", "is_one"),
    [
        ({"litellm_params": {"model": "router/auto"}}, True),
        ({"litellm_params": {"model": " router/knn"}}, True),
        ({"litellm_params": {"model": "openrouter/auto"}}, False),
        ({"litellm_params": {"model": 3}}, False),
        ({"litellm_params": []}, False),
        ({}, False),
        (3, False),
    ],
)
def test_an_entry_is_routed_by_its_model(entry: Any, is_one: bool) -> None:
    assert is_routed(entry) is is_one
