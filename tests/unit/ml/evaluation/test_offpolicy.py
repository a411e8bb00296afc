from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pointsman.ml.evaluation.offpolicy import (
    LEAST_EFFECTIVE,
    CannotEstimate,
    Estimate,
    Estimates,
    Logged,
    estimate,
    ranking,
    text,
)

MODELS = ("one", "two", "three")
SKILLS = np.array([[0.8, 0.3, 0.5], [0.4, 0.9, 0.5]])
"""Chances of each model for each of two kinds of prompt."""
BEST = SKILLS.argmax(1)


def log(count: int, *, seed: int = 0, explored: float = 0.05, missed: float = 0.3) -> tuple[Logged, NDArray[np.intp]]:
    """Requests that went to the best model for their kind, but for those in which the kind was missed."""
    chance = np.random.default_rng(seed)
    kind = chance.integers(0, 2, count)
    first = np.where(chance.random(count) < missed, 0, BEST[kind])
    tried = chance.random(count) < explored
    chosen = np.where(tried, chance.integers(0, 3, count), first)
    inputs = np.column_stack([kind == 0, kind == 1, chance.normal(size=(count, 3)) / 3]).astype(np.float64)
    return Logged(
        models=MODELS,
        chosen=chosen,
        propensity=np.where(chosen == first, 1 - explored + explored / 3, explored / 3),
        reward=(chance.random(count) < SKILLS[kind, chosen]).astype(np.float64),
        expected=np.full((count, 3), np.nan),
        inputs=inputs,
    ), kind


def test_the_policy_that_decided_is_worth_what_it_earned() -> None:
    logged, _ = log(3_000, explored=0.0)
    found = estimate(logged, {"itself": logged.chosen})[0]
    for value in (found.snips.value, found.direct.value, found.doubly_robust.value):
        assert value == pytest.approx(logged.reward.mean(), abs=0.01)
    assert found.gain.value == pytest.approx(0.0, abs=1e-9)
    assert (found.agreement, round(found.effective)) == (1.0, 3_000)


@pytest.mark.requirement("routing.offpolicy.estimates")
def test_a_better_policy_is_found_to_be_better_by_as_much_as_it_is() -> None:
    logged, kind = log(6_000, explored=0.2)
    better, worse = estimate(logged, {"better": BEST[kind], "worse": np.full(len(logged), 2)})
    assert better.doubly_robust.value == pytest.approx(0.85, abs=0.04)
    assert better.gain.low > 0
    assert worse.gain.high < 0
    assert ranking([worse, better])[0].startswith("better: better by +0.1")


@pytest.mark.requirement("routing.offpolicy.estimates")
def test_errors_are_small_and_intervals_hold_the_truth_nineteen_times_in_twenty() -> None:
    errors, held = [], []
    for seed in range(60):
        logged, kind = log(1_000, seed=seed, explored=0.1)
        (found,) = estimate(logged, {"better": BEST[kind]})
        # The truth of all requests there could be: half of each kind.
        errors.append([e.value - 0.85 for e in (found.snips, found.doubly_robust)])
        held.append([e.low <= 0.85 <= e.high for e in (found.snips, found.doubly_robust)])
    snips, robust = np.sqrt(np.square(errors).mean(0))
    assert robust < min(0.05, 0.8 * snips)
    assert np.mean(held, 0)[1] >= 0.9


def test_probabilities_are_a_policy_too() -> None:
    logged, kind = log(3_000, explored=0.3)
    sure = np.eye(3)[BEST[kind]]
    by_place, by_chance = estimate(logged, {"a": BEST[kind], "b": sure})
    assert by_place.doubly_robust == by_chance.doubly_robust
    (even,) = estimate(logged, {"even": np.full((len(logged), 3), 1 / 3)})
    assert even.doubly_robust.value == pytest.approx(SKILLS.mean(), abs=0.05)


@pytest.mark.requirement("routing.offpolicy.refusal")
def test_nothing_is_recommended_when_too_little_is_known() -> None:
    logged, kind = log(1_000, explored=0.02, missed=0.9)
    (found,) = estimate(logged, {"better": BEST[kind]})
    assert found.effective < LEAST_EFFECTIVE
    assert "not enough to tell" in ranking([found])[0]
    assert "explore more" in text(logged, [found])


def test_what_is_not_clear_is_said_so() -> None:
    even = Estimate(0.5, 0.4, 0.6)
    made = Estimates(
        name="x",
        snips=even,
        direct=even,
        doubly_robust=even,
        gain=Estimate(0.0, -0.1, 0.1),
        effective=500.0,
        agreement=0.5,
    )
    assert ranking([made]) == ["x: not to be told apart (-0.1000 to +0.1000)"]
    assert even.error == pytest.approx(0.051, abs=1e-3)


def test_a_policy_that_never_agrees_is_judged_by_the_model_alone() -> None:
    logged, _ = log(500, explored=0.0, missed=1.0)
    (found,) = estimate(logged, {"other": np.full(len(logged), 1)})
    assert (found.effective, found.agreement) == (0.0, 0.0)
    assert np.isnan(found.snips.value)
    assert found.doubly_robust.error > 0.02


def test_the_table_has_a_row_for_each_policy() -> None:
    logged, kind = log(400)
    lines = text(logged, estimate(logged, {"in force": logged.chosen, "better": BEST[kind]})).splitlines()
    assert lines[0].startswith("400 rated requests, mean reward 0.")
    assert [line.split("  ")[0] for line in lines[3:5]] == ["in force", "better"]


@pytest.mark.parametrize(
    "changed",
    [
        {"propensity": np.zeros(50)},
        {"propensity": np.full(50, 1.5)},
        {"reward": np.full(50, np.nan)},
    ],
)
def test_a_log_that_does_not_hold_what_is_needed_is_refused(changed: dict[str, Any]) -> None:
    logged, _ = log(50)
    with pytest.raises(CannotEstimate, match="propensity"):
        estimate(replace(logged, **changed), {})


def test_a_handful_of_requests_is_refused() -> None:
    with pytest.raises(CannotEstimate, match="at least"):
        estimate(log(5)[0], {})


def test_prompts_of_which_nothing_is_known_will_do() -> None:
    logged, kind = log(500)
    bare = replace(logged, inputs=np.zeros((500, 0)))
    assert np.isfinite(estimate(bare, {"better": BEST[kind]})[0].doubly_robust.value)
