from __future__ import annotations

import numpy as np
import pytest

from pointsman.ml.base import Table
from pointsman.ml.evaluation.replay import Change, cards_of, replay
from pointsman.ml.online import Exploring

CHANCES = np.array([[0.75, 0.85, 0.4, 0.35], [0.75, 0.5, 0.4, 0.35]])
COSTS = np.array([8e-4, 4e-4, 3e-4, 1e-4])
WORDS = (
    "How much is {0} + {0} * {1} / 7 = ? 3 5 8 13 21",
    "Who ruled in the {0}th century, and why did it end so badly",
)


def table(count: int = 2_400) -> Table:
    """Sums and questions of history, and four models of which the second is better at sums."""
    chance = np.random.default_rng(5)
    kind = chance.integers(0, 2, count)
    return Table(
        prompts=[WORDS[k].format(i, i % 9) for i, k in enumerate(kind)],
        models=("dear", "plain", "poor", "small"),
        quality=(chance.random((count, 4)) < CHANCES[kind]).astype(np.float32),
        cost_usd=np.tile(COSTS, (count, 1)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def world() -> Table:
    return table()


@pytest.mark.requirement("routing.online.replay")
def test_with_prices_alone_it_ends_above_the_best_single_model(world: Table) -> None:
    played = replay(world, exploring=Exploring(share=0.3, regret_budget=100.0))
    assert played.best == pytest.approx(0.59, abs=0.03)
    assert played.mean > played.best - 0.02
    assert played.rewards[-800:].mean() > played.best
    assert 0.0 < played.explored.mean() < 0.3


def test_without_exploring_the_first_guess_is_kept_longer(world: Table) -> None:
    played = replay(world, exploring=Exploring())
    assert not played.explored.any()


@pytest.mark.requirement("routing.online.change")
def test_when_the_best_model_becomes_bad_most_of_the_loss_is_made_good(world: Table) -> None:
    played = replay(world, change=Change(at=1_000, factor=0.3))
    assert played.kept < played.best_after
    assert played.recovered > 0.9


def test_a_replay_is_the_same_each_time_and_another_with_another_seed(world: Table) -> None:
    small = Table(
        prompts=world.prompts[:200], models=world.models, quality=world.quality[:200], cost_usd=world.cost_usd[:200]
    )
    first, again, other = replay(small), replay(small), replay(small, seed=1)
    np.testing.assert_array_equal(first.chosen, again.chosen)
    assert not np.array_equal(first.rewards, other.rewards)
    assert np.isnan(first.recovered)
    assert first.last == first.mean


def test_cards_hold_costs_and_no_quality(world: Table) -> None:
    cards = cards_of(world)
    assert [card.name for card in cards] == ["dear", "plain", "poor", "small"]
    assert [card.cost_usd for card in cards] == pytest.approx(COSTS)
    assert {card.quality for card in cards} == {None}
