from __future__ import annotations

from random import Random

import pytest

from pointsman.routing.windows import Window


def test_an_empty_window_has_nothing() -> None:
    assert Window(10).total(1_000_000.0) == 0


def test_what_was_added_is_inside_for_as_long_as_the_window_is_to_a_tenth() -> None:
    window = Window(10)
    window.add(100.0, 5)
    assert [window.total(at) for at in (100.0, 105.0, 108.9, 109.9, 110.0)] == [5, 5, 5, 5, 0]


def test_sums_leave_one_after_another() -> None:
    window = Window(10)
    for second in range(100, 110):
        window.add(second)
    assert [window.total(at) for at in (109.0, 110.0, 114.5, 118.0, 119.0)] == [10, 9, 5, 1, 0]


def test_a_long_silence_empties_it() -> None:
    window = Window(60)
    window.add(100.0)
    assert window.total(100_000.0) == 0
    window.add(100_000.0)
    assert window.total(100_000.0) == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("seconds", [10.0, 60.0, 0.7, 3.3])
def test_it_never_forgets_early_nor_keeps_long(seconds: float, seed: int) -> None:
    chance, window, now = Random(seed), Window(seconds), 5_000.0
    added: list[tuple[float, int]] = []
    for _ in range(500):
        now += chance.choice((0.0, 0.005, 0.07, 0.1, 0.3)) * seconds
        amount = chance.randrange(4)
        window.add(now, amount)
        added.append((now, amount))
        surely = sum(n for at, n in added if at > now - seconds * 0.899)
        perhaps = sum(n for at, n in added if at > now - seconds * 1.001)
        assert surely <= window.total(now) <= perhaps
