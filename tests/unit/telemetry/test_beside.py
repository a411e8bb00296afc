from __future__ import annotations

import gc
import sys

import pytest

from pointsman.telemetry.beside import SELDOM, TURN_SECONDS, beside


def seen(word: str, *, is_failing: bool = False) -> tuple[str, float, tuple[int, int, int]]:
    if is_failing:
        raise ValueError(word)
    return word, sys.getswitchinterval(), gc.get_threshold()


async def test_a_computation_gives_way_often_and_looks_for_young_garbage_only() -> None:
    before = sys.getswitchinterval(), gc.get_threshold()
    word, turn, thresholds = await beside(seen, "a")
    assert word == "a"
    assert turn == pytest.approx(TURN_SECONDS)
    assert thresholds == (before[1][0], SELDOM, SELDOM)
    assert (sys.getswitchinterval(), gc.get_threshold()) == before


async def test_all_is_as_before_when_it_has_failed() -> None:
    before = sys.getswitchinterval(), gc.get_threshold()
    with pytest.raises(ValueError, match="b"):
        await beside(seen, "b", is_failing=True)
    assert (sys.getswitchinterval(), gc.get_threshold()) == before
