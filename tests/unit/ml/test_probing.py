from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pointsman.ml.base import Features, Floats, Scores, State
from pointsman.ml.probing import Joined, medoids, outcomes_of, probes_of, prompts_of

CHANCE = np.random.default_rng(0)
EASE = CHANCE.uniform(-0.3, 0.3, 400)
"""How easy each prompt is."""
KNOWN = np.stack([0.7 + EASE, 0.5 + EASE, 0.4 - EASE], axis=1).astype(np.float32)
"""What is predicted of three models; the third one is good where the others are not."""
COST = np.tile(np.array([0.01, 0.004, 0.001], np.float32), (400, 1))


def scores(rows: Any = slice(None)) -> Scores:
    return Scores(KNOWN[rows], np.full_like(KNOWN[rows], 0.001), COST[rows])


def joined(quality: Any, cost: Any = None, *, level: float = 0.5, factor: float = 1.0) -> Joined:
    """After so many probes as there are qualities."""
    count = len(quality)
    spent = np.full(count, np.nan) if cost is None else cost
    start = Joined.none(KNOWN.mean(0).astype(np.float64))
    return start.with_model("new", scores(slice(count)), quality, spent, level=level, cost_factor=factor)


def test_probes_are_spread_over_all_kinds_of_prompts() -> None:
    kinds = np.repeat(np.eye(6, dtype=np.float32), 30, axis=0)
    embedding = kinds + CHANCE.normal(scale=0.02, size=kinds.shape).astype(np.float32)
    places = medoids(embedding, 6)
    assert sorted(places // 30) == [0, 1, 2, 3, 4, 5]


def test_the_first_probes_tell_most() -> None:
    embedding = np.zeros((30, 3), np.float32)
    embedding[:, 0] = 1.0
    embedding[28:] = [[0, 1, 0], [0, 0, 1]]
    embedding[:28, 1] = np.linspace(0, 0.1, 28)
    first = medoids(embedding, 12)[:3]
    assert {28, 29} < set(first.tolist())


def test_there_are_no_more_probes_than_prompts() -> None:
    assert len(medoids(np.eye(3, dtype=np.float32), 10)) == 3
    assert len(medoids(np.zeros((0, 3), np.float32), 10)) == 0
    assert len(set(medoids(np.ones((5, 3), np.float32), 4).tolist())) >= 1


def test_probes_are_kept_with_what_the_models_made_of_them() -> None:
    quality = np.array([[0.0, 1.0], [1.0, np.nan], [0.5, 0.5]], np.float32)
    state = probes_of(["a", "b", "c"], quality, np.eye(3, dtype=np.float32), 2)
    kept = prompts_of(state)
    assert len(kept) == 2
    found = outcomes_of(state, [kept[1], "another", kept[0]], 2)
    np.testing.assert_array_equal(found[0], quality["abc".index(kept[1])])
    assert np.isnan(found[1]).all()
    with pytest.raises(ValueError, match="do not fit its models"):
        outcomes_of(state, kept, 3)


@pytest.mark.parametrize("prompts", [None, "text", [1], ["x"] * 1001])
def test_probes_that_are_none_are_refused(prompts: Any) -> None:
    with pytest.raises(ValueError, match="not texts"):
        prompts_of(State({}, {"prompts": prompts}))


@pytest.mark.requirement("routing.learned.probe")
def test_without_probes_a_model_is_what_its_card_says_less_what_is_not_known() -> None:
    quality = joined([], level=0.6).extend(scores()).quality[:, 3]
    assert 0.35 < quality.mean() < 0.5
    assert np.corrcoef(quality, EASE)[0, 1] > 0.5


@pytest.mark.requirement("routing.learned.probe")
def test_the_more_probes_the_closer_it_comes_to_what_it_is_and_from_below() -> None:
    truth = np.clip(0.6 + EASE, 0, 1)
    outcomes = (CHANCE.random(400) < truth).astype(float)
    errors, deviations = [], []
    for count in (0, 30, 300):
        extended = joined(outcomes[:count], level=0.4).extend(scores())
        errors.append(float((truth - extended.quality[:, 3]).mean()))
        deviations.append(float(np.sqrt(extended.variance[:, 3]).mean()))
    assert errors[0] > errors[1] > errors[2] > -0.03
    assert errors[2] < 0.08
    assert deviations[0] > deviations[1] > deviations[2]


@pytest.mark.requirement("routing.learned.probe")
def test_probes_that_were_easier_than_they_looked_are_no_merit() -> None:
    outcomes, easy = np.ones(60), np.clip(KNOWN[:60] + 0.3, 0, 1)
    start = Joined.none(KNOWN.mean(0).astype(np.float64))
    beliefs = [
        start.with_model("new", scores(slice(60)), outcomes, outcomes * 0.01, level=0.5, cost_factor=1.0, known=known)
        for known in (None, easy)
    ]
    naive, wary = (float(belief.mean[0, 0]) for belief in beliefs)
    assert wary < naive - 0.1


@pytest.mark.requirement("routing.learned.probe")
def test_to_be_preferred_it_has_to_be_better_beyond_doubt() -> None:
    shares = []
    for count in (10, 400):
        quality = joined([1.0] * count, level=0.7).extend(scores()).quality
        shares.append(float((quality[:, 3] > KNOWN.max(1)).mean()))
    assert shares[0] < 0.4
    assert shares[1] > 0.8


def test_a_model_like_the_odd_one_is_told_from_the_others() -> None:
    outcomes = (CHANCE.random(400) < KNOWN[:, 2]).astype(float)
    quality = joined(outcomes, level=0.4).extend(scores()).quality[:, 3]
    assert np.corrcoef(quality, EASE)[0, 1] < -0.5


def test_those_that_were_there_stay_as_they_are() -> None:
    extended = joined([1.0, 0.0]).extend(scores())
    for name in ("quality", "variance", "cost_usd"):
        values: Floats = getattr(extended, name)
        assert values.shape == (400, 4)
        np.testing.assert_array_equal(values[:, :3], getattr(scores(), name))


@pytest.mark.parametrize(
    ("cost", "expected", "precision"),
    [([], 0.0342, 0.01), ([0.5] * 40, 0.5, 0.2), ([np.nan, np.nan], 0.0342, 0.01)],
)
def test_costs_are_those_of_the_card_until_probes_tell(
    cost: Sequence[float], expected: float, precision: float
) -> None:
    found = joined([1.0] * len(cost), cost, factor=10.0).extend(scores()).cost_usd[:, 3]
    np.testing.assert_allclose(found, expected, rtol=precision)


def test_several_may_join_and_none_twice() -> None:
    two = joined([1.0]).with_model("more", scores(slice(1)), [0.0], [0.1], level=0.2, cost_factor=2.0)
    assert two.models == ("new", "more")
    assert two.extend(scores()).quality.shape == (400, 5)
    with pytest.raises(ValueError, match="new is there already"):
        two.with_model("new", scores(slice(0)), [], [], level=0.5, cost_factor=1.0)


def test_what_is_believed_is_kept_and_read_again() -> None:
    one = joined([1.0, 0.0, 1.0], [0.1, 0.2, 0.1])
    other = Joined.from_state(one.state())
    np.testing.assert_array_equal(one.extend(scores()).quality, other.extend(scores()).quality)


def test_a_scorer_gives_all() -> None:
    class Known:
        def score(self, features: Features) -> Scores:
            return scores(slice(len(features)))

    features = Features(np.zeros((2, 4), np.float32), np.zeros((2, 1), np.float32))
    assert joined([1.0]).scorer(Known()).score(features).quality.shape == (2, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"models": None},
        {"models": []},
        {"models": [1]},
        {"models": ["a", "b"]},
        {"average": np.zeros(0)},
        {"average": np.zeros(7)},
        {"mean": np.full((1, 5), np.nan)},
        {"mean": np.zeros((2, 5))},
        {"covariance": np.zeros((1, 5))},
        {"log_cost": np.array([1e9])},
        {"log_cost": np.array([np.inf])},
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    state = joined([1.0]).state()
    settings = {"models": change.pop("models", ["new"])}
    with pytest.raises(ValueError, match="joined"):
        Joined.from_state(State({**state.arrays, **change}, settings))
