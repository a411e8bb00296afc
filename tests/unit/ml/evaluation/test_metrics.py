from __future__ import annotations

import math

import numpy as np
import pytest
from unit.ml.evaluation.tables import permuted, predictions, table

from pointsman.ml.evaluation.metrics import (
    Figures,
    Run,
    area,
    calibration_error,
    figures,
    hull,
    neutral_cost,
    pair_figures,
    sweep,
)

BEST = 3
REFERENCE = {
    "accuracy": 0.8333333333333334,
    "cost_usd": 0.0011302381091809366,
    "peak": 0.85,
    "aiq": 0.7912221248258947,
    "neutral_usd": 0.0004185714327225772,
    "cost_save": 0.7040404048379062,
    "gain_at_best": 0.10869565217391286,
    "gap_to_oracle": 0.12068965517241381,
}
"""What the reference program says of the same table and predictions."""


@pytest.fixture(scope="module")
def found() -> Figures:
    return figures(Run("router", sweep(*predictions(), table().models)), table(), BEST)


@pytest.mark.parametrize("name", REFERENCE)
def test_figures_are_those_of_the_reference(found: Figures, name: str) -> None:
    assert getattr(found, name).value == pytest.approx(REFERENCE[name], rel=1e-9)


def test_the_area_over_log_cost_is_that_of_the_reference(found: Figures) -> None:
    # Whether the first of 2001 steps counts hangs on the last bit of a mean.
    assert found.aiq_log.value == pytest.approx(0.7134713294867543, abs=2e-4)


@pytest.mark.parametrize("name", ["accuracy", "peak", "aiq", "aiq_log", "cost_save", "gap_to_oracle"])
def test_an_interval_holds_its_value_and_more(found: Figures, name: str) -> None:
    interval = getattr(found, name)
    assert interval.low < interval.value < interval.high


def test_an_interval_is_about_as_wide_as_the_standard_error_says(found: Figures) -> None:
    error = math.sqrt(found.accuracy.value * (1 - found.accuracy.value) / len(table()))
    assert found.accuracy.high - found.accuracy.low == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_the_same_seed_gives_the_same_intervals(found: Figures) -> None:
    run = Run("router", sweep(*predictions(), table().models))
    assert figures(run, table(), BEST).aiq == found.aiq
    assert figures(run, table(), BEST, seed=1).aiq != found.aiq


def test_a_saving_that_does_not_exist_is_no_number() -> None:
    worst = figures(Run("worst", np.zeros((1, 60), np.intp)), table(), BEST)
    assert math.isnan(worst.cost_save.value)
    assert math.isnan(worst.cost_save.low)


def test_missing_outcomes_are_refused() -> None:
    known = table()
    known.quality[3, 1] = np.nan
    with pytest.raises(ValueError, match="every model"):
        figures(Run("router", np.zeros((1, 60), np.intp)), known, BEST)


def test_the_order_of_models_decides_nothing() -> None:
    places = [2, 0, 3, 1]
    quality, cost = predictions()
    flat = np.full_like(quality, 0.5)
    for predicted in (quality, flat):
        straight = sweep(predicted, cost, table().models)
        other = permuted(table(), places)
        turned = sweep(predicted[:, places], cost[:, places], other.models)
        assert (np.array(places)[turned] == straight).all()


def test_of_equals_the_cheaper_one_is_taken_and_then_by_name() -> None:
    assert sweep([[0.5, 0.5, 0.4]], [[2.0, 1.0, 0.1]], ["a", "b", "c"], [0.0]).tolist() == [[1]]
    assert sweep([[0.5, 0.5]], [[1.0, 1.0]], ["b", "a"], [0.0]).tolist() == [[1]]


def test_a_higher_price_never_costs_more() -> None:
    quality, cost = predictions()
    choices = sweep(quality, cost, table().models)
    expected = cost[np.arange(len(cost)), choices].mean(1)
    assert (np.diff(expected) <= 1e-12).all()


def test_a_hull_leaves_out_what_lies_below_it() -> None:
    points = np.array([[1.0, 0.2], [2.0, 0.3], [3.0, 0.8], [4.0, 0.7], [2.0, 0.1], [5.0, 0.9]])
    assert hull(points).tolist() == [[1.0, 0.2], [3.0, 0.8], [5.0, 0.9]]


def test_an_area_is_the_mean_height() -> None:
    points = np.array([[1.0, 0.0], [3.0, 1.0]])
    assert area(points, 1.0, 3.0) == pytest.approx(0.5, abs=1e-6)
    assert area(points, 1.0, 5.0) == pytest.approx(0.75, abs=1e-6)


def test_left_of_its_cheapest_point_a_curve_is_worth_nothing() -> None:
    assert area(np.array([[2.0, 1.0]]), 1.0, 3.0) == pytest.approx(0.5, abs=1e-3)


def test_over_log_cost_each_factor_counts_the_same() -> None:
    points = np.array([[1.0, 0.0], [10.0, 1.0], [100.0, 1.0]])
    assert area(points, 10.0, 1000.0, is_log=True) == pytest.approx(1.0)
    assert area(np.array([[10.0, 1.0]]), 1.0, 100.0, is_log=True) == pytest.approx(0.5, abs=1e-3)


def test_the_neutral_cost_lies_on_the_hull() -> None:
    points = np.array([[1.0, 0.4], [2.0, 0.6]])
    assert neutral_cost(points, 0.5) == pytest.approx(1.5)
    assert math.isnan(neutral_cost(points, 0.7))


@pytest.mark.parametrize(
    ("need", "apgr", "cpt50", "cpt80"),
    [
        (np.sin(np.arange(60)), 0.49799999999999967, 51.66666666666666, 80.0),
        (np.arange(60) % 5, 0.4940000000000001, 42.49999999999999, 76.66666666666667),
    ],
    ids=["distinct", "tied"],
)
def test_figures_of_a_pair_are_those_of_the_reference(need: object, apgr: float, cpt50: float, cpt80: float) -> None:
    known = table()
    found = pair_figures(need, known.quality[:, 3], known.quality[:, 0])
    assert [found.apgr.value, found.cpt50.value, found.cpt80.value] == pytest.approx([apgr, cpt50, cpt80])
    assert found.apgr.low < apgr < found.apgr.high


def test_who_knows_the_outcomes_recovers_more_than_the_gap() -> None:
    known = table()
    gain = known.quality[:, 3] - known.quality[:, 0]
    assert pair_figures(gain, known.quality[:, 3], known.quality[:, 0]).apgr.value > 0.85


def test_calibration_is_perfect_where_means_are_met() -> None:
    assert calibration_error([0.25] * 4, [0, 0, 0, 1]) == 0.0
    assert calibration_error([0.95, 0.95], [1.0, 0.0]) == pytest.approx(0.45)
    assert calibration_error([0.05, 0.95], [0.0, 1.0]) == pytest.approx(0.05)


def test_calibration_passes_over_what_was_not_observed() -> None:
    assert calibration_error([0.5, 0.9, 1.0], [0.5, math.nan, 1.0]) == 0.0
    assert math.isnan(calibration_error([0.5], [math.nan]))
