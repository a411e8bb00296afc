from __future__ import annotations

import math

import numpy as np
import pytest

from pointsman.ml.knobs import HIGHEST_PRICE, Frontier
from pointsman.ml.targets import LOWEST_PRICE, Target, dollars, share_of_calls

FRONTIER = Frontier(
    price=(0.0, 10.0, 1e4), cost_usd=(0.01, 0.004, 0.001), quality=(0.8, 0.7, 0.5), baseline_quality=0.7
)


def gains(count: int, seed: int = 0) -> list[float]:
    """What a strong model, which costs a cent, adds to the quality of prompts over one that costs a tenth of it."""
    found: list[float] = np.random.default_rng(seed).beta(1.0, 4.0, count).tolist()
    return found


def spend(target: Target, gain: float) -> float:
    return 0.01 if gain > target.price * 0.009 else 0.001


def test_dollars_are_met_in_the_long_run() -> None:
    target = dollars(0.003, FRONTIER)
    spent = []
    for gain in gains(4000):
        spent.append(spend(target, gain))
        target.observe(spent[-1])
    begun_wrong = math.log(1e4 / target.price) / (0.05 * 4000)
    assert np.mean(spent) == pytest.approx(0.003 * (1 - begun_wrong), rel=1e-6)
    assert np.mean(spent[-1000:]) == pytest.approx(0.003, rel=0.02)


def test_a_share_of_strong_calls_is_met_in_the_long_run() -> None:
    target = share_of_calls(0.3, price=1.0)
    strong = []
    for gain in gains(4000):
        strong.append(spend(target, gain) == 0.01)
        target.observe(strong[-1])
    assert np.mean(strong) == pytest.approx(0.3, abs=0.02)


def test_a_target_is_met_again_after_prompts_have_changed() -> None:
    target = dollars(0.003, FRONTIER)
    spent = []
    for gain in [*gains(2000), *(min(1.0, 3 * gain) for gain in gains(4000, seed=1))]:
        spent.append(spend(target, gain))
        target.observe(spent[-1])
    assert np.mean(spent[-2000:]) == pytest.approx(0.003, rel=0.03)


def test_the_calls_kept_are_those_that_gain_most() -> None:
    target = share_of_calls(0.2, price=1.0)
    kept: list[float] = []
    left: list[float] = []
    for gain in gains(3000):
        is_strong = spend(target, gain) == 0.01
        (kept if is_strong else left).append(gain)
        target.observe(is_strong)
    assert np.quantile(kept, 0.1) > np.quantile(left, 0.9)


def test_one_request_that_costs_twice_the_target_raises_the_price_by_the_rate() -> None:
    target = Target(0.01, scale=0.01, price=10.0, rate=0.1)
    target.observe(0.02)
    assert target.price == pytest.approx(10.0 * math.exp(0.1))
    target.observe(0.0)
    assert target.price == pytest.approx(10.0)


def test_it_begins_where_the_frontier_meets_the_target() -> None:
    assert dollars(0.005, FRONTIER).price == pytest.approx(10.0)


def test_a_target_out_of_reach_does_not_carry_the_price_away() -> None:
    target = dollars(0.003, FRONTIER)
    for _ in range(10_000):
        target.observe(1e6)
    assert target.price == pytest.approx(HIGHEST_PRICE)
    for _ in range(10_000):
        target.observe(0.0)
    assert target.price == pytest.approx(LOWEST_PRICE)


def test_what_is_no_number_is_passed_over() -> None:
    target = share_of_calls(0.5, price=7.0)
    target.observe(math.nan)
    target.observe(math.inf)
    assert target.price == pytest.approx(7.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: dollars(0.0, FRONTIER),
        lambda: share_of_calls(1.5, price=1.0),
        lambda: Target(-1.0, scale=1.0, price=1.0),
        lambda: Target(1.0, scale=1.0, price=1.0, rate=0.0),
    ],
)
def test_a_target_that_cannot_be_kept_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r"is at least 0|from 0 to 1"):
        make()
