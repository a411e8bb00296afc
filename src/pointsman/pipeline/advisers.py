"""Whom a routed model asks before it decides, and tells afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Features, Floats, Scores
from pointsman.ml.decision import Ranking, Reason
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.chosen import Chosen
from pointsman.pipeline.errand import Ended
from pointsman.routing.strategies.learned import Chooser
from pointsman.telemetry.routed import CheckpointCounts


class Kept(Protocol):
    """What was learnt, as it is now."""

    @property
    def current(self) -> Chooser: ...
    def status(self) -> Mapping[str, Any]: ...
    def counts(self) -> CheckpointCounts | None: ...


class Embedding(Protocol):
    """Vectors that somebody else makes."""

    @property
    def is_outside(self) -> bool:
        """Whether texts leave this process."""

    async def of(self, text: str) -> Floats | None:
        """(1, d), or ``None`` where it is late or has failed."""

    def kept(self, text: str) -> Floats | None:
        """The same, as far as it is known without asking."""

    def status(self) -> Mapping[str, Any]:
        """How that went so far."""


class Evidence(Protocol):
    """What a language model says of the candidates."""

    async def evidence(self, text: str, spend: Callable[[Decimal], None]) -> Floats | None:
        """(1, m) in the order of the candidates, or ``None`` where it is late or has failed."""

    def kept(self, text: str) -> Floats | None:
        """The same, as far as it is known without asking."""


class Learning(Protocol):
    """What is learnt while serving."""

    @property
    def candidate(self) -> Chooser | None:
        """Another checkpoint that is on trial."""

    def before(self, chooser: Chooser, features: Features, scores: Scores) -> Scores:
        """What to expect, with what was learnt."""

    def after(
        self, chooser: Chooser, ranking: Ranking, chance: float, now: float
    ) -> tuple[int, NDArray[np.float64] | None, Reason | None]:
        """The place to try, the probabilities (m,) by which it was drawn, and why, if that is not the ranking."""

    def status(self) -> Mapping[str, Any]: ...
    def picks_candidate(self, chance: float) -> bool: ...
    def mixed(self, chosen: Chosen, trial: Chosen, *, is_trial: bool) -> Chosen:
        """The one that is followed, with the other one in its shadow."""


class Records(Protocol):
    """Where decisions are noted, and what came of them."""

    def decided(self, request_id: str, chosen: Chosen) -> None: ...
    def settled(self, request_id: str, chosen: Chosen, attempt: Attempt, served: str, problem: str) -> None: ...
    def answered(self, request_id: str, chosen: Chosen, ended: Ended) -> None: ...
