from __future__ import annotations

import math

import numpy as np
import pytest

from pointsman.ml.base import Features, Floats
from pointsman.ml.drift import WINDOW, Drift


def prompts(count: int, *, towards: int = 0, seed: int = 0) -> Floats:
    rows = np.random.default_rng(seed).normal(size=(count, 8)) / 2
    rows[:, towards] += 1.0
    found: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def seen(drift: Drift, rows: Floats) -> Drift:
    for row in rows:
        drift.see(Features(row[None], np.zeros((1, 0), np.float32)))
    return drift


def test_nothing_is_said_of_nothing() -> None:
    drifts = Drift(2).drifts()
    assert math.isnan(drifts.population)
    assert math.isnan(drifts.unknown_share)
    assert np.isnan(drifts.calibration).all()
    assert np.isnan(drifts.cost).all()


@pytest.mark.requirement("routing.drift.gauges")
def test_prompts_of_another_kind_are_far_from_those_before() -> None:
    same, other = (
        seen(Drift(1, prompts(100)), np.vstack([prompts(WINDOW, seed=1), prompts(WINDOW, seed=2, towards=at)]))
        for at in (0, 1)
    )
    assert same.drifts().population < 3.0
    assert other.drifts().population > 50.0
    assert same.drifts().unknown_share < 0.15
    assert other.drifts().unknown_share > 2 * same.drifts().unknown_share


def test_a_window_by_window_comparison_begins_with_the_first() -> None:
    drift = seen(Drift(1), prompts(WINDOW, seed=1))
    assert math.isnan(drift.drifts().population)
    assert not math.isnan(seen(drift, prompts(WINDOW, seed=2)).drifts().population)


def test_the_first_prompts_stand_for_the_training_where_a_checkpoint_brings_none() -> None:
    drift = seen(Drift(1), prompts(WINDOW, seed=1))
    assert seen(drift, prompts(WINDOW, seed=2, towards=3)).drifts().unknown_share > 0.1


def test_embeddings_of_another_length_begin_anew() -> None:
    drift = seen(Drift(1), prompts(WINDOW))
    drift.see(Features(np.ones((1, 3), np.float32), np.zeros((1, 0), np.float32)))
    assert math.isnan(drift.drifts().population)
    known = Drift(1, prompts(10))
    known.see(Features(np.ones((1, 3), np.float32), np.zeros((1, 0), np.float32)))
    assert math.isnan(known.drifts().unknown_share)


def test_prompts_without_an_embedding_are_no_drift() -> None:
    assert math.isnan(seen(Drift(1), np.zeros((2 * WINDOW, 0), np.float32)).drifts().population)


@pytest.mark.requirement("routing.drift.gauges")
def test_ratings_below_what_was_expected_show_for_their_model() -> None:
    drift = Drift(2)
    for _ in range(100):
        drift.rate(1, 0.8, 0.5)
    assert drift.drifts().calibration == pytest.approx([math.nan, -0.3], nan_ok=True)


def test_costs_show_as_a_ratio() -> None:
    drift = Drift(2)
    for _ in range(100):
        drift.charge(0, 0.01, 0.03)
    assert drift.drifts().cost == pytest.approx([3.0, math.nan], nan_ok=True)


def test_a_few_ratings_and_what_is_no_number_say_nothing() -> None:
    drift = Drift(1)
    for _ in range(10):
        drift.rate(0, 0.8, 0.5)
    for _ in range(50):
        drift.rate(0, math.nan, 0.5)
        drift.charge(0, 0.01, math.nan)
    assert np.isnan(drift.drifts().calibration).all()
    assert np.isnan(drift.drifts().cost).all()


@pytest.mark.requirement("routing.feedback.changed")
def test_a_rating_that_is_corrected_counts_as_it_is_then() -> None:
    corrected, direct = Drift(2), Drift(2)
    for i in range(60):
        number = corrected.rate(0, 0.5, 0.0)
        direct.rate(0, 0.5, 1.0 if i == 20 else 0.0)
        if i == 20:
            late = number
    corrected.correct(0, late, 1.0)
    assert corrected.drifts().calibration[0] == pytest.approx(direct.drifts().calibration[0])
