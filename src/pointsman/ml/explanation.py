"""A decision laid open: every candidate beside the chosen one, and what another setting would have chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from pointsman.ml.decision import Candidates, Decision, Mask, Prospect, Ranking, Session, Setting, decide, rank
from pointsman.ml.knobs import Frontier


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate; ``None`` where nothing is predicted."""

    model: str
    quality: float | None
    deviation: float | None
    cost_usd: float | None
    gain: float | None
    """What it is worth more than the baseline, at least."""
    dropped: str = ""
    """Why it could not be chosen."""


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """What the nearest other setting of the ``quality`` knob would choose for this prompt."""

    quality_knob: float
    model: str
    quality: float
    cost_usd: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What ``POST /router/explain`` says of one prompt."""

    decision: Decision
    quality_knob: float
    """The setting of the knob that the price in force amounts to."""
    candidates: tuple[Row, ...]
    """The best first."""
    cheaper: Alternative | None
    """``None``: no setting chooses another model that costs less for this prompt."""
    better: Alternative | None
    """``None``: no setting chooses another model that is expected to be better."""


def explain(
    candidates: Candidates,
    prospect: Prospect,
    setting: Setting,
    frontier: Frontier,
    *,
    is_open: Mask | None = None,
    session: Session | None = None,
) -> Explanation:
    """Decide as :func:`pointsman.ml.decision.decide` does, and say what there was to choose from.

    A few milliseconds: it decides anew at each price of the frontier.

    :raises ValueError: no candidate is open
    """
    decision = decide(candidates, prospect, setting, is_open=is_open, session=session)
    ranking = rank(candidates, prospect, setting, is_open)

    def alternative(prices: Sequence[float], *, is_cheaper: bool) -> Alternative | None:
        for price in prices:
            other = decide(candidates, prospect, msgspec.structs.replace(setting, price=price), is_open=is_open)
            gained = decision.cost_usd - other.cost_usd if is_cheaper else other.quality - decision.quality
            if other.model != decision.model and gained > 0.0:
                knob = frontier.share_at(price)
                return Alternative(quality_knob=knob, model=other.model, quality=other.quality, cost_usd=other.cost_usd)
        return None

    return Explanation(
        decision=decision,
        quality_knob=frontier.share_at(decision.price),
        candidates=tuple(_row(candidates, ranking, setting, place) for place in ranking.order),
        cheaper=alternative([p for p in frontier.price if p > setting.price], is_cheaper=True),
        better=alternative([p for p in reversed(frontier.price) if p < setting.price], is_cheaper=False),
    )


def _row(candidates: Candidates, ranking: Ranking, setting: Setting, place: int) -> Row:
    p = ranking.prospect
    return Row(
        model=candidates.names[place],
        quality=_known(p.quality[place]),
        deviation=_known(np.sqrt(p.variance[place])),
        cost_usd=_known(p.cost_usd[place]),
        gain=_known(ranking.gain[place]),
        dropped=_dropped(ranking, setting, place),
    )


def _dropped(ranking: Ranking, setting: Setting, place: int) -> str:
    if ranking.is_within[place]:
        return ""
    p = ranking.prospect
    if not ranking.is_open[place]:
        return "not eligible"
    if not np.isfinite(p.quality[place] + p.cost_usd[place]) or np.isnan(p.variance[place]):
        return "nothing is known of it"
    if setting.max_cost_usd is not None and p.cost_usd[place] > setting.max_cost_usd:
        return "costs more than max_cost"
    return "is not credibly as good as min_quality"


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
