"""What was decided for a request of a routed model."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Features, Scores
from pointsman.ml.decision import Decision, Setting
from pointsman.pipeline.question import Question
from pointsman.routing.strategies.learned import Chooser


class Chosen(msgspec.Struct, frozen=True, kw_only=True, weakref=True):
    """Where a request goes, and all that was known when that was decided. Arrays are in the order of the lineup."""

    routed: str
    decision: Decision
    order: tuple[str, ...]
    """Names of candidates, the chosen one first, with those that rest or are not known at the end."""
    chooser: Chooser
    features: Features
    scores: Scores
    first: str
    """What the decision alone wanted, before anything was tried."""
    propensity: float
    """With which it goes there."""
    setting: Setting
    question: Question
    shadow: str | None = None
    """What the checkpoint that is on trial wanted, or the one in force where the other was followed."""
    chances: NDArray[np.float64] | None = None
    """(m,) with which probability each was to be chosen by this checkpoint; ``None``: nothing else could be."""
    procedure: str = ""
    """The strategy that has asked on the way, where it was that which chose."""

    @property
    def reason(self) -> str:
        """Why it goes there."""
        return self.procedure or self.decision.reason

    @property
    def model(self) -> str:
        """The candidate."""
        return self.decision.model


def lines_of(chosen: Chosen, served: str | None = None) -> bytes:
    """Reply header lines that tell of a decision, or of another model that was ``served`` in its place."""
    decision = chosen.decision
    return (
        b"x-pointsman-routed-model: %b\r\n"
        b"x-pointsman-reason: %b\r\n"
        b"x-pointsman-predicted-quality: %.3f\r\n"
        b"x-pointsman-predicted-cost: %b\r\n"
        b"x-pointsman-checkpoint: %b\r\n"
    ) % (
        _plain(served or decision.model),
        chosen.reason.encode(),
        decision.quality,
        f"{decision.cost_usd:.8f}".rstrip("0").rstrip(".").encode(),
        _plain(chosen.chooser.label),
    )


def _plain(text: str) -> bytes:
    text = text[:256]
    if not (text.isascii() and text.isprintable()):
        text = "".join(char if " " <= char <= "~" else "?" for char in text)
    return text.encode()
