"""A language model as router: how likely it finds each candidate's name after the prompt.

The call is made elsewhere; here is what its log-likelihoods come to. They are compared as a whole, so
that no text is parsed and no name can be missing. A name is not more likely for being short, nor for being common: what
counts is the mean of its tokens, less what that is without a prompt (Zhao et al., "Calibrate before use",
arXiv 2102.09690). How much to believe them is learnt from outcomes; where they are missing, there is still what can be
told from the prompt itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from pointsman.ml.base import Features, Floats, Scores, Table
from pointsman.ml.descent import logit, sigmoid
from pointsman.ml.linear import ridge
from pointsman.ml.residual import Arrays, Lesson, Residual

BELIEFS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
USUAL_BELIEF = 0.1
"""Where no outcome was seen together with evidence."""
LEAST_PROMPTS = 30
LEAST_CHANCE = 1e-4


@dataclass(kw_only=True)
class Causal(Residual):
    """Linear in the inputs, then moved by the evidence in the features."""

    NAME: ClassVar[str] = "causallm"

    penalty: float = 100.0

    def fit(self, features: Features, table: Table) -> Self:
        """Learn from the prompts, then how far to believe what a language model says of them."""
        super().fit(features, table)
        belief = USUAL_BELIEF
        if features.evidence is not None:
            belief = fit_belief(features.evidence, table.quality, super().score(features).quality)
        self._learnt["belief"] = np.array([belief], np.float32)
        return self

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:  # noqa: ARG002  nothing is left to it
        """A plane."""
        found = ridge(lesson.inputs, lesson.residuals, self.penalty, lesson.weights)
        return {"slopes": found.slopes, "intercept": found.intercept}

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        """What the plane says."""
        return inputs @ learnt["slopes"] + learnt["intercept"]

    @property
    def belief(self) -> float:
        """How far the evidence is believed."""
        return float(self._learnt["belief"][0])

    def score(self, features: Features) -> Scores:
        """What the prompt alone says, moved by the evidence where there is any."""
        scores = super().score(features)
        return scores if features.evidence is None else moved(scores, features.evidence, self.belief)


def moved(scores: Scores, said: Floats, belief: float = USUAL_BELIEF) -> Scores:
    """Scores moved by the evidence (n, m); none of 0 moves nothing."""
    return replace(scores, quality=np.where(said == 0, scores.quality, qualities(said, scores.quality, belief)))


def evidence(log_likelihoods: Floats, tokens: Floats, unprompted: Floats | None = None) -> Floats:
    """(n, m) how much each prompt speaks for each model more than for the others, 0 where nothing was said of it.

    :param log_likelihoods: (n, m) sums over the tokens of a name, NaN where not known
    :param tokens: (m,) how many tokens each name has
    :param unprompted: (m,) the sums where the prompt is left out
    """
    each = log_likelihoods / np.maximum(tokens, 1)
    if unprompted is not None:
        each = each - unprompted / np.maximum(tokens, 1)
    known = np.isfinite(each)
    middle = np.where(known, each, 0).sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1)
    return np.where(known, each - middle, 0).astype(np.float32)


def qualities(said: Floats, mean: Floats, belief: float) -> Floats:
    """(n, m) the odds of each model's quality, (m,) or (n, m), moved by the evidence."""
    return sigmoid(logit(mean) + np.float32(belief) * said).astype(np.float32)


def fit_belief(said: Floats, quality: Floats, mean: Floats) -> float:
    """Which of :data:`BELIEFS` predicts qualities (n, m) best, NaN where not known; none where few are.

    A doubtful belief is not held: it has to be better than none by one standard error.
    """
    known = ~np.isnan(quality)
    if known.any(1).sum() < LEAST_PROMPTS:
        return 0.0
    count = np.maximum(known.sum(1), 1)

    def losses(belief: float) -> Floats:
        chances = np.clip(qualities(said, mean, belief), LEAST_CHANCE, 1 - LEAST_CHANCE)
        outcome = np.where(known, quality, 0)
        each = -outcome * np.log(chances) - (1 - outcome) * np.log1p(-chances)
        loss: Floats = np.where(known, each, 0).sum(1) / count
        return loss

    def bound(belief: float) -> float:
        gain = losses(0.0) - losses(belief)
        return float(gain.mean() - gain.std() / np.sqrt(len(gain)))

    return max(BELIEFS, key=bound)
