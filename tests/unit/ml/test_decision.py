from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pointsman.ml.base import Scores
from pointsman.ml.decision import Candidates, Decision, Prospect, Session, Setting, choose_many, decide, setting_of
from pointsman.ml.knobs import Frontier, Wish

NAMES = ("small", "medium", "large")
CANDIDATES = Candidates(NAMES, [0.5, 0.6, 0.8], [0.0001, 0.001, 0.01])


def prospect(
    quality: Sequence[float], deviation: Sequence[float] | float = 0.0, cost: Sequence[float] = (0.0001, 0.001, 0.01)
) -> Prospect:
    variance = np.broadcast_to(np.square(np.array(deviation, float)), len(quality))
    return Prospect(np.array(quality, float), variance, np.array(cost, float))


def choose(quality: Sequence[float], deviation: Sequence[float] | float = 0.0, **settings: Any) -> Decision:
    return decide(CANDIDATES, prospect(quality, deviation), Setting(**settings))


def test_for_quality_alone_the_best_one_is_chosen() -> None:
    found = choose([0.9, 0.6, 0.8])
    assert (found.model, found.reason, found.baseline) == ("small", "gain", "large")
    assert found.gain == pytest.approx(0.1)
    assert found.lead == pytest.approx(0.1)


def test_a_price_trades_quality_for_money() -> None:
    assert choose([0.5, 0.7, 0.8]).model == "large"
    assert choose([0.5, 0.7, 0.8], price=50.0).model == "medium"
    assert choose([0.5, 0.7, 0.8], price=1000.0).model == "small"


def test_in_doubt_the_best_single_model_is_kept() -> None:
    assert choose([0.9, 0.6, 0.8], 0.1).reason == "baseline"
    assert choose([0.9, 0.6, 0.8], 0.1).model == "large"
    assert choose([0.9, 0.6, 0.8], 0.1, doubt=0.0).model == "small"
    assert choose([0.9, 0.6, 0.8], 0.05).model == "small"


def test_of_two_credible_gains_the_one_that_is_more_certain_is_taken() -> None:
    assert choose([0.9, 0.88, 0.8], [0.06, 0.01, 0.01]).model == "medium"


def test_impatience_trades_quality_for_time() -> None:
    p = prospect([0.5, 0.7, 0.8])
    slow = Prospect(p.quality, p.variance, p.cost_usd, np.array([1.0, 1.0, 30.0]))
    assert decide(CANDIDATES, slow, Setting(impatience=0.01)).model == "medium"
    assert decide(CANDIDATES, slow, Setting()).model == "large"


def test_what_breaks_the_cost_limit_is_left_out() -> None:
    found = choose([0.5, 0.7, 0.8], max_cost_usd=0.005)
    assert (found.model, found.baseline) == ("medium", "medium")


def test_where_everything_costs_too_much_the_cheapest_is_taken() -> None:
    found = choose([0.5, 0.7, 0.8], max_cost_usd=0.00001)
    assert (found.model, found.reason) == ("small", "limit")


def test_a_quality_that_is_asked_for_is_met_by_the_cheapest_that_has_it_with_due_doubt() -> None:
    frontier = Frontier(price=(0.0,), cost_usd=(1.0,), quality=(0.8,), baseline_quality=0.8)
    setting = setting_of(Wish(min_quality=0.6), frontier, Setting())
    assert decide(CANDIDATES, prospect([0.5, 0.7, 0.8]), setting).model == "medium"
    assert decide(CANDIDATES, prospect([0.5, 0.7, 0.8], [0.0, 0.15, 0.0]), setting).model == "large"


def test_where_nothing_is_good_enough_the_best_that_costs_little_enough_is_taken() -> None:
    assert choose([0.5, 0.7, 0.8], min_quality=0.9).model == "large"
    found = choose([0.5, 0.7, 0.8], min_quality=0.9, max_cost_usd=0.005)
    assert (found.model, found.reason) == ("medium", "limit")


def test_only_what_is_open_is_chosen_and_the_rest_is_not_named() -> None:
    found = decide(CANDIDATES, prospect([0.9, 0.6, 0.8]), Setting(), is_open=np.array([False, True, True]))
    assert found.order == ("large", "medium")
    with pytest.raises(ValueError, match="no candidate is open"):
        decide(CANDIDATES, prospect([0.9, 0.6, 0.8]), Setting(), is_open=np.zeros(3, np.bool_))


def test_the_order_says_who_follows_where_the_chosen_one_fails() -> None:
    assert choose([0.5, 0.7, 0.8]).order == ("large", "medium", "small")
    assert choose([0.5, 0.7, 0.8], max_cost_usd=0.005).order == ("medium", "small", "large")


def test_what_is_not_predicted_comes_last_and_is_never_chosen_for_its_worth() -> None:
    assert choose([math.nan, 0.7, 0.6]).order == ("medium", "large", "small")
    nameless_cost = decide(CANDIDATES, prospect([0.9, 0.7, 0.6], cost=[math.nan, 0.001, 0.01]), Setting())
    assert nameless_cost.model == "medium"
    unsure = decide(CANDIDATES, prospect([0.9, 0.7, 0.6], [math.nan, 0.0, 0.0]), Setting())
    assert unsure.model == "medium"


def test_infinite_doubt_keeps_the_baseline() -> None:
    assert choose([0.9, 0.7, 0.6], math.inf).model == "large"


def test_where_nothing_is_predicted_the_best_on_average_is_taken() -> None:
    found = choose([math.nan] * 3)
    assert (found.model, found.reason, found.quality) == ("large", "unknown", 0.8)
    assert choose([math.nan] * 3, price=1e5).model == "small"


def test_a_tool_loop_keeps_its_model_even_over_a_limit() -> None:
    session = Session(model="large", is_tool_loop=True)
    found = decide(CANDIDATES, prospect([0.9, 0.6, 0.5]), Setting(max_cost_usd=0.001), session=session)
    assert (found.model, found.reason) == ("large", "tool loop")
    assert found.order[0] == "large"


def test_a_tool_loop_whose_model_cannot_take_the_request_goes_on_elsewhere() -> None:
    session = Session(model="large", is_tool_loop=True)
    for is_open in ([True, True, False],):
        found = decide(CANDIDATES, prospect([0.9, 0.6, 0.5]), Setting(), is_open=np.array(is_open), session=session)
        assert found.model == "small"
    gone = Session(model="of another time", is_tool_loop=True)
    assert decide(CANDIDATES, prospect([0.9, 0.6, 0.5]), Setting(), session=gone).model == "small"


@pytest.mark.parametrize(("quality", "model", "reason"), [(0.71, "medium", "session"), (0.73, "small", "gain")])
def test_a_session_stays_unless_another_model_is_better_by_the_margin(quality: float, model: str, reason: str) -> None:
    found = decide(CANDIDATES, prospect([quality, 0.7, 0.6]), Setting(margin=0.02), session=Session(model="medium"))
    assert (found.model, found.reason) == (model, reason)


def test_what_a_cached_prompt_saves_holds_a_session_longer() -> None:
    p = prospect([0.75, 0.7, 0.6], cost=[0.001, 0.001, 0.001])
    setting = Setting(price=10.0)
    assert decide(CANDIDATES, p, setting, session=Session(model="medium")).model == "small"
    assert decide(CANDIDATES, p, setting, session=Session(model="medium", saved_usd=0.004)).model == "medium"


def test_a_session_does_not_stay_over_a_limit() -> None:
    found = decide(CANDIDATES, prospect([0.5, 0.7, 0.71]), Setting(max_cost_usd=0.005), session=Session(model="large"))
    assert found.model == "medium"


def test_the_leader_of_a_session_says_its_own_reason() -> None:
    found = decide(CANDIDATES, prospect([0.5, 0.7, 0.8]), Setting(), session=Session(model="large"))
    assert (found.model, found.reason) == ("large", "baseline")


def test_equals_go_by_cost_and_then_by_name_whatever_their_order() -> None:
    for names in (["b", "a", "c"], ["c", "b", "a"], ["a", "c", "b"]):
        costs = [0.001 if name != "c" else 0.002 for name in names]
        candidates = Candidates(names, [0.5] * 3, costs)
        found = decide(candidates, prospect([0.5] * 3, cost=costs), Setting())
        assert found.order == ("a", "b", "c")


def test_todays_prices_count_and_not_those_of_the_training() -> None:
    scores = Scores(*(np.array([row], np.float32) for row in ([0.7, 0.7], [0.0, 0.0], [0.001, 0.002])))
    now = Candidates(["a", "b"], [0.7, 0.7], [0.001, 0.002], [4.0, 1.0])
    found = decide(now, Prospect.of(scores, 0, now), Setting(price=10.0))
    assert (found.model, found.baseline) == ("b", "b")
    assert found.cost_usd == pytest.approx(0.002)


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_candidates_have_names_of_their_own(names: list[str]) -> None:
    with pytest.raises(ValueError, match="different names"):
        Candidates(names, [0.5] * len(names), [0.1] * len(names))


def test_candidates_need_as_many_means_as_names() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        Candidates(["a", "b", "c"], [0.5, 0.6], [0.1, 0.2, 0.3])


def test_a_model_without_means_is_never_the_baseline() -> None:
    candidates = Candidates(["new", "old"], [math.nan, 0.4], [math.nan, 0.001])
    for price in (0.0, 1.0, 1e6):
        found = decide(candidates, prospect([0.9, 0.4], 1.0, [0.0005, 0.001]), Setting(price=price))
        assert found.baseline == "old"


def scores_of(candidates: Candidates, count: int, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    shape = count, len(candidates.names)
    # On a coarse grid, so that there are equals.
    quality = rng.integers(0, 6, shape) / 5
    cost = rng.integers(1, 4, shape) * 1e-3
    return Scores(quality.astype("f4"), (rng.integers(0, 3, shape) / 100).astype("f4"), cost.astype("f4"))


@pytest.mark.parametrize("price", [0.0, 1.0, 100.0, 1e6])
@pytest.mark.parametrize("doubt", [0.0, 0.5, 2.0])
def test_many_are_chosen_as_each_one_is(price: float, doubt: float) -> None:
    candidates = Candidates("edcba", [0.5, 0.6, 0.6, 0.4, 0.3], [1e-3, 2e-3, 2e-3, 1e-3, 1e-3])
    scores = scores_of(candidates, 100)
    setting = Setting(price=price, doubt=doubt)
    places = choose_many(candidates, scores, setting)
    each = [decide(candidates, Prospect.of(scores, row, candidates), setting).model for row in range(100)]
    assert [candidates.names[place] for place in places] == each


def test_the_order_of_candidates_decides_nothing() -> None:
    candidates = Candidates("edcba", [0.5, 0.6, 0.6, 0.4, 0.3], [1e-3, 2e-3, 2e-3, 1e-3, 1e-3])
    scores = scores_of(candidates, 200)
    places = np.array([3, 1, 4, 0, 2])
    other = Candidates([candidates.names[i] for i in places], candidates.quality[places], candidates.cost_usd[places])
    turned = Scores(*(array[:, places] for array in (scores.quality, scores.variance, scores.cost_usd)))
    for price in (0.0, 30.0, 1e5):
        setting = Setting(price=price)
        assert (places[choose_many(other, turned, setting)] == choose_many(candidates, scores, setting)).all()


def test_the_baseline_of_a_price_stays_the_same_and_depends_on_who_is_within() -> None:
    candidates = Candidates(["a", "b", "c"], [0.7, 0.6, 0.6], [0.01, 0.001, 0.001])
    for _ in range(2):
        assert [candidates.baseline(price, candidates.all) for price in (0.0, 100.0)] == [0, 1]
        assert candidates.baseline(0.0, np.array([False, True, True])) == 1
        assert candidates.baseline(0.0, np.array([False, False, True])) == 2
