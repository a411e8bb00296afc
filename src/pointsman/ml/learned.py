"""A strategy ready to decide: what a checkpoint holds, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from pointsman.ml.base import Embedder, Estimator, Features, Floats, Scores, State
from pointsman.ml.calibration import HeldOut, frontier, price_of_share
from pointsman.ml.checkpoint import RETRAIN, About, BadCheckpoint, Checkpoint
from pointsman.ml.custom import check_scores
from pointsman.ml.decision import Candidates, Setting
from pointsman.ml.embedders import needs_hint
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.estimators.causal import USUAL_BELIEF, moved
from pointsman.ml.features import Featurizer
from pointsman.ml.knobs import Frontier
from pointsman.ml.probing import Joined, prompts_of
from pointsman.ml.registry import CUSTOM, SIZES, estimator_of

LOCAL = "local-"
NONE: Mapping[str, Embedder] = {}


class Scorer(Protocol):
    """The half of an estimator that serves."""

    def score(self, features: Features) -> Scores:
        """What to expect of every model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Scores prompts, and knows what its knobs amount to."""

    strategy: str
    """``knn`` … ``auto``, or ``prior``."""
    version: str
    """The id of the checkpoint; ``prior`` without one."""
    candidates: Candidates
    """In the order of the scores."""
    frontier: Frontier
    policy: Setting
    about: About | None
    featurizer: Featurizer
    scorer: Scorer
    held_out: HeldOut
    """By the candidates, at the prices of the training."""
    places: tuple[int, ...] | None = None
    """Of the scorer's columns, one for each candidate, -1 where it knows nothing; ``None``: all as they are."""
    local: Learned | None = None
    """The same with an embedder that needs no one else, for when vectors do not arrive."""
    medoids: tuple[str, ...] = ()
    """Prompts that stand for those of the training, where the checkpoint holds some."""

    def features(self, texts: Sequence[str], users: Sequence[str] = (), embedding: Floats | None = None) -> Features:
        """What the scorer sees of prompts; ``embedding`` is what the embedder gave for them, if that is known."""
        return self.featurizer.features(texts, users, embedding)

    def score(self, features: Features) -> Scores:
        """What to expect of each candidate, in the prices of the training; NaN where nothing is known of it."""
        said = features.evidence
        scores = self.scorer.score(features if said is None else replace(features, evidence=None))
        if self.places is not None:
            scores = _of_candidates(scores, self.places)
        # Evidence is about the candidates, of which the scorer may know others.
        return scores if said is None else moved(scores, said, getattr(self.scorer, "belief", USUAL_BELIEF))

    def narrowed(
        self,
        names: Sequence[str],
        price_factor: Sequence[float] | float = 1.0,
        called: Sequence[str] | None = None,
    ) -> Learned:
        """For these candidates, in this order, at today's prices: the factor by which each costs more than in training.

        Those that the checkpoint does not know are scored NaN, so that they are chosen only where nothing else is left.
        ``called`` are other names for them from here on; the same model can then be there twice.

        :raises ValueError: names repeat, or none of them is known
        """
        factors = np.broadcast_to(np.asarray(price_factor, np.float64), len(names))
        called = names if called is None else called
        is_as_it_is = tuple(names) == tuple(called) == self.candidates.names
        if is_as_it_is and np.array_equal(factors, self.candidates.price_factor):
            return self
        old, columns = self.candidates, self._columns()
        at = [old.places.get(name, -1) for name in names]
        at = [place if place in columns else -1 for place in at]
        is_known = np.array(at) >= 0
        if not is_known.any():
            raise ValueError("the checkpoint knows none of the candidates")
        quality, cost = (np.where(is_known, means[at], np.nan) for means in (old.quality, old.trained_cost_usd))
        made = replace(
            self,
            candidates=Candidates(called, quality, cost, factors),
            held_out=self.held_out.columns([list(columns).index(place) for place in at if place >= 0]),
            places=tuple(columns.get(place, -1) for place in at),
            local=None if self.local is None else self.local.narrowed(names, price_factor, called),
        )
        if self.strategy in SIZES or not len(self.held_out):
            return made
        is_measured = self.frontier.is_measured
        return replace(made, frontier=frontier(made.held_out, made.known, self.policy.doubt, is_measured=is_measured))

    def _columns(self) -> dict[int, int]:
        """The column of the scorer for the place of each candidate that it knows: what was held out has these."""
        places = range(len(self.candidates.names)) if self.places is None else self.places
        return {i: column for i, column in enumerate(places) if column >= 0}

    @property
    def known(self) -> Candidates:
        """Those of the candidates of which something was held out, in the order of that."""
        c, at = self.candidates, list(self._columns())
        return Candidates([c.names[i] for i in at], c.quality[at], c.trained_cost_usd[at], c.price_factor[at])

    def price_of_share(self, strong: Sequence[str], share: float) -> float:
        """The price at which so many of the prompts that were held out went to one of the strong models, 0..1."""
        return price_of_share(self.held_out, self.known, strong, share, self.policy)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        embedders: Mapping[str, Embedder] = NONE,
        custom: type[Estimator] | None = None,
    ) -> Self:
        """Put together what was read. ``embedders`` by their id are those that a checkpoint does not bring itself.

        ``custom`` is the class of an operator's own estimator; a checkpoint names it, and never brings it.

        :raises BadCheckpoint: its parts do not fit together, or it needs an embedder or a class that is not there
        """
        try:
            made = cls._read(checkpoint, embedders, custom, "")
            if not any(name.startswith(LOCAL) for name in checkpoint.parts):
                return made
            return replace(made, local=cls._read(checkpoint, NONE, custom, LOCAL))
        except BadCheckpoint:
            raise
        except (ValueError, KeyError, TypeError, IndexError, ArithmeticError) as error:
            raise BadCheckpoint(f"its parts do not fit together: {error}", RETRAIN) from error

    @classmethod
    def _read(
        cls, checkpoint: Checkpoint, embedders: Mapping[str, Embedder], custom: type[Estimator] | None, prefix: str
    ) -> Self:
        about = checkpoint.manifest
        embedder = _embedder(checkpoint, embedders, prefix)
        estimator = _class_of(about, custom).from_state(checkpoint.part(prefix + "estimator"))
        featurizer = Featurizer.from_state(checkpoint.part(prefix + "features"), embedder)
        scorer = _with_joined(estimator, checkpoint.parts.get(prefix + "joined"), about)
        count = len(about.models)
        _try(scorer, featurizer, count)
        candidates = Candidates(
            [model.name for model in about.models],
            [np.nan if model.quality is None else model.quality for model in about.models],
            [np.nan if model.cost_usd is None else model.cost_usd for model in about.models],
        )
        held_out = HeldOut.from_state(checkpoint.part(prefix + "calibration"), count)
        reached = about.frontier
        if prefix and reached is not None and len(held_out):  # the manifest tells that of the other one
            reached = frontier(held_out, candidates, about.doubt)
        return cls(
            strategy=about.strategy,
            version=about.id,
            candidates=candidates,
            frontier=reached or ONLY_QUALITY,
            policy=Setting(doubt=about.doubt),
            about=about,
            featurizer=featurizer,
            scorer=scorer,
            held_out=held_out,
            medoids=() if "probes" not in checkpoint.parts else tuple(prompts_of(checkpoint.parts["probes"])),
        )


ONLY_QUALITY = Frontier(price=(0.0,), cost_usd=(0.0,), quality=(0.0,), baseline_quality=0.0)
"""Where the order of the models is the same at any price."""


def _class_of(about: About, custom: type[Estimator] | None) -> type[Any]:
    """The class of the estimator; an operator's own has to be the one that was trained, by its name."""
    if about.strategy == CUSTOM:
        wanted = about.features.get("estimator")
        if custom is None or wanted != custom.NAME:
            raise BadCheckpoint(
                f"it was trained with the estimator {wanted!r}, and {custom.NAME if custom else 'none'} is configured",
                "name its class, as module:Class, under strategy",
            )
    return estimator_of(about.strategy, custom)


def _with_joined(estimator: Estimator, joined: State | None, about: About) -> Scorer:
    """With the models that joined after the training, which the manifest names last."""
    if joined is None:
        return estimator
    more = Joined.from_state(joined)
    if more.models != tuple(model.name for model in about.models[-len(more.models) :]):
        raise ValueError("other models joined than the manifest names")
    return more.scorer(estimator)


def _try(estimator: Scorer, featurizer: Featurizer, models: int) -> None:
    """Score a prompt of which nothing is known, and one that lies in the midst of all.

    :raises ValueError: the scores cannot be decided by
    """
    dimension = featurizer.embedder.dimension
    vectors = np.zeros((2, dimension), np.float32)
    vectors[1] = 1 / np.sqrt(max(dimension, 1))
    check_scores(estimator.score(featurizer.features(["", "Why?"], ("", ""), vectors)), 2, models)


def _embedder(checkpoint: Checkpoint, embedders: Mapping[str, Embedder], prefix: str) -> Embedder:
    state = checkpoint.parts.get(prefix + "embedder")
    if state is not None:
        return Hashed.from_state(state)
    wanted = checkpoint.manifest.embedder
    if wanted not in embedders:
        configured = next(iter(embedders), "none of its own")
        raise BadCheckpoint(
            f"it was trained with the embedder {wanted}, and {configured} is configured", needs_hint(wanted)
        )
    return embedders[wanted]


def _of_candidates(scores: Scores, places: Sequence[int]) -> Scores:
    at, is_known = list(places), np.array(places) >= 0

    def taken(values: Any) -> Floats:
        columns: Floats = values[:, at]
        return columns if is_known.all() else np.where(is_known, columns, np.float32(np.nan))

    return Scores(taken(scores.quality), taken(scores.variance), taken(scores.cost_usd))


def parts_of(learned: Learned, estimator: Estimator, prefix: str = "") -> dict[str, State]:
    """What a checkpoint keeps of it."""
    embedder = learned.featurizer.embedder
    parts = {
        prefix + "estimator": estimator.state(),
        prefix + "features": learned.featurizer.state(),
        prefix + "calibration": learned.held_out.state(),
    }
    return parts | ({prefix + "embedder": embedder.state()} if isinstance(embedder, Hashed) else {})
