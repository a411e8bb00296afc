"""Which model a prompt goes to, given what is expected of each. All learned strategies end here.

What a model is worth for a prompt is ``quality - price * cost - impatience * seconds`` (the plug-in rule of CARROT,
arXiv 2502.03261). The *baseline* is the one that is worth most on average: the best single model. Predictions err, and
the largest of many is the likeliest to be too high. So models are not ranked by their worth, but by how much more than
the baseline they are worth *at least*: ``gain - doubt * standard deviation of the gain``, which is 0 for the baseline
itself. Where little is known everything else is below 0, and the best single model is kept.

In order, :func:`decide`

1. leaves out what is not open or not known, and what breaks a limit; where nothing is left, see :func:`_within`,
2. takes the highest lower bound,
3. keeps the model of a tool loop: another one would go on with calls that it did not make,
4. stays with the model of a session unless the choice is better by ``margin``.

Equals: the cheaper one, then by name; never by their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Scores
from pointsman.ml.knobs import HIGHEST_PRICE, Frontier, Wish, price_of

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]
MAX_BASELINES = 1024
"""Different prices at which the baseline is kept."""
Reason = Literal["gain", "baseline", "session", "tool loop", "limit", "unknown", "exploration"]
"""``gain``: credibly worth more than the baseline. ``baseline``: nothing is. ``limit``: no candidate keeps the limits,
this one comes nearest. ``unknown``: nothing is predicted, this one is best on average. ``exploration``: another one is
tried to learn how good it is."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a request's wishes and its route's policy come to."""

    price: float = 0.0
    """Quality that a dollar has to buy."""
    impatience: float = 0.0
    """Quality that a second has to buy."""
    doubt: float = 1.0
    """Standard deviations by which a gain has to be above 0."""
    margin: float = 0.02
    """Quality by which another model has to be better than that of the session."""
    max_cost_usd: float | None = None
    min_quality: float | None = None


def setting_of(wish: Wish, frontier: Frontier, policy: Setting) -> Setting:
    """The policy of a route with the price and the limits that a wish comes to."""
    return msgspec.structs.replace(
        policy, price=price_of(wish, frontier), max_cost_usd=wish.max_cost_usd, min_quality=wish.min_quality
    )


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What came before this request in the same conversation."""

    model: str
    is_tool_loop: bool = False
    """Whether the request brings results of tools that the model called."""
    saved_usd: float = 0.0
    """What staying saves, because the prompt is cached there."""


class Candidates:
    """The models of a checkpoint, in its order, and what is known of them on average. Arrays are (m,)."""

    __slots__ = (
        "_baselines",
        "all",
        "cost_usd",
        "names",
        "nothing",
        "places",
        "price_factor",
        "quality",
        "rank",
        "trained_cost_usd",
    )

    def __init__(self, names: Sequence[str], quality: Any, cost_usd: Any, price_factor: Any = 1.0) -> None:
        """Take means by model, NaN where there is none; ``price_factor`` is today's price by that of the training.

        :raises ValueError: names repeat, or there are not as many means
        """
        count = len(names)
        self.names = tuple(names)
        self.places = {name: i for i, name in enumerate(names)}
        self.rank: NDArray[np.intp] = np.argsort(np.argsort(np.array(self.names)))
        self.price_factor: Doubles = np.broadcast_to(np.asarray(price_factor, np.float64), count)
        self.quality: Doubles = np.broadcast_to(np.nan_to_num(np.asarray(quality, np.float64)), count)
        """0 where it is not known."""
        self.trained_cost_usd: Doubles = np.broadcast_to(
            np.nan_to_num(np.asarray(cost_usd, np.float64), nan=1.0), count
        )
        """In the prices of the training; a dollar where it is not known."""
        self.cost_usd: Doubles = self.trained_cost_usd * self.price_factor
        """In the prices of today."""
        self.all: Mask = np.ones(count, np.bool_)
        self.nothing: Doubles = np.zeros(count)
        self._baselines: dict[float, int] = {}
        if not count or len(self.places) != count:
            raise ValueError("candidates have different names, and there is at least one")

    def baseline(self, price: float, is_within: Mask) -> int:
        """The place of the one that is worth most on average."""
        is_usual = np.count_nonzero(is_within) == len(self.names)
        if is_usual and (known := self._baselines.get(price)) is not None:
            return known
        worth = np.where(is_within, self.quality - price * self.cost_usd, -np.inf)
        best = int(_best_first(worth, self.cost_usd, self.rank)[0])
        if is_usual and len(self._baselines) < MAX_BASELINES:
            self._baselines[price] = best
        return best


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen and why."""

    model: str
    reason: Reason
    quality: float
    """As predicted, 0..1; the average where nothing is predicted."""
    deviation: float
    """Standard deviation of the prediction."""
    cost_usd: float
    gain: float
    """What it is worth more than the baseline, at least."""
    lead: float
    """By how much its gain is above the best other one's; negative where the gain did not decide."""
    baseline: str
    price: float
    order: tuple[str, ...]
    """All that are open, the chosen one first: where it fails, the next one follows."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """What is expected of each candidate for one prompt, at today's prices. Arrays are (m,)."""

    quality: Doubles
    variance: Doubles
    cost_usd: Doubles
    seconds: Doubles | None = None

    @classmethod
    def of(cls, scores: Scores, row: int, candidates: Candidates, seconds: Any = None) -> Prospect:
        """The scores of the prompt in ``row``; ``seconds`` (m,) is how long each takes, 0 where that is not known."""
        return cls(
            quality=scores.quality[row].astype(np.float64),
            variance=scores.variance[row].astype(np.float64),
            cost_usd=scores.cost_usd[row] * candidates.price_factor,
            seconds=None if seconds is None else np.asarray(seconds, np.float64),
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """How candidates compare for one prompt, before any session is looked at. Arrays are (m,)."""

    prospect: Prospect
    is_open: Mask
    is_within: Mask
    """Which of those that are open are known and keep the limits."""
    gain: Doubles
    """What each is worth more than the baseline, at least; NaN where nothing is predicted."""
    order: Sequence[int]
    """Places, the best first; those that are not within are last."""
    baseline: int
    price: float
    reason: Reason

    def lead(self, place: int) -> float:
        """By how much a gain is above the highest other one; 0 where there is no other."""
        other = next((i for i in self.order if i != place and self.is_within[i]), None)
        return 0.0 if other is None else float(self.gain[place] - self.gain[other])


def rank(candidates: Candidates, prospect: Prospect, setting: Setting, is_open: Mask | None = None) -> Ranking:
    """Compare the candidates that can take the request at all: those that ``is_open`` (m,) says, else all.

    :raises ValueError: none is open
    """
    if is_open is None:
        is_open = candidates.all
    elif not is_open.any():
        raise ValueError("no candidate is open")
    is_within, price, reason = _within(prospect, setting, is_open)
    if reason == "unknown":
        prospect = Prospect(candidates.quality, candidates.nothing, candidates.cost_usd)
    worth = prospect.quality - price * prospect.cost_usd
    if setting.impatience and prospect.seconds is not None:
        worth -= setting.impatience * prospect.seconds
    baseline = candidates.baseline(price, is_within)
    gain = _at_least(worth, prospect.variance, baseline, setting.doubt)
    order = _best_first(np.where(is_within, gain, -np.inf), prospect.cost_usd, candidates.rank).tolist()
    reason = reason or ("baseline" if order[0] == baseline else "gain")
    return Ranking(prospect, is_open, is_within, gain, order, baseline, price, reason)


def decide(
    candidates: Candidates,
    prospect: Prospect,
    setting: Setting,
    *,
    is_open: Mask | None = None,
    session: Session | None = None,
) -> Decision:
    """Choose for one prompt; ``is_open`` as in :func:`rank`.

    :raises ValueError: no candidate is open
    """
    ranking = rank(candidates, prospect, setting, is_open)
    return conclude(candidates, ranking, *stay(candidates, ranking, setting, session))


def conclude(candidates: Candidates, ranking: Ranking, place: int, reason: Reason) -> Decision:
    """The decision for the candidate in ``place``, which has to be open."""
    names, p = candidates.names, ranking.prospect
    is_left = ranking.is_open.tolist()
    is_left[place] = False
    return Decision(
        model=names[place],
        reason=reason,
        quality=float(p.quality[place]),
        deviation=math.sqrt(p.variance[place]),
        cost_usd=float(p.cost_usd[place]),
        gain=float(ranking.gain[place]),
        lead=ranking.lead(place),
        baseline=names[ranking.baseline],
        price=ranking.price,
        order=(names[place], *[names[i] for i in ranking.order if is_left[i]]),
    )


def stay(candidates: Candidates, ranking: Ranking, setting: Setting, session: Session | None) -> tuple[int, Reason]:
    """The place of the first, or of the model of a session that is to be kept, and why."""
    first = ranking.order[0]
    if session is None:
        return first, ranking.reason
    place = candidates.places.get(session.model)
    if place is None or not ranking.is_open[place]:
        return first, ranking.reason
    if session.is_tool_loop:
        return place, "tool loop"
    saved = ranking.price * session.saved_usd
    if (
        place != first
        and ranking.is_within[place]
        and ranking.gain[first] - ranking.gain[place] - saved < setting.margin
    ):
        return place, "session"
    return first, ranking.reason


def choose_many(candidates: Candidates, scores: Scores, setting: Setting) -> NDArray[np.intp]:
    """(n,) the places that :func:`decide` chooses for all prompts with everything open, known and without limits."""
    cost = scores.cost_usd * candidates.price_factor
    baseline = candidates.baseline(setting.price, candidates.all)
    worth = scores.quality.astype(np.float64) - setting.price * cost
    lower = _at_least(worth, scores.variance.astype(np.float64), baseline, setting.doubt)
    cheapest = np.where(lower == lower.max(1, keepdims=True), cost, np.inf)
    first = np.where(cheapest == cheapest.min(1, keepdims=True), candidates.rank, len(candidates.names))
    places: NDArray[np.intp] = first.argmin(1)
    return places


def _within(prospect: Prospect, setting: Setting, is_open: Mask) -> tuple[Mask, float, Reason | None]:
    """Which may be chosen, at which price, and the reason if that is not a matter of their worth.

    Where none is good enough, the best of those that cost little enough; where none does that, the cheapest.
    """
    known = np.isfinite(prospect.quality + prospect.cost_usd)
    known &= prospect.variance >= 0.0
    known &= is_open
    if not np.count_nonzero(known):
        return is_open, setting.price, "unknown"
    cheap = known
    if setting.max_cost_usd is not None:
        cheap = known & (prospect.cost_usd <= setting.max_cost_usd)
        if not cheap.any():
            return known, HIGHEST_PRICE, "limit"
    if setting.min_quality is None:
        return cheap, setting.price, None
    good = cheap & (prospect.quality - setting.doubt * np.sqrt(prospect.variance) >= setting.min_quality)
    return (good, setting.price, None) if good.any() else (cheap, 0.0, "limit")


def _at_least(worth: Doubles, variance: Doubles, baseline: int, doubt: float) -> Doubles:
    """The lower bounds of the gains, along the last axis. Errors of two models count as independent."""
    gain: Doubles = worth - worth[..., baseline, None]
    if doubt:
        errors = variance + variance[..., baseline, None]
        gain -= doubt * np.sqrt(errors, out=errors)
    gain[..., baseline] = 0.0
    return gain


def _best_first(worth: Doubles, cost_usd: Doubles, rank: NDArray[np.intp]) -> NDArray[np.intp]:
    order: NDArray[np.intp] = np.lexsort((rank, cost_usd, -worth))
    return order
