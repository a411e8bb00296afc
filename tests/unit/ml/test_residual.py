from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from unit.ml.estimators.check import check_estimator, columns, keeps_the_best, learns, rows
from unit.ml.worlds import COSTS, world

from pointsman.ml.base import Floats, State
from pointsman.ml.caution import cautious, needed
from pointsman.ml.linear import ridge
from pointsman.ml.residual import FOLDS, Arrays, Lesson, Residual, within


@dataclass(kw_only=True)
class Plane(Residual):
    NAME: ClassVar[str] = "plane"

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        found = ridge(lesson.inputs, lesson.residuals, 1.0, lesson.weights)
        return {"slopes": found.slopes, "intercept": found.intercept}

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        return inputs @ learnt["slopes"] + learnt["intercept"]


@dataclass(kw_only=True)
class Planes(Plane):
    IS_ENSEMBLE: ClassVar[bool] = True

    repeats: int = 2


@pytest.mark.parametrize("kind", [Plane, Planes])
def test_what_is_built_on_it_keeps_the_protocol(kind: Any) -> None:
    check_estimator(kind)
    learns(kind, gain=0.1)
    keeps_the_best(kind)


def test_an_ensemble_keeps_what_each_fold_has_learnt() -> None:
    members = {name.split("/")[0] for name in Planes().fit(*world()).state().arrays if "/" in name}
    assert len(members) == 2 * FOLDS
    assert {name.split("/")[0] for name in Plane().fit(*world()).state().arrays if "/" in name} == {"member00"}


def test_settings_come_back_and_others_do_not_pass() -> None:
    state = Plane(seed=3, doubt=0.5).fit(*world(60)).state()
    again = Plane.from_state(state)
    assert (again.seed, again.doubt) == (3, 0.5)
    with pytest.raises(ValueError, match="doubt"):
        Plane.from_state(State(state.arrays, {"doubt": "much"}))


def test_arrays_of_another_shape_are_refused() -> None:
    state = Plane().fit(*world(60)).state()
    for name in ("mean", "trust", "cost", "member00/slopes", "spread"):
        with pytest.raises(ValueError, match=r"."):
            Plane.from_state(State({**state.arrays, name: np.zeros((7, 7), np.float32)}, state.settings))


def test_means_are_drawn_together_where_labels_are_few() -> None:
    features, table = world(200, is_plain=True)
    few = np.where(np.arange(200)[:, None] < np.array([200, 200, 200, 3]), table.quality, np.nan)
    few[:3, 3] = 0
    quality = Plane().fit(features, replace(table, quality=few)).score(features).quality.mean(0)
    assert 0.15 < quality[3] < table.quality[:, :3].mean()


def test_little_is_known_of_a_model_seldom_seen_and_of_a_prompt_unlike_all_others() -> None:
    features, table = world(200, is_told=False)
    few = np.where(np.arange(200)[:, None] < np.array([200, 200, 200, 10]), table.quality, np.nan)
    fitted = Plane().fit(features, replace(table, quality=few))
    usual = fitted.score(features).variance.mean(0)
    assert usual[3] > 5 * usual[0]
    assert fitted.score(replace(features, surface=features.surface * 50)).variance.mean(0)[0] > 5 * usual[0]
    assert (
        Plane().fit(features, table).score(features).variance.mean()
        < Plane().fit(*rows(features, table, range(30))).score(features).variance.mean()
    )


def test_without_labels_the_variance_is_large() -> None:
    features, table = world(60)
    scores = Plane().fit(features, replace(table, quality=np.full_like(table.quality, np.nan))).score(features)
    np.testing.assert_allclose(scores.quality, 0.5, atol=2e-3)
    assert (scores.variance >= 0.2).all()


def test_costs_are_right_on_average_and_follow_the_prompt() -> None:
    features, table = world(400)
    longer = features.surface[:, :1]
    cost = (table.cost_usd * np.exp(longer)).astype(np.float32)
    scores = Plane().fit(features, replace(table, cost_usd=cost)).score(features)
    np.testing.assert_allclose(scores.cost_usd.mean(0), cost.mean(0), rtol=0.01)
    assert np.corrcoef(np.log(scores.cost_usd[:, 0]), longer[:, 0])[0, 1] > 0.95


def test_a_model_without_known_cost_costs_what_is_usual() -> None:
    features, table = world(60)
    cost = np.where(np.arange(4) == 1, np.nan, table.cost_usd).astype(np.float32)
    found = Plane().fit(features, replace(table, cost_usd=cost)).score(features).cost_usd[:, 1]
    assert COSTS.min() < found.mean() < COSTS.max()


def test_prompts_of_no_weight_do_not_count() -> None:
    features, table = world(300)
    weights = (np.arange(300) % 2).astype(np.float32)
    spoilt = np.where(weights[:, None] > 0, table.quality, 1 - table.quality).astype(np.float32)
    first, second = (
        Plane().fit(features, replace(table, quality=quality, weights=weights)).score(features).quality.mean(0)
        for quality in (table.quality, spoilt)
    )
    np.testing.assert_allclose(first, second, atol=0.05)


def test_a_single_model_gets_its_mean() -> None:
    features, table = world(200, is_plain=True)
    alone = columns(table, [1])
    quality = Plane().fit(features, alone).score(features).quality
    assert abs(quality.mean() - alone.quality.mean()) < 0.03


def test_scores_are_what_was_learnt_step_by_step() -> None:
    features, table = world(200)
    plane = Plane().fit(features, table)
    learnt: dict[str, Any] = {name: array.astype(np.float64) for name, array in plane._learnt.items()}
    plain = np.hstack([features.embedding, 0.15 * features.surface])
    kind = plain @ learnt["kinds"] + learnt["kinds_intercept"]
    shares = np.exp(6 * kind) / np.exp(6 * kind).sum(1, keepdims=True)
    inputs = np.hstack([plain, shares])
    slopes, intercept = (plane._members[0][name] for name in ("slopes", "intercept"))
    quality = learnt["mean"] + (inputs @ slopes + intercept) @ learnt["trust"]
    enough = needed(np.clip(kind.max(1), 0, 1))
    leverage = learnt["spread_rest"] * (inputs**2).sum(1) - ((inputs @ learnt["spread"]) ** 2).sum(1)
    found, least = plane.score(features), learnt["noise"] / (1 + learnt["labels"])
    rare = learnt["noise"] * learnt["labels"].max() / learnt["labels"]
    wanted = within(cautious(quality, int(learnt["mean"].argmax()), enough))
    np.testing.assert_allclose(found.quality, wanted, atol=1e-5)
    np.testing.assert_allclose(found.variance, least + np.maximum(leverage, 0)[:, None] * rare, atol=1e-5)
    np.testing.assert_allclose(found.cost_usd, np.exp(inputs @ learnt["cost"] + learnt["cost_intercept"]), rtol=1e-5)


def test_a_level_changes_what_is_expected_of_all_models_alike_and_no_lead() -> None:
    estimator = Plane().fit(*world(400))
    asked, _ = world(50, seed=1)
    before = estimator.score(asked).quality
    estimator.relevel(0.5, 0.01)
    after = Plane.from_state(estimator.state()).score(asked).quality
    leads = before - before[:, [0]]
    is_inside = (after > 0).all(1) & (after < 1).all(1) & (before > 0).all(1) & (before < 1).all(1)
    assert is_inside.sum() > 10
    np.testing.assert_allclose((after - after[:, [0]])[is_inside], leads[is_inside], atol=1e-5)
    assert after[is_inside].mean(1).std() < 0.75 * before[is_inside].mean(1).std()
