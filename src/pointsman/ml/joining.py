"""A checkpoint that knows one model more: what :mod:`pointsman.ml.probing` believes of it, put into its parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pointsman.ml.base import Floats, Scores, State
from pointsman.ml.calibration import HeldOut, frontier
from pointsman.ml.checkpoint import About, Checkpoint, Model
from pointsman.ml.decision import Candidates
from pointsman.ml.learned import LOCAL, Learned
from pointsman.ml.prior import Card, prior
from pointsman.ml.probing import Joined, outcomes_of
from pointsman.ml.registry import SIZES

JOINED = "joined"
PROBES = "probes"
CALIBRATION = "calibration"


def join(
    checkpoint: Checkpoint, learned: Learned, card: Card, prompts: Sequence[str], quality: Any, cost_usd: Any
) -> tuple[About, dict[str, State]]:
    """What the manifest and the parts are when the model of the card has joined.

    ``learned`` is the strategy of the checkpoint with all its candidates; ``quality`` and ``cost_usd`` (n,) are the
    outcomes of the probes, NaN where they are not known.

    :raises ValueError: the model is there already, or the strategy predicts no quality that one could join by
    """
    if card.name in learned.candidates.places:
        raise ValueError(f"{card.name} is one of the candidates already")
    if learned.strategy in SIZES:
        raise ValueError(f"{learned.strategy} predicts no quality; train it again with the new model")
    parts = dict(checkpoint.parts)
    for prefix, one in (("", learned), (LOCAL, learned.local)):
        if one is not None:
            held = _join_part(parts, prefix, one, card, (prompts, quality, cost_usd))
            if not prefix:
                about = _about(checkpoint.manifest, card, held)
    return about, parts


def _join_part(
    parts: dict[str, State], prefix: str, learned: Learned, card: Card, probes: tuple[Sequence[str], Any, Any]
) -> HeldOut:
    """Rewrite the parts of one head; gives what is held out there now."""
    prompts, quality, cost = probes
    held = HeldOut.from_state(parts[prefix + CALIBRATION], len(learned.candidates.names))
    before = parts.get(prefix + JOINED)
    asked = learned.score(learned.features(list(prompts)))
    known = len(learned.candidates.names) - (0 if before is None else len(before.settings["models"]))
    joined = Joined.none(_average(held, asked, known)) if before is None else Joined.from_state(before)
    joined = joined.with_model(
        card.name,
        _first(asked, known),
        quality,
        cost,
        level=_level(learned, card),
        cost_factor=_cost_factor(learned, card, known),
        known=outcomes_of(parts[PROBES], prompts, known) if PROBES in parts else None,
    )
    held = _beside(held, joined.extend(_first(held.scores, known)))
    parts[prefix + JOINED] = joined.state()
    parts[prefix + CALIBRATION] = held.state()
    return held


def _average(held: HeldOut, asked: Scores, known: int) -> Any:
    quality = held.scores.quality if len(held) else asked.quality
    return quality[:, :known].mean(0, dtype=np.float64)


def _first(scores: Scores, count: int) -> Scores:
    return Scores(scores.quality[:, :count], scores.variance[:, :count], scores.cost_usd[:, :count])


def _beside(held: HeldOut, scores: Scores) -> HeldOut:
    """What came out of the new model is taken as it is predicted."""

    def longer(outcomes: Floats, predicted: Floats) -> Floats:
        return np.hstack([outcomes, predicted[:, outcomes.shape[1] :]])

    return HeldOut(scores, longer(held.quality, scores.quality), longer(held.cost_usd, scores.cost_usd))


def _level(learned: Learned, card: Card) -> float:
    """What the prior makes of the card beside models whose quality is known."""
    c = learned.candidates
    cards = [
        Card(name=name, quality=float(quality), cost_usd=float(cost), size_billions=None)
        for name, quality, cost in zip(c.names, c.quality, c.cost_usd, strict=True)
    ]
    own = (
        card
        if card.cost_usd is not None
        else replace(card, cost_usd=_cost_factor(learned, card, len(c.names)) * _usual_cost(learned, len(c.names)))
    )
    return float(prior([*cards, own]).candidates.quality[-1])


def _usual_cost(learned: Learned, known: int) -> float:
    costs = np.maximum(learned.candidates.cost_usd[:known], 1e-12)
    return float(np.exp(np.log(costs).mean()))


def _cost_factor(learned: Learned, card: Card, known: int) -> float:
    """What the model costs by what the others cost: by its price for a token where theirs are known too."""
    if card.cost_usd is not None:
        return max(card.cost_usd, 1e-12) / _usual_cost(learned, known)
    own = _price(card.input_usd_per_million, card.output_usd_per_million)
    models = () if learned.about is None else learned.about.models[:known]
    others = [_price(model.input_usd_per_million, model.output_usd_per_million) for model in models]
    if own is None or not others or None in others:
        return 1.0
    return own / math.exp(sum(math.log(price) for price in others if price is not None) / len(others))


def _price(asked: float | None, answered: float | None) -> float | None:
    """The mean of both, at least a little; ``None`` where neither is known."""
    known = [price for price in (asked, answered) if price is not None]
    return max(sum(known) / len(known), 1e-6) if known else None


def _about(manifest: About, card: Card, held: HeldOut) -> About:
    names = {field: getattr(manifest, field) for field in About.__struct_fields__}
    predicted = held.scores
    model = Model(
        name=card.name,
        quality=float(predicted.quality[:, -1].mean()) if len(held) else None,
        cost_usd=float(predicted.cost_usd[:, -1].mean()) if len(held) else None,
        input_usd_per_million=card.input_usd_per_million,
        output_usd_per_million=card.output_usd_per_million,
    )
    models = (*manifest.models, model)
    return About(**names | {"models": models, "frontier": _frontier(models, held, manifest)})


def _frontier(models: Sequence[Model], held: HeldOut, manifest: About) -> Any:
    if not len(held):
        return manifest.frontier
    among = Candidates(
        [model.name for model in models],
        [np.nan if model.quality is None else model.quality for model in models],
        [np.nan if model.cost_usd is None else model.cost_usd for model in models],
    )
    return frontier(held, among, manifest.doubt)
