from __future__ import annotations

import math

import msgspec
import numpy as np

from pointsman.ml.decision import Candidates, Prospect, Session, Setting
from pointsman.ml.explanation import explain
from pointsman.ml.knobs import PRICES, Frontier

NAMES = ("small", "medium", "large", "new")
CANDIDATES = Candidates(NAMES, [0.5, 0.6, 0.8, math.nan], [0.0001, 0.001, 0.01, math.nan])
PROSPECT = Prospect(
    np.array([0.5, 0.7, 0.8, math.nan]), np.array([0.0, 0.0001, 0.0, math.nan]), np.array([0.0001, 0.001, 0.01, 0.1])
)
FRONTIER = Frontier(
    price=PRICES,
    cost_usd=tuple(0.01 / (1 + price) for price in PRICES),
    quality=tuple(0.8 - 0.3 * i / 121 for i in range(122)),
    baseline_quality=0.8,
)


def test_every_candidate_stands_in_it_with_what_is_expected_and_why_it_was_dropped() -> None:
    found = explain(
        CANDIDATES,
        PROSPECT,
        Setting(price=1.0, max_cost_usd=0.005),
        FRONTIER,
        is_open=np.array([False, True, True, True]),
    )
    rows = {row.model: row for row in found.candidates}
    assert set(rows) == set(NAMES)
    assert {name: row.dropped for name, row in rows.items()} == {
        "medium": "",
        "large": "costs more than max_cost",
        "small": "not eligible",
        "new": "nothing is known of it",
    }
    assert (rows["medium"].quality, rows["medium"].deviation) == (0.7, 0.01)
    assert rows["new"].quality is rows["new"].gain is rows["new"].deviation is None


def test_a_quality_that_is_not_reached_is_named() -> None:
    found = explain(CANDIDATES, PROSPECT, Setting(min_quality=0.75), FRONTIER)
    assert found.candidates[0].model == "large"
    assert {row.dropped for row in found.candidates[1:3]} == {"is not credibly as good as min_quality"}


def test_it_says_what_the_nearest_cheaper_and_the_nearest_better_setting_would_choose() -> None:
    found = explain(CANDIDATES, PROSPECT, Setting(price=100.0, doubt=0.0), FRONTIER)
    assert found.decision.model == "medium"
    assert found.cheaper is not None
    assert found.better is not None
    assert (found.cheaper.model, found.better.model) == ("small", "large")
    assert found.cheaper.quality_knob < found.quality_knob < found.better.quality_knob


def test_the_setting_it_names_would_choose_that_model() -> None:
    found = explain(CANDIDATES, PROSPECT, Setting(price=100.0, doubt=0.0), FRONTIER)
    for other in (found.cheaper, found.better):
        assert other is not None
        setting = Setting(price=FRONTIER.price_for(other.quality_knob), doubt=0.0)
        assert explain(CANDIDATES, PROSPECT, setting, FRONTIER).decision.model == other.model


def test_at_the_ends_there_is_nothing_cheaper_or_better() -> None:
    assert explain(CANDIDATES, PROSPECT, Setting(price=0.0), FRONTIER).better is None
    assert explain(CANDIDATES, PROSPECT, Setting(price=1e6), FRONTIER).cheaper is None


def test_the_decision_in_it_is_the_one_that_is_made() -> None:
    session = Session(model="small", is_tool_loop=True)
    found = explain(CANDIDATES, PROSPECT, Setting(), FRONTIER, session=session)
    assert (found.decision.model, found.decision.reason) == ("small", "tool loop")


def test_it_can_be_sent_as_json() -> None:
    found = explain(CANDIDATES, PROSPECT, Setting(), FRONTIER)
    assert msgspec.json.decode(msgspec.json.encode(found))["decision"]["model"] == "large"
