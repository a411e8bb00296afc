"""What is learnt, as a test says it, and lineups of plain candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from unit.routing.builders import member

from pointsman.ml.base import Features, Scores
from pointsman.ml.calibration import HeldOut, frontier
from pointsman.ml.checkpoint import About, Data, Model
from pointsman.ml.decision import Candidates, Setting
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.features import Featurizer
from pointsman.ml.learned import Learned
from pointsman.ml.prior import Card
from pointsman.providers.base import Price
from pointsman.routing.members import Member
from pointsman.routing.strategies.learned import Candidate, Lineup

ID = "0123456789abcdef" * 4


class Told:
    """Scores every prompt alike; a test may change what it says."""

    def __init__(self, quality: Sequence[float], cost_usd: Sequence[float], variance: float = 0.0) -> None:
        self.quality = list(quality)
        self.cost_usd = list(cost_usd)
        self.variance = variance
        self.seen: list[Features] = []

    def score(self, features: Features) -> Scores:
        self.seen.append(features)
        rows = (len(features), 1)
        return Scores(
            np.tile(np.array(self.quality, np.float32), rows),
            np.full((len(features), len(self.quality)), self.variance, np.float32),
            np.tile(np.array(self.cost_usd, np.float32), rows),
        )


def learnt(
    models: Mapping[str, tuple[float, float]], *, means: Mapping[str, float] | None = None, **about: Any
) -> tuple[Learned, Told]:
    """Models with the quality and the cost of each prompt; ``means`` are qualities on average, where these differ.

    With ``about`` it comes from a checkpoint: ``features`` of its manifest, or ``prices`` of then by model.
    """
    names = list(models)
    quality, cost = zip(*models.values(), strict=True)
    told = Told(quality, cost)
    mean = [(means or {}).get(name, models[name][0]) for name in names]
    candidates = Candidates(names, mean, cost)
    scores = told.score(Features(np.zeros((1, 0), np.float32), np.zeros((1, 16), np.float32)))
    held = HeldOut(scores, scores.quality, scores.cost_usd)
    told.seen.clear()
    return Learned(
        strategy="knn",
        version=ID,
        candidates=candidates,
        frontier=frontier(held, candidates, 0.0),
        policy=Setting(doubt=0.0),
        about=_about(models, **about) if about else None,
        featurizer=Featurizer(Hashed(np.empty(0, np.uint32), np.empty((0, 0), np.int8), np.empty(0, np.float32))),
        scorer=told,
        held_out=held,
    ), told


def _about(
    models: Mapping[str, tuple[float, float]],
    prices: Mapping[str, float] | None = None,
    features: Mapping[str, Any] | None = None,
) -> About:
    def model(name: str) -> Model:
        price = (prices or {}).get(name)
        cost = models[name][1]
        return Model(name=name, cost_usd=cost, input_usd_per_million=price, output_usd_per_million=price)

    return About(
        strategy="knn",
        embedder="hashed-1",
        features=dict(features or {}),
        models=tuple(map(model, models)),
        baseline=next(iter(models)),
        data=Data(sha256="0" * 64, prompts=10, labels=10),
        created="2026-01-01T00:00:00Z",
    )


def candidate(name: str, *members: Member, price: Price | None = None, **card: Any) -> Candidate:
    """One that answers to its name only, with a deployment that is well."""
    return Candidate(
        name=name,
        members=members or (member(f"{name}-id"),),
        names=frozenset({name}),
        card=Card(name=name, **card),
        price=price or Price(),
    )


def lineup(*names: str) -> Lineup:
    """Candidates of these names."""
    return Lineup([candidate(name) for name in names])
