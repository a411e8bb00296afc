"""Learning online, played through on a table of outcomes: prompts come in some order, one answer of each is seen.

What is known at the beginning is what :mod:`pointsman.ml.prior` makes of prices, and prompts as the untrained features
have them. The reward of an answer is its quality less its cost at a fixed price.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Features, Scores, Table
from pointsman.ml.decision import Prospect, rank
from pointsman.ml.learned import Learned
from pointsman.ml.online import Exploring, Online
from pointsman.ml.prior import Card, prior

PRICE = 200.0
"""Quality that a dollar has to buy."""
EXPLORING = Exploring(share=0.1, regret_budget=60.0)
"""What the gateway has by default."""
SECONDS = 1.0
"""Between two requests."""
SPAN = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """From some request on, the answers of the best model are worth only a part of what they were."""

    at: int
    factor: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of it; arrays by request."""

    rewards: NDArray[np.float64]
    chosen: NDArray[np.intp]
    explored: NDArray[np.bool_]
    best: float
    """Mean reward of always the best model, chosen with hindsight; of a change that before it."""
    best_after: float
    """The same after a change; of a replay without one equal to ``best``."""
    kept: float
    """Mean reward of going on with the model that was best before the change."""
    at: int | None

    @property
    def mean(self) -> float:
        """Over all requests."""
        return float(self.rewards.mean())

    @property
    def last(self) -> float:
        """Over the last 2,000."""
        return float(self.rewards[-2 * SPAN :].mean())

    @property
    def recovered(self) -> float:
        """Part of the loss by a change that is made good from the thousandth request after it on, 1 being all."""
        if self.at is None or self.best_after <= self.kept:
            return float("nan")
        after = float(self.rewards[self.at + SPAN :].mean())
        return (after - self.kept) / (self.best_after - self.kept)


def cards_of(table: Table) -> list[Card]:
    """What is known of models without any label: what a request costs."""
    return [Card(name=name, cost_usd=float(np.nanmean(table.cost_usd[:, i]))) for i, name in enumerate(table.models)]


def replay(
    table: Table,
    learned: Learned | None = None,
    *,
    seed: int = 0,
    price: float = PRICE,
    exploring: Exploring = EXPLORING,
    change: Change | None = None,
) -> Replayed:
    """Send the prompts of a table, in an order at random, where what was learnt so far says.

    ``learned`` is what to begin with; ``None``: prices alone. Its candidates are those of the table, in this order.
    """
    chance = np.random.default_rng(seed)
    order = chance.permutation(len(table))
    quality = table.quality[order].astype(np.float64)
    rewards = quality - price * table.cost_usd[order]
    best = int(rewards.mean(0).argmax())
    if change is not None:
        quality[change.at :, best] *= change.factor
    rewards = quality - price * table.cost_usd[order]
    learned = prior(cards_of(table)) if learned is None else learned
    features = learned.features([table.prompts[i] for i in order])
    chosen, explored = _play(learned, features, quality, table.cost_usd[order], price, exploring, chance)
    until = change.at if change else len(order)
    after = rewards[until:] if change else rewards
    return Replayed(
        rewards=rewards[np.arange(len(order)), chosen],
        chosen=chosen,
        explored=explored,
        best=float(rewards[:until, best].mean()),
        best_after=float(after.mean(0).max()),
        kept=float(after[:, best].mean()),
        at=change.at if change else None,
    )


def _play(
    learned: Learned,
    features: Features,
    quality: NDArray[np.float64],
    cost: NDArray[np.float32],
    price: float,
    exploring: Exploring,
    chance: np.random.Generator,
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    scores = learned.score(features)
    online = Online(learned.candidates.names, exploring=exploring, embedding=features.embedding.shape[1])
    setting = msgspec.structs.replace(learned.policy, price=price)
    chosen, explored = np.zeros(len(quality), np.intp), np.zeros(len(quality), np.bool_)
    for i in range(len(quality)):
        row = slice(i, i + 1)
        one = replace(features, embedding=features.embedding[row], surface=features.surface[row])
        said = Scores(scores.quality[row], scores.variance[row], scores.cost_usd[row])
        ranking = rank(learned.candidates, Prospect.of(online.adjust(one, said), 0, learned.candidates), setting)
        place, _ = online.explore(ranking, float(chance.random()), i * SECONDS)
        online.learn(one, place, float(said.quality[0, place]), float(quality[i, place]))
        online.charge(place, float(said.cost_usd[0, place]), float(cost[i, place]))
        chosen[i], explored[i] = place, place != ranking.order[0]
    return chosen, explored
