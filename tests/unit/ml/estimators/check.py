"""What every estimator is held to, whatever it learns."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from unit.ml.nonsense import spoilt
from unit.ml.worlds import world

from pointsman.ml import tensors
from pointsman.ml.base import Estimator, Features, Scores, State, Table
from pointsman.ml.custom import check_scores, problems_of

Make = Callable[[], Estimator]
COUNT = 60
STATES = 150


def check_estimator(make: Make) -> None:
    """Fit it to all that a table can be, and hold what it says against the protocol."""
    assert problems_of(type(make())) == []
    _check_tables(make)
    _check_order(make)
    _check_state(make)
    _check_nonsense(make)


def learns(make: Make, *, gain: float) -> None:
    """It routes prompts of a world that can be learnt better than the best single model does, by so much."""
    features, table = world(400, seed=1)
    asked, outcome = world(400, seed=2)
    chosen = make().fit(features, table).score(asked).quality.argmax(1)
    reached = outcome.quality[np.arange(len(asked)), chosen].mean()
    assert reached >= outcome.quality[:, 0].mean() + gain


def keeps_the_best(make: Make) -> None:
    """Where there is nothing to learn, or little to learn from, it stays with the best single model."""
    for count, seed in ((40, 3), (100, 4), (400, 5)):
        features, table = world(count, seed=seed, is_plain=True)
        scores = make().fit(features, table).score(world(100, seed=6)[0])
        best = int(table.quality.mean(0).argmax())
        assert (scores.quality.argmax(1) == best).mean() > 0.97, count
    features, table = world(COUNT)
    equal = make().fit(features, replace(table, quality=np.ones_like(table.quality))).score(features)
    assert np.ptp(equal.quality) < 5e-3


def rows(features: Features, table: Table, places: Sequence[int]) -> tuple[Features, Table]:
    """Some prompts of a table, in this order."""
    return Features(
        features.embedding[list(places)],
        features.surface[list(places)],
        [features.users[i] for i in places if features.users],
    ), replace(
        table,
        prompts=[table.prompts[i] for i in places],
        quality=table.quality[list(places)],
        cost_usd=table.cost_usd[list(places)],
        tasks=[table.tasks[i] for i in places if table.tasks],
        users=[table.users[i] for i in places if table.users],
    )


def columns(table: Table, places: Sequence[int]) -> Table:
    """Some models of a table, in this order."""
    return replace(
        table,
        models=tuple(table.models[i] for i in places),
        quality=table.quality[:, list(places)],
        cost_usd=table.cost_usd[:, list(places)],
    )


def _check_tables(make: Make) -> None:
    features, table = world(COUNT)
    nothing = np.full_like(table.quality, np.nan)
    one = np.where(np.arange(4) == 2, table.quality, np.nan)
    cases: dict[str, tuple[Features, Table]] = {
        "whole": (features, table),
        "half of the labels": world(COUNT, missing=0.5),
        "no tasks": world(COUNT, is_told=False),
        "one model": (features, columns(table, [1])),
        "one model with labels": (features, replace(table, quality=one)),
        "one prompt": rows(features, table, [0]),
        "no prompt": rows(features, table, []),
        "equal labels": (features, replace(table, quality=np.ones_like(nothing))),
        "no labels": (features, replace(table, quality=nothing, cost_usd=nothing)),
        "free": (features, replace(table, cost_usd=np.zeros_like(nothing))),
        "weights": (features, replace(table, weights=np.linspace(0, 2, COUNT, dtype=np.float32))),
        "equal prompts": rows(features, table, [0] * 20),
    }
    asked, _ = world(5, seed=9)
    nobody, _ = world(0)
    for case, (known, outcomes) in cases.items():
        fitted = make().fit(known, outcomes)
        for few, count in ((asked, 5), (nobody, 0)):
            try:
                check_scores(fitted.score(few), count, len(outcomes.models))
            except ValueError as error:
                raise AssertionError(case) from error


def _check_order(make: Make) -> None:
    features, table = world(COUNT, missing=0.2)
    asked, _ = world(7, seed=9)
    plain = make().fit(features, table).score(asked)
    turned = np.random.default_rng(0).permutation(COUNT).tolist()
    _expect_same(plain, make().fit(*rows(features, table, turned)).score(asked))
    models = [2, 0, 3, 1]
    other = make().fit(features, columns(table, models)).score(asked)
    _expect_same(Scores(plain.quality[:, models], plain.variance[:, models], plain.cost_usd[:, models]), other)
    singly = [make().fit(features, table).score(rows(asked, world(7)[1], [i])[0]) for i in (0, 6)]
    _expect_same(Scores(*(getattr(plain, name)[[0, 6]] for name in NAMES)), _joined(singly))


def _check_state(make: Make) -> None:
    features, table = world(COUNT)
    asked, _ = world(7, seed=9)
    fitted = make().fit(features, table)
    state, scores = fitted.state(), fitted.score(asked)
    arrays: dict[str, Any] = dict(tensors.unpack(tensors.pack(state.arrays)))
    kept = State(arrays, msgspec.json.decode(msgspec.json.encode(dict(state.settings))))
    again = type(fitted).from_state(kept)
    for name in NAMES:
        assert np.array_equal(getattr(scores, name), getattr(again.score(asked), name)), name
    assert again.state().settings == state.settings
    for name in arrays:
        with pytest.raises(ValueError, match=r"."):
            type(fitted).from_state(State({k: v for k, v in arrays.items() if k != name}, kept.settings))
    with pytest.raises(ValueError, match=r"."):
        type(fitted).from_state(State(arrays, dict.fromkeys(state.settings, object())))


def _check_nonsense(make: Make) -> None:
    """Whatever is wrong with what was kept is refused, or does no harm to the scores."""
    features, table = world(COUNT)
    asked, _ = world(5, seed=9)
    kind, state = type(make()), make().fit(features, table).state()
    rng, refused = random.Random(0), 0
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        for i in range(STATES):
            try:
                made = kind.from_state(spoilt(state, rng))
                check_scores(made.score(Features(np.zeros_like(asked.embedding), asked.surface, asked.users)), 5, 4)
            except ValueError:
                refused += 1
                continue
            try:
                check_scores(made.score(asked), 5, 4)
            except ValueError as error:
                raise AssertionError(f"state {i}") from error
    assert 0 < refused < STATES


NAMES = ("quality", "variance", "cost_usd")


def _joined(scores: Sequence[Scores]) -> Scores:
    return Scores(*(np.concatenate([getattr(each, name) for each in scores]) for name in NAMES))


def _expect_same(first: Scores, second: Scores) -> None:
    for name in NAMES:
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=2e-3, atol=1e-4, err_msg=name)
