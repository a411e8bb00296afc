from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from unit.ml.evaluation.tables import NAMES, table

from pointsman.ml import table as tables
from pointsman.ml.base import Features, Scores
from pointsman.ml.evaluation import measuring
from pointsman.ml.evaluation.measuring import DECIDED, measure, scored
from pointsman.ml.learned import Learned
from pointsman.ml.prior import Card, prior

KNOWN = table()


class Seer:
    """Knows the outcomes of the prompts of a table, by their lengths."""

    def __init__(self, variance: float = 0.0, cost_factor: float = 1.0) -> None:
        self.variance, self.cost_factor = variance, cost_factor

    def score(self, features: Features) -> Scores:
        rows = [int(user) for user in features.users]
        quality = KNOWN.quality[rows]
        return Scores(
            quality, np.full_like(quality, self.variance), KNOWN.cost_usd[rows] * np.float32(self.cost_factor)
        )


def learned(variance: float = 0.0, cost_factor: float = 1.0) -> Learned:
    costs, qualities = KNOWN.cost_usd.mean(0), KNOWN.quality.mean(0)
    cards = [Card(name=n, cost_usd=float(c), quality=float(q)) for n, c, q in zip(NAMES, costs, qualities, strict=True)]
    known = prior(cards)
    return replace(known, strategy="seer", scorer=Seer(variance, cost_factor), policy=type(known.policy)(doubt=1.0))


NUMBERED = replace(KNOWN, users=[str(row) for row in range(len(KNOWN))])


def test_all_prompts_are_scored_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "BATCH", 7)
    np.testing.assert_array_equal(scored(learned(), NUMBERED).quality, KNOWN.quality)


@pytest.mark.requirement("routing.evaluation.table")
def test_a_strategy_is_measured_beside_what_needs_none() -> None:
    found = measure(learned(), NUMBERED, KNOWN, "all", resamples=0)
    names = [router.name for router in found.comparison.routers]
    assert names == [
        "seer",
        "best single model",
        "zero router",
        "kNN-5 as in LLMRouter",
        "task means (told the task)",
        "oracle",
    ]
    by_name = {router.name: router for router in found.comparison.routers}
    assert by_name["seer"].accuracy.value == by_name["oracle"].accuracy.value
    assert found.calibration_errors.tolist() == [0.0] * 4
    assert np.abs(found.spend_errors).max() < 1e-6


def test_without_a_table_to_learn_from_there_are_fewer_rivals() -> None:
    found = measure(learned(), NUMBERED, None, "all", resamples=0)
    assert [r.name for r in found.comparison.routers] == ["seer", "best single model", "zero router", "oracle"]
    assert NAMES[found.comparison.best] == "d"


def test_doubt_is_measured_where_it_makes_a_difference() -> None:
    found = measure(learned(variance=9.0), NUMBERED, None, "all", resamples=0)
    by_name = {router.name: router for router in found.comparison.routers}
    assert by_name[DECIDED].accuracy.value == by_name["best single model"].accuracy.value
    assert by_name["seer"].accuracy.value > by_name[DECIDED].accuracy.value


def test_what_is_predicted_to_be_spent_too_much_is_told() -> None:
    found = measure(learned(cost_factor=1.25), NUMBERED, None, "all", resamples=0)
    np.testing.assert_allclose(found.spend_errors, 0.25, rtol=1e-4)


def test_prompts_without_every_outcome_are_left_out() -> None:
    holed = replace(NUMBERED, quality=KNOWN.quality.copy())
    holed.quality[:50, 2] = np.nan
    found = measure(learned(), holed, None, "all", resamples=0)
    assert found.comparison.prompts == 10
    assert len(tables.rows(holed, slice(0, 10))) == 10
    holed.quality[:] = np.nan
    with pytest.raises(ValueError, match="no prompt has the score and the cost of every model"):
        measure(learned(), holed, None, "all", resamples=0)
