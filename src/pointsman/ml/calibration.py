"""What was predicted for prompts that were held out, and what came out: the measure of every knob.

A checkpoint keeps a sample of it. So the knobs mean the same whichever of the candidates a gateway really has, and
whatever these cost today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats, Scores, State
from pointsman.ml.decision import Candidates, Setting, choose_many
from pointsman.ml.knobs import HIGHEST_PRICE, PRICES, Frontier

DOUBTS = (0.0, 0.25, 0.5, 1.0)
SAMPLE = 1000
SHARE_PRICES: tuple[float, ...] = (0.0, *np.logspace(-3, 6, 91).tolist())
"""At which shares are measured."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Predictions and outcomes of ``k`` prompts. What did not come out is taken as it was predicted."""

    scores: Scores
    quality: Floats
    """(k, m), no NaN."""
    cost_usd: Floats
    """(k, m), no NaN."""

    @classmethod
    def of(cls, scores: Scores, quality: Floats, cost_usd: Floats) -> Self:
        """Fill in what is not known."""
        return cls(
            scores,
            np.where(np.isnan(quality), scores.quality, quality).astype(np.float32),
            np.where(np.isnan(cost_usd), scores.cost_usd, cost_usd).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.quality)

    def rows(self, places: Any) -> HeldOut:
        """Some prompts: their places, or a mask."""
        return self._taken(lambda array: array[places])

    def columns(self, places: Sequence[int]) -> HeldOut:
        """Some models, in this order."""
        return self._taken(lambda array: np.ascontiguousarray(array[:, list(places)]))

    def _taken(self, take: Any) -> HeldOut:
        scores = Scores(*(take(array) for array in (self.scores.quality, self.scores.variance, self.scores.cost_usd)))
        return HeldOut(scores, take(self.quality), take(self.cost_usd))

    def chosen(self, candidates: Candidates, setting: Setting) -> NDArray[np.intp]:
        """(k,) the place of the model that each prompt gets."""
        return choose_many(candidates, self.scores, setting)

    def state(self) -> State:
        """Halved in size; spends and scores are not known to four digits anyway."""
        arrays: dict[str, NDArray[Any]] = {
            "predicted_quality": self.scores.quality.astype(np.float16),
            "predicted_variance": self.scores.variance.astype(np.float32),
            "predicted_cost": self.scores.cost_usd.astype(np.float32),
            "quality": self.quality.astype(np.float16),
            "cost": self.cost_usd.astype(np.float32),
        }
        return State(arrays)

    @classmethod
    def from_state(cls, state: State, models: int) -> Self:
        """The reverse of :meth:`state`.

        :raises ValueError: the arrays do not fit together, or hold what is no number
        """
        names = ("predicted_quality", "predicted_variance", "predicted_cost", "quality", "cost")
        arrays = [np.asarray(state.arrays.get(name, np.empty(()))).astype(np.float32) for name in names]
        shape = arrays[0].shape
        if len(shape) != 2 or shape[1] != models or any(array.shape != shape for array in arrays):
            raise ValueError("what was held out does not fit the models")
        if not all(np.isfinite(array).all() and (array >= 0).all() for array in arrays):
            raise ValueError("what was held out holds what is no number")
        return cls(Scores(*arrays[:3]), *arrays[3:])


def frontier(held: HeldOut, candidates: Candidates, doubt: float, *, is_measured: bool = True) -> Frontier:
    """What each price gives on the prompts that were held out, at today's prices.

    Without outcomes (``is_measured``) it is what is expected on prompts that might be asked.

    :raises ValueError: nothing was held out
    """
    if not len(held):
        raise ValueError("a frontier needs prompts that were held out")
    at = np.arange(len(held))
    cost = held.cost_usd * candidates.price_factor
    points = []
    for price in PRICES:
        places = held.chosen(candidates, Setting(price=price, doubt=doubt))
        points.append((float(cost[at, places].mean()), float(held.quality[at, places].mean())))
    baseline = candidates.baseline(0.0, candidates.all)
    return Frontier(
        price=PRICES,
        cost_usd=tuple(cost for cost, _ in points),
        quality=tuple(quality for _, quality in points),
        baseline_quality=float(held.quality[:, baseline].mean()),
        is_measured=is_measured,
    )


def doubt_of(held: HeldOut, candidates: Candidates) -> float:
    """How many standard deviations of doubt route best over all prices; of equals the most doubtful."""
    found = (
        [(_mean_height(frontier(held, candidates, doubt)), doubt) for doubt in DOUBTS] if len(held) else [(0.0, 1.0)]
    )
    return max(found)[1]


def _mean_height(points: Frontier) -> float:
    """Quality by the logarithm of the cost, for the costs there are; higher is better at the same cost."""
    cost = np.log(np.maximum(points.cost_usd, 1e-12))
    order = np.argsort(cost, kind="stable")
    best = np.maximum.accumulate(np.array(points.quality)[order])
    width = float(cost.max() - cost.min())
    return float(np.trapezoid(best, cost[order]) / width) if width > 0 else float(best.max())


def without_doubt(policy: Setting) -> Setting:
    """How shares are measured, and kept.

    Doubt is about gains over the model that is best on average. At the price at which that becomes another one, a large
    part of the prompts would go elsewhere at once, and shares in between could not be had at any price.
    """
    return msgspec.structs.replace(policy, doubt=0.0)


def price_of_share(
    held: HeldOut, candidates: Candidates, strong: Sequence[str], share: float, policy: Setting
) -> float:
    """The price at which this share of the prompts goes to one of the strong models, as nearly as can be."""
    policy, is_strong = without_doubt(policy), np.isin(candidates.names, list(strong))

    def share_at(price: float) -> float:
        return float(is_strong[held.chosen(candidates, msgspec.structs.replace(policy, price=price))].mean())

    low, high = 1e-3, HIGHEST_PRICE
    if share_at(0.0) <= share:
        return 0.0
    for _ in range(40):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if share_at(middle) > share else (low, middle)
    return high


def sample(held: HeldOut, count: int = SAMPLE) -> HeldOut:
    """At most so many of the prompts: as many of each kind as there are, by the price at which each leaves the best.

    So a share of calls comes to nearly the same price by the sample as by all, without the noise of a draw.
    """
    if len(held) <= count:
        return held
    order = np.argsort(_leaving(held), kind="stable")
    return held.rows(np.sort(order[np.floor((np.arange(count) + 0.5) * len(held) / count).astype(np.intp)]))


def _leaving(held: HeldOut) -> NDArray[np.float64]:
    """(k,) the lowest price at which something else is worth more than the model that is best on average."""
    scores = held.scores
    best = int(held.quality.mean(0).argmax())
    lead = scores.quality[:, best, None].astype(np.float64) - scores.quality
    saved = scores.cost_usd[:, best, None].astype(np.float64) - scores.cost_usd
    prices = np.divide(lead, saved, out=np.full(lead.shape, np.inf), where=saved > 0)
    leaving: NDArray[np.float64] = np.where(lead < 0, np.minimum(prices, 0.0), prices).min(1)
    return leaving


@dataclass(frozen=True, slots=True)
class ShareCurve:
    """Which share of the prompts that were held out goes to each model at each price; made once, asked often."""

    names: tuple[str, ...]
    shares: NDArray[np.float64]
    """(prices of :data:`SHARE_PRICES`, m); no row where nothing was held out."""

    @classmethod
    def of(cls, held: HeldOut, candidates: Candidates, policy: Setting) -> Self:
        """Measure it, without doubt."""
        policy, models = without_doubt(policy), len(candidates.names)
        rows = [
            np.bincount(held.chosen(candidates, msgspec.structs.replace(policy, price=price)), minlength=models)
            for price in SHARE_PRICES
            if len(held)
        ]
        return cls(candidates.names, np.array(rows, np.float64).reshape(-1, models) / max(len(held), 1))

    def price(self, share: float, strong: Sequence[str]) -> float:
        """The lowest price at which at most this share of the prompts goes to one of the strong models."""
        told = self.shares[:, np.isin(self.names, list(strong))].sum(1)
        if not len(told) or told[0] <= share:
            return 0.0
        enough = np.flatnonzero(told <= share)
        if not len(enough):
            return HIGHEST_PRICE
        after = int(enough[0])
        low, high = max(SHARE_PRICES[after - 1], SHARE_PRICES[1] / 10), SHARE_PRICES[after]
        part = (told[after - 1] - share) / (told[after - 1] - told[after])
        return float(low * (high / low) ** part)
