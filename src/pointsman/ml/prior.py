"""What to expect before anything was seen: from prices, sizes and the surface of a prompt.

A dearer or larger model is taken for the better one, and the more so the harder a prompt looks; how hard that is can be
told a little from its surface alone (length alone routes better than routers trained on another domain's preferences:
arXiv 2406.18665 and the tables of this project). The strongest model is expected to be the best for every prompt, so
that without any wish nothing is lost; only who wants it cheaper is routed by difficulty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Estimator, Features, Floats, Scores, Table
from pointsman.ml.calibration import HeldOut, frontier
from pointsman.ml.custom import check_scores
from pointsman.ml.decision import Candidates, Setting
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.estimators.size import size_of
from pointsman.ml.features import SURFACE, USUAL_DEVIATION, USUAL_MEAN, Featurizer
from pointsman.ml.learned import Learned
from pointsman.ml.registry import CUSTOM

NAME = "prior"
DIFFICULTY = {"words": 1.0, "word_length": -0.7, "variety": -0.4, "maths": 0.3}
"""How much harder a prompt is, by the deviation of a surface feature from what is usual: running text that argues is
hard for weak models, lists of long terms less so. Found to hold on three tables of other prompts and models."""
BEST, WORST = 0.8, 0.4
"""Quality of the strongest and of the weakest that can be told apart."""
TENFOLD = 0.12
"""Quality that ten times the price, or the size, stands for."""
STEEPNESS, HARD = 0.5, 2.0
"""How far the gap opens, and at which difficulty it has opened most of the way."""
CHARACTERS_A_TOKEN = 4.0
INPUT_TOKENS, OUTPUT_TOKENS = 100.0, 400.0
UNKNOWN_USD_PER_MILLION = 1.0
VARIANCE = 0.01
DIFFICULTIES = np.linspace(-2.0, 2.0, 81)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is declared of a model."""

    name: str
    size_billions: float | None = None
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None
    description: str = ""
    context_window: int | None = None
    quality: float | None = None
    """0..1, where somebody has measured it."""
    cost_usd: float | None = None
    """Mean of a request, where that is known."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Scores by difficulty. Arrays are (m,)."""

    level: Floats
    """Quality for a prompt of usual difficulty."""
    fixed_usd: Floats
    """What a request costs, whatever the prompt."""
    input_usd: Floats
    """What a token of the prompt costs."""

    def score(self, features: Features) -> Scores:
        """The gap between strong and weak opens with difficulty."""
        hard = (features.surface @ WEIGHTS)[:, None]
        behind = self.level.max() - self.level
        gap = behind * np.exp(STEEPNESS * np.tanh(hard / HARD))
        quality = np.clip(self.level.max() - gap, 0.0, 1.0)
        cost = self.fixed_usd + self.input_usd * _tokens(features)[:, None]
        return Scores(quality.astype(np.float32), np.full(quality.shape, VARIANCE, np.float32), cost.astype(np.float32))


WEIGHTS = np.array([DIFFICULTY.get(name, 0.0) for name in SURFACE], np.float32)
_CHARACTERS = SURFACE.index("characters")


def prior(cards: Sequence[Card]) -> Learned:
    """A strategy for these models, in this order, out of nothing but what is declared of them.

    :raises ValueError: there is no model, or two have one name
    """
    if not cards:
        raise ValueError("a prior needs at least one model")
    scorer = Prior(_levels(cards), *_costs(cards))
    features = _usual_prompts()
    scores = scorer.score(features)
    candidates = Candidates([card.name for card in cards], scorer.level, scores.cost_usd.mean(0))
    policy = Setting(doubt=0.0)
    held = HeldOut(scores, scores.quality, scores.cost_usd)
    return Learned(
        strategy=NAME,
        version=NAME,
        candidates=candidates,
        frontier=frontier(held, candidates, policy.doubt, is_measured=False),
        policy=policy,
        about=None,
        featurizer=Featurizer(_blind()),
        scorer=scorer,
        held_out=held,
    )


def untrained(estimator: type[Estimator], cards: Sequence[Card]) -> Learned:
    """An operator's own estimator as it is before it has seen anything: what it says by itself, or its prior.

    :raises ValueError: what it says cannot be decided by
    """
    base, features = prior(cards), _usual_prompts()
    nothing = np.zeros((0, len(cards)), np.float32)
    table = Table(prompts=[], models=base.candidates.names, quality=nothing, cost_usd=nothing)
    scorer = estimator().fit(Features(features.embedding[:0], features.surface[:0]), table)
    scores = scorer.score(features)
    check_scores(scores, len(features), len(cards))
    candidates = Candidates(base.candidates.names, scores.quality.mean(0), scores.cost_usd.mean(0))
    held = HeldOut(scores, scores.quality, scores.cost_usd)
    return replace(
        base,
        strategy=CUSTOM,
        version=estimator.NAME,
        candidates=candidates,
        frontier=frontier(held, candidates, base.policy.doubt, is_measured=False),
        scorer=scorer,
        held_out=held,
    )


def _blind() -> Hashed:
    return Hashed(np.empty(0, np.uint32), np.empty((0, 0), np.int8), np.empty(0, np.float32))


def _usual_prompts() -> Features:
    """One prompt of each difficulty."""
    away = np.clip(DIFFICULTIES[:, None] * WEIGHTS / float(WEIGHTS @ WEIGHTS), -3, 3).astype(np.float32)
    away[:, _CHARACTERS] = away[:, SURFACE.index("words")]
    return Features(np.zeros((len(away), 0), np.float32), away)


def _tokens(features: Features) -> NDArray[np.float64]:
    away = features.surface[:, _CHARACTERS].astype(np.float64)
    tokens: NDArray[np.float64] = (
        np.exp(away * USUAL_DEVIATION[_CHARACTERS] + USUAL_MEAN[_CHARACTERS]) / CHARACTERS_A_TOKEN
    )
    return tokens


def _levels(cards: Sequence[Card]) -> Floats:
    """What was measured; else by how much less than the dearest and the largest each is."""
    price, size = _logs([_price(card) for card in cards]), _logs([_size(card) for card in cards])
    known = np.array([np.nan if card.quality is None else card.quality for card in cards])
    behind = np.nanmean(
        np.stack([price, size, np.where(np.isnan(price) & np.isnan(size), _last(price, size), np.nan)]), 0
    )
    said = np.clip(BEST + TENFOLD * behind, WORST, BEST)
    if not np.isnan(known).all():  # as far above or below each other as they are said to be, from the best known on
        top = int(np.nanargmax(known))
        said = np.clip(said - said[top] + known[top], 0.0, max(BEST, float(known[top])))
    return np.where(np.isnan(known), said, known).astype(np.float32)


def _logs(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Decades below the largest, NaN where not known."""
    logs = np.log10([value or np.nan for value in values])
    highest = np.nanmax(logs) if not np.isnan(logs).all() else 0.0
    below: NDArray[np.float64] = logs - highest
    return below


def _last(*known: NDArray[np.float64]) -> float:
    """How far behind one of which nothing is known is put: as far as the last of the others, or a whole decade."""
    values = np.concatenate(known)
    return min(-1.0, float(np.nanmin(values))) if np.isfinite(values).any() else -1.0


def _price(card: Card) -> float | None:
    """Of a usual request."""
    if card.cost_usd is not None:
        return card.cost_usd
    known = [p for p in (card.output_usd_per_million, card.input_usd_per_million) if p is not None]
    return (known[0] * OUTPUT_TOKENS + known[-1] * INPUT_TOKENS) / 1e6 if known else None


def _size(card: Card) -> float | None:
    return card.size_billions or size_of(card.name)


def _costs(cards: Sequence[Card]) -> tuple[Floats, Floats]:
    """(m,) what a request costs at least, and each token of the prompt more."""
    fixed, each = [], []
    for card in cards:
        if card.cost_usd is not None:
            fixed.append(card.cost_usd)
            each.append(0.0)
            continue
        known = [p for p in (card.output_usd_per_million, card.input_usd_per_million) if p is not None]
        default = known[0] if known else UNKNOWN_USD_PER_MILLION
        out, into = (default if p is None else p for p in (card.output_usd_per_million, card.input_usd_per_million))
        fixed.append(out * OUTPUT_TOKENS / 1e6)
        each.append(into / 1e6)
    return np.array(fixed, np.float32), np.array(each, np.float32)
