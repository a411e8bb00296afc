"""Is a smaller model enough? For each model the probability that it does about as well as the best single one.

Hybrid LLM (Ding et al., arXiv 2404.14618), for any number of models at once. With ``gap`` the quality of a model less
that of the best single one on the same prompt, a label is

- ``deterministic``: 1 where the gap is at least 0;
- ``probabilistic``: how likely the gap is at least 0 if it were asked again, ``sigmoid(gap / softness)``;
- ``transformed``: 1 where the gap is at least ``-t``, with the ``t`` that makes labels differ most between prompts.

What is predicted becomes a gap again by a regression for each model, since gaps and not labels are to be compared. For
two models, or tiers in an ordered row, :func:`first_enough` decides by thresholds as the paper does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Floats
from pointsman.ml.descent import sigmoid
from pointsman.ml.network import logits, train
from pointsman.ml.residual import Arrays, Lesson, Residual

MARGINS = np.linspace(0.0, 1.0, 21, dtype=np.float32)
FEW = 10.0


@dataclass(kw_only=True)
class Hybrid(Residual):
    """``labels`` is one of the three above."""

    NAME: ClassVar[str] = "hybrid"
    IS_ENSEMBLE: ClassVar[bool] = True

    repeats: int = 2
    doubt: float = 3.0
    labels: Literal["deterministic", "probabilistic", "transformed"] = "probabilistic"
    softness: float = 0.3
    hidden: int = 128
    rate: float = 2e-3
    decay: float = 1.0
    epochs: int = 30

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:
        """Learn the labels, and in the place of the best single model its own quality; then what labels say of gaps."""
        best = lesson.baseline
        gaps = lesson.quality - lesson.quality[:, [best]]
        wanted = labels_of(gaps, self.labels, self.softness)
        wanted[:, best] = lesson.quality[:, best]
        known = ~np.isnan(wanted)
        usual = (np.where(known, wanted, 0).sum(0) + 0.5) / (known.sum(0) + 1)
        found = train(
            replace(lesson, quality=wanted, mean=usual.astype(np.float32)),
            chance,
            hidden=self.hidden,
            rate=self.rate,
            decay=self.decay,
            epochs=self.epochs,
        )
        said = sigmoid(logits(found, lesson.inputs))
        middle = said.mean(0)
        slopes = _slopes(said, gaps)
        slopes[best] = 0.0
        return {**found, "best": np.eye(len(slopes), dtype=np.float32)[best], "middle": middle, "slopes": slopes}

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        """(n, m): that of the best single model, and the gap to it."""
        beyond = sigmoid(logits(learnt, inputs)) - learnt["middle"]
        added: Floats = (beyond @ learnt["best"])[:, None] + beyond * learnt["slopes"]
        return added


def labels_of(gaps: Floats, kind: str, softness: float) -> Floats:
    """(n, m) labels, NaN where the gap is not known."""
    if kind == "probabilistic":
        return sigmoid(gaps / np.float32(softness))
    margins = most_telling_margin(gaps) if kind == "transformed" else np.float32(0)
    return np.where(np.isnan(gaps), np.nan, gaps >= -margins).astype(np.float32)


def most_telling_margin(gaps: Floats) -> Floats:
    """(m,) the margin at which two prompts differ in their label the most often; of equals the smallest."""
    known = np.maximum((~np.isnan(gaps)).sum(0), 1)
    shares = np.array([(gaps >= -margin).sum(0) / known for margin in MARGINS])
    margins: Floats = MARGINS[(2 * shares * (1 - shares)).argmax(0)]
    return margins


def _slopes(said: Floats, gaps: Floats) -> Floats:
    known = ~np.isnan(gaps)
    count = np.maximum(known.sum(0), 1)
    away = np.where(known, said - np.where(known, said, 0).sum(0) / count, 0)
    slopes: Floats = (away * np.where(known, gaps, 0)).sum(0) / ((away**2).sum(0) + FEW * 1e-3)
    return slopes.astype(np.float32)


def threshold_for_share(enough: Floats, share: float) -> float:
    """Above which probability (n,) the smaller model is to be taken, for it to get this share of the prompts."""
    return float(np.quantile(enough, 1 - share))


def threshold_for_quality(enough: Floats, small: Floats, large: Floats, quality: float) -> float:
    """The lowest threshold at which held-out prompts (n,) reach a mean quality; infinity where none does."""
    order = np.argsort(-enough, kind="stable")
    reached = (large.sum() + np.cumsum((small - large)[order])) / len(enough)
    is_last = np.append(np.diff(enough[order]) != 0, True)  # equal probabilities are on one side of a threshold
    good = np.flatnonzero((reached >= quality) & is_last)
    return float(enough[order][good[-1]]) if len(good) else float("inf")


def first_enough(enough: Floats, thresholds: Floats) -> NDArray[np.intp]:
    """(n,) the first of the tiers (n, tiers), cheapest first, that is likely enough to do; else the one behind them."""
    is_enough = np.hstack([enough >= thresholds, np.ones((len(enough), 1), np.bool_)])
    first: NDArray[np.intp] = is_enough.argmax(1)
    return first
