from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
import pytest

from pointsman.ml.base import Estimator, Features, Scores, State, Table
from pointsman.ml.decision import Prospect, choose_many, decide, setting_of
from pointsman.ml.estimators.knn import Knn
from pointsman.ml.features import SURFACE
from pointsman.ml.knobs import ANYTHING, Wish
from pointsman.ml.prior import Card, prior, untrained

CARDS = [
    Card(name="small", input_usd_per_million=0.1, output_usd_per_million=0.4),
    Card(name="large", input_usd_per_million=5, output_usd_per_million=20),
]


class ByLength(Estimator):
    """A rule of an operator's own, which nothing has to be trained for."""

    NAME = "by-length"

    def __init__(self) -> None:
        self.models = 0

    def fit(self, features: Features, table: Table) -> Self:
        assert len(features) == len(table) == 0
        self.models = len(table.models)
        return self

    def score(self, features: Features) -> Scores:
        is_long = features.surface[:, SURFACE.index("characters")] > 0
        quality = np.stack([np.where(is_long, 0.2, 0.9), np.where(is_long, 0.9, 0.5)], 1).astype(np.float32)
        assert quality.shape[1] == self.models
        return Scores(quality, np.zeros_like(quality), np.tile(np.array([0.001, 0.1], np.float32), (len(quality), 1)))

    def state(self) -> State:
        return State({})

    @classmethod
    def from_state(cls, state: State) -> Self:
        return cls()


class Silent(ByLength):
    def score(self, features: Features) -> Scores:
        nothing = np.zeros((len(features), 1), np.float32)
        return Scores(nothing, nothing, nothing)


@pytest.mark.requirement("routing.custom.estimator")
def test_a_rule_of_ones_own_decides_without_a_checkpoint() -> None:
    learned = untrained(ByLength, CARDS)
    assert (learned.strategy, learned.version) == ("custom", "by-length")
    assert learned.candidates.names == ("small", "large")
    quality = learned.score(learned.features(["Hello", "And so on. " * 200])).quality
    assert quality.argmax(1).tolist() == [0, 1]
    assert learned.frontier.quality[0] > learned.frontier.quality[-1]


def test_an_estimator_that_has_learnt_nothing_says_its_prior() -> None:
    learned = untrained(Knn, CARDS)
    scores = learned.score(learned.features(["Hello"]))
    assert np.ptp(scores.quality) < 0.01
    assert (scores.variance > 0.01).all()


def test_a_rule_that_cannot_be_decided_by_is_refused() -> None:
    with pytest.raises(ValueError, match="not an array of"):
        untrained(Silent, CARDS)


LONG, SHORT = "Prove that " + "the sum of these terms converges, and say to what. " * 20, "Hello!"


def qualities(cards: list[Card], text: str = "How far is the moon?") -> list[float]:
    learned = prior(cards)
    found: list[float] = learned.score(learned.features([text])).quality[0].tolist()
    return found


def test_the_dearer_or_larger_model_is_taken_for_the_better_one() -> None:
    assert np.diff(qualities(CARDS))[0] > 0.05
    assert np.diff(qualities([Card(name="a-7b"), Card(name="a-70b")]))[0] > 0.05
    assert np.diff(qualities([Card(name="a", size_billions=7), Card(name="b", size_billions=70)]))[0] > 0.05
    assert np.diff(qualities([Card(name="a", cost_usd=0.001), Card(name="b", cost_usd=0.1)]))[0] > 0.05


def test_what_was_measured_counts_and_the_others_are_placed_around_it() -> None:
    found = qualities([replace(CARDS[0], quality=0.7), replace(CARDS[1], quality=0.6)])
    assert found[0] > found[1]
    partly = qualities([replace(CARDS[0], quality=0.3), CARDS[1]])
    assert partly[0] < partly[1]


def test_models_of_which_nothing_is_known_are_worth_least_and_equal() -> None:
    found = qualities([*CARDS, Card(name="x"), Card(name="y")])
    assert found[2] == found[3] <= found[0] < found[1]
    assert len(set(qualities([Card(name="x"), Card(name="y")]))) == 1


def test_the_gap_opens_with_difficulty() -> None:
    gaps = [np.diff(qualities(CARDS, text))[0] for text in (SHORT, "How far is the moon from the earth?", LONG)]
    assert gaps[0] < gaps[1] < gaps[2]


def test_without_a_wish_the_strongest_answers_everything() -> None:
    learned = prior(CARDS)
    for text in (SHORT, LONG):
        prospect = Prospect.of(learned.score(learned.features([text])), 0, learned.candidates)
        setting = setting_of(ANYTHING, learned.frontier, learned.policy)
        assert decide(learned.candidates, prospect, setting).model == "large"


def test_who_wants_it_cheaper_is_routed_by_difficulty() -> None:
    learned = prior(CARDS)
    setting = setting_of(Wish(quality=0.5), learned.frontier, learned.policy)
    scores = learned.score(learned.features([SHORT, LONG]))
    chosen = [
        decide(learned.candidates, Prospect.of(scores, row, learned.candidates), setting).model for row in range(2)
    ]
    assert chosen == ["small", "large"]


def test_costs_are_those_of_the_cards() -> None:
    learned = prior([CARDS[1], Card(name="known", cost_usd=0.25), Card(name="unknown")])
    short, long = learned.score(learned.features([SHORT, LONG])).cost_usd
    assert long[0] - short[0] == pytest.approx((len(LONG) - len(SHORT)) / 4 * 5e-6, rel=0.05)
    assert short[0] == pytest.approx(400 * 20e-6, rel=0.05)
    assert short[1] == long[1] == pytest.approx(0.25)
    assert short[2] > 0


def test_it_can_be_narrowed_as_any_other() -> None:
    learned = prior(CARDS).narrowed(["large", "new"])
    assert learned.candidates.names == ("large", "new")
    with pytest.raises(ValueError, match="at least one"):
        prior([])


def test_without_a_wish_and_for_the_best_every_prompt_goes_to_the_strongest() -> None:
    cards = [
        Card(name="free-8b", size_billions=8, input_usd_per_million=0.0, output_usd_per_million=0.0),
        Card(name="house-70b", size_billions=70, input_usd_per_million=1.0, output_usd_per_million=1.0),
    ]
    learned = prior(cards).narrowed(["house-70b", "free-8b"])
    features = learned.features(["Hi", "2 + 2?", "Prove that there are infinitely many primes.", "words " * 800])
    scores = learned.score(features)
    for wish in (Wish(), Wish(quality=1.0)):
        setting = setting_of(wish, learned.frontier, learned.policy)
        assert setting.price == 0.0
        assert choose_many(learned.candidates, scores, setting).tolist() == [0, 0, 0, 0]
    cheap = setting_of(Wish(quality=0.0), learned.frontier, learned.policy)
    assert choose_many(learned.candidates, scores, cheap).tolist() == [1, 1, 1, 1]
