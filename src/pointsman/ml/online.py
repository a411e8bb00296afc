"""What outcomes teach while serving, on top of what a checkpoint or the prior says.

What is learnt of the quality of model ``a`` for a prompt with inputs ``z`` is the rest

    quality - expected = z·common + z·own[a] + noise

by Bayesian linear regression with a Gaussian belief over ``common``, what is wrong for all models (harder prompts
than those of the training), and over ``own``, what is wrong for one. An outcome moves both as the Kalman filter has
it; their correlation is dropped after each step (assumed density filtering, Opper 1998), so a step is a few small
products. The beliefs about slopes are tight, that about the level of a model is wide: with few outcomes it is a
bandit without context, and the context comes in as evidence allows.

Costs are learnt as the ratio of what was charged to what was predicted. Troubles (an answer asked for again, refused,
cut off, a tool call that failed) are no ratings, and who answers most has most of them: what counts is a model's
*rate* beside that of all.

What was true may cease to be. Levels are slowly forgotten, up to the doubt they began with; and two running sums for
each model (CUSUM, Page 1954) watch for surprises that all go one way: then the level of this model is forgotten at
once.

Exploring is matching of probabilities (Thompson 1933), with the chance of each model computed before one is drawn, so
that it is known exactly and can be logged. It goes by the doubt about levels alone, halved: what is doubtful about
slopes is small, and to try a model for its sake on every prompt costs more than it teaches within some thousand
requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Features, Scores, State
from pointsman.ml.decision import Ranking
from pointsman.ml.features import SURFACE

Doubles = NDArray[np.float64]

DIRECTIONS = 32
"""Of the embedding that inputs keep; more are more to learn than outcomes are likely to teach."""
COMMON = 5 / 3
"""What may be wrong about the level of all models, by what may be wrong about that of one. Were it much more, the
failure of the only model that was asked would be taken for that of all."""
COMMON_SLOPES = 0.15
OWN_SLOPES = 0.045
"""What may be wrong by the prompt, as deviations of quality: for all models, and for one."""
NOISE = 0.22
"""Variance of an outcome around what is expected of it, as good as that of a coin."""
SURPRISE = 0.35
ALARM = 14.0
"""In deviations: a change of level is heard from twice ``SURPRISE`` on. Without any, an alarm comes once in some ten
thousand outcomes of a model, and costs little; a halved quality is heard after about 30."""
LOST_DEVIATION = 0.2
"""Of a level after an alarm."""
MEMORY = 50_000
"""Outcomes after which a level is as doubtful as at the beginning."""
HALVED = 0.5
FIRST_COST = 20.0
"""As many requests that are presumed to have cost what was predicted."""
FIRST_TROUBLES = 50.0
"""As many answers of a model that are presumed to have been as troublesome as all."""
TROUBLE = 0.5
"""Quality that an answer with trouble is presumed to lack."""
TROUBLE_MEMORY = 2_000.0
"""Answers of a model that its rate of trouble is over, and the requests that its ratio of costs is."""
GRID = 64
REACH = 3.5
MINUTE = 60.0
MINUTES = 61
"""That may have a part in the hour before any moment of the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploring:
    """How much may be risked to learn. Nothing: no model is tried that is not the first."""

    share: float = 0.0
    """0..1: of requests, at most, that go to another model than the first."""
    regret_budget: float = 0.0
    """Quality, summed over requests, that may be expected to be lost by it within an hour."""


class Spent:
    """What trying others was expected to cost in the last hour, by minutes; never less than that."""

    def __init__(self) -> None:
        self.minutes = np.zeros(MINUTES)
        """The last one is the current one."""
        self._minute: int | None = None

    def within_hour(self, now: float) -> float:
        """The sum; what comes next is of this moment."""
        minute = int(now // MINUTE)
        # After a restart it goes on as if no time had passed: how long it was is not known of a clock of any kind.
        last = minute if self._minute is None else self._minute
        passed = min(MINUTES, max(0, minute - last))
        self._minute = max(minute, last)
        if passed:
            self.minutes[:-passed] = self.minutes[passed:]
            self.minutes[-passed:] = 0.0
        return float(self.minutes.sum())

    def take(self, regret: float) -> None:
        """So much more."""
        self.minutes[-1] += regret

    def join(self, other: Spent) -> None:
        """Take what is known from before, as far as it is not known here."""
        np.maximum(self.minutes, other.minutes, out=self.minutes)


class Online:
    """What was learnt while serving, for these models in this order. Not for several threads."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        deviation: float = 0.12,
        exploring: Exploring = Exploring(),
        embedding: int = 0,
        spent: Spent | None = None,
    ) -> None:
        """``deviation`` is how wrong the level of a model may be; ``embedding`` the length of those that come.

        ``spent`` may be shared with others that explore by the same budget.
        """
        self.names = tuple(names)
        self.exploring = exploring
        self._deviation = deviation
        self.embedding = embedding
        self._turn = _directions(embedding)
        count, size = len(self.names), 1 + SURFACES + self._turn.shape[1]
        self._common = np.zeros(size)
        self._own = np.zeros((count, size))
        self._common_spread = np.diag(_first(size, COMMON * deviation, COMMON_SLOPES))
        self._own_spread = np.tile(np.diag(_first(size, deviation, OWN_SLOPES)), (count, 1, 1))
        self._surprise = np.zeros((count, 2))
        self._seen = np.zeros(count)
        self._costs = np.tile([FIRST_COST, FIRST_COST], (count, 1))
        """Charged and predicted, each by what was predicted."""
        self._troubles = np.zeros((count, 2))
        """With trouble, and all."""
        self.alarms = 0
        """Times that a level was forgotten because of surprises."""
        self.spent = Spent() if spent is None else spent

    @property
    def outcomes(self) -> int:
        """How many have been learnt."""
        return int(self._seen.sum())

    @property
    def levels(self) -> Doubles:
        """(m,) how much better each model is than was expected, whatever the prompt, beside what all have in common."""
        return self._own[:, 0] - self._penalties()

    def adjust(self, features: Features, scores: Scores) -> Scores:
        """What to expect of each model for each prompt, with what was learnt."""
        quality, variance = np.empty(scores.quality.shape), np.empty(scores.quality.shape)
        left = np.minimum(1.0, self._own_spread[:, 0, 0] / self._deviation**2)
        for row, z in enumerate(self._inputs(features)):
            quality[row] = self._own @ z + z @ self._common - self._penalties()
            variance[row] = (self._own_spread @ z) @ z
        return Scores(
            _bounded(scores.quality + quality).astype(np.float32),
            (scores.variance * left + variance).astype(np.float32),
            (scores.cost_usd * (self._costs[:, 0] / self._costs[:, 1])).astype(np.float32),
        )

    def explore(self, ranking: Ranking, chance: float, now: float) -> tuple[int, float]:
        """The place to try for this prompt, and the probability with which it was chosen: see :meth:`chances`.

        ``chance`` is drawn from 0..1.
        """
        p = self.chances(ranking, now)
        place = drawn(p, chance)
        return place, float(p[place])

    def chances(self, ranking: Ranking, now: float) -> Doubles:
        """(m,) with which probability each is to be chosen for this prompt, which counts as done.

        ``now`` is in seconds of any clock. Only models that are within the request's limits, and so near to the first
        that either may be the better one, are tried.
        """
        first = ranking.order[0]
        left = self.exploring.regret_budget - self.spent.within_hour(now)
        p = self._chances(ranking, first, left) if left > 0.0 and self.exploring.share > 0.0 else None
        if p is None:
            p = np.zeros(len(ranking.is_within))
            p[first] = 1.0
        return p

    def learn(self, features: Features, place: int, expected: float, quality: float, weight: float = 1.0) -> None:
        """Take a rating from 0 to 1 of an answer of the model in ``place``.

        ``expected`` is the quality that the checkpoint or the prior had said, ``weight`` how much the rating counts:
        that of a person 1, a guess less.
        """
        if not (np.isfinite(expected) and np.isfinite(quality) and weight > 0.0):
            return
        (z,) = self._inputs(features)
        common, own = self._common_spread @ z, self._own_spread[place] @ z
        doubt = NOISE / weight + z @ common + z @ own
        missed = min(1.0, max(0.0, quality)) - expected - (z @ self._common + z @ self._own[place])
        self._common += common * (missed / doubt)
        self._own[place] += own * (missed / doubt)
        self._common_spread -= np.outer(common, common / doubt)
        self._own_spread[place] -= np.outer(own, own / doubt)
        self._seen[place] += 1
        self._forget()
        self._watch(place, missed / float(np.sqrt(doubt)))

    def correct(self, features: Features, place: int, change: float) -> None:
        """A rating that was taken before is higher by ``change``: believe about what that would have led to."""
        (z,) = self._inputs(features)
        self._common += self._common_spread @ z * (change / NOISE)
        self._own[place] += self._own_spread[place] @ z * (change / NOISE)

    def charge(self, place: int, predicted_usd: float, cost_usd: float) -> None:
        """Take what a request has cost and what the checkpoint or the prior had said."""
        if predicted_usd > 0.0 and 0.0 <= cost_usd < np.inf:
            self._costs[place] += min(cost_usd / predicted_usd, 10.0), 1.0
            self._costs[place] *= min(1.0, TROUBLE_MEMORY / self._costs[place, 1])

    def trouble(self, place: int, *, is_troubled: bool) -> None:
        """Take whether an answer was troublesome."""
        self._troubles[place] += float(is_troubled), 1.0
        self._troubles[place] *= min(1.0, TROUBLE_MEMORY / self._troubles[place, 1])

    def state(self) -> State:
        """What is learnt."""
        return State(
            {
                "common": self._common,
                "common_spread": self._common_spread,
                "own": self._own,
                "own_spread": self._own_spread,
                "surprise": self._surprise,
                "seen": self._seen,
                "costs": self._costs,
                "troubles": self._troubles,
                "spent": self.spent.minutes,
            },
            {"names": list(self.names), "deviation": self._deviation, "embedding": self.embedding},
        )

    @classmethod
    def from_state(cls, state: State, *, exploring: Exploring = Exploring(), spent: Spent | None = None) -> Self:
        """The reverse of :meth:`state`.

        :raises ValueError: the arrays or settings do not fit together
        """
        try:
            names, deviation, embedding = (state.settings[name] for name in ("names", "deviation", "embedding"))
            if not (0.0 < deviation < 10.0 and 0 <= embedding <= MAX_EMBEDDING and len(set(names)) == len(names) > 0):
                raise ValueError("the settings of what was learnt online are none")
            made = cls([str(name) for name in names], deviation=deviation, exploring=exploring, embedding=embedding)
            for name, array in made.state().arrays.items():
                found = np.array(state.arrays[name], np.float64)
                if found.shape != array.shape or not np.isfinite(found).all():
                    raise ValueError(f"{name} is not what was learnt of {len(names)} models")
                array[...] = found
        except (KeyError, TypeError) as error:
            raise ValueError(f"what was learnt online lacks {error}") from error
        if (made._costs <= 0).any() or (made._own_spread[:, 0, 0] < 0).any() or (made.spent.minutes < 0).any():
            raise ValueError("what was learnt online is damaged")
        if spent is not None:
            spent.join(made.spent)
            made.spent = spent
        return made

    def _inputs(self, features: Features) -> Doubles:
        """(n, inputs) 1, then parts of length about 1 each."""
        surface = features.surface.astype(np.float64) / np.sqrt(SURFACES)
        rows = [np.ones((len(surface), 1)), surface]
        if self.embedding:
            rows.append(features.embedding @ self._turn)
        return np.hstack(rows)

    def _penalties(self) -> Doubles:
        troubled, answers = self._troubles[:, 0], self._troubles[:, 1]
        usual = troubled.sum() / max(answers.sum(), 1.0)
        penalties: Doubles = TROUBLE * ((troubled + FIRST_TROUBLES * usual) / (answers + FIRST_TROUBLES) - usual)
        return penalties

    def _chances(self, ranking: Ranking, first: int, budget: float) -> Doubles | None:
        """(m,) with which probability each is tried; ``None``: nothing but the first comes into question."""
        prospect = ranking.prospect
        places = np.flatnonzero(ranking.is_within)
        if len(places) < 2 or not ranking.is_within[first]:
            return None
        worth = prospect.quality[places] - ranking.price * prospect.cost_usd[places]
        deviation = HALVED * np.sqrt(self._own_spread[places, 0, 0])
        is_near = worth + REACH * deviation >= (worth - REACH * deviation).max()
        if is_near.sum() < 2:
            return None
        at = places[is_near]
        others, loss = np.zeros(len(ranking.is_within)), np.zeros(len(ranking.is_within))
        others[at] = best_chances(worth[is_near], deviation[is_near])
        loss[places] = np.maximum(0.0, worth[places == first] - worth)
        others[first] = 0.0
        lost = float(others @ loss)
        part = min(1.0, self.exploring.share / max(float(others.sum()), 1e-12))
        if lost * part > budget:
            part = budget / lost
        others *= part
        self.spent.take(lost * part)
        others[first] = 1.0 - others.sum()
        return others

    def _forget(self) -> None:
        first = self._deviation**2
        levels = self._own_spread[:, 0, 0]
        self._own_spread[:, 0, 0] = np.maximum(levels, np.minimum(first, levels + first / MEMORY))

    def _watch(self, place: int, surprise: float) -> None:
        sums = self._surprise[place]
        sums[0] = max(0.0, sums[0] + surprise - SURPRISE)
        sums[1] = max(0.0, sums[1] - surprise - SURPRISE)
        if sums.max() > ALARM:
            sums[:] = 0.0
            spread = self._own_spread[place]
            spread[0, :] = spread[:, 0] = 0.0
            spread[0, 0] = max(LOST_DEVIATION, self._deviation) ** 2
            self.alarms += 1


SURFACES = len(SURFACE)
MAX_EMBEDDING = 65_536


def drawn(chances: Doubles, chance: float) -> int:
    """The place that falls to ``chance``, 0..1, by probabilities (m,); never one that has none."""
    sums = np.cumsum(chances)
    return int(min(np.searchsorted(sums, chance * sums[-1], side="right"), np.flatnonzero(chances)[-1]))


def best_chances(mean: Doubles, deviation: Doubles) -> Doubles:
    """(m,) how likely each of independent normal values is to be the largest: by quadrature, and they come to 1."""
    deviation = np.maximum(deviation, 1e-6)
    low, high = (mean - REACH * deviation).max(), (mean + REACH * deviation).max()
    below = _normal((np.linspace(low, high, GRID + 1) - mean[:, None]) / deviation[:, None])
    middle = np.maximum((below[:, 1:] + below[:, :-1]) / 2, 1e-12)
    found = (np.diff(below, axis=1) / middle * middle.prod(0)).sum(1)
    total = found.sum()
    if not total > 0.0:
        found, total = (mean == mean.max()).astype(np.float64), float((mean == mean.max()).sum())
    chances: Doubles = found / total
    return chances


def _normal(x: Doubles) -> Doubles:
    """The cumulative normal distribution, to two parts in ten thousand (E. Page 1977)."""
    found: Doubles = 1.0 / (1.0 + np.exp(-np.clip(1.5976 * x + 0.07056 * x**3, -40.0, 40.0)))
    return found


def _bounded(quality: NDArray[np.floating]) -> NDArray[np.floating]:
    """At least 0; where one is above 1 all of the prompt's come down by as much, so that none become equal."""
    found: NDArray[np.floating] = np.maximum(0.0, quality - np.maximum(0.0, _highest(quality) - 1.0))
    return found


def _highest(quality: NDArray[np.floating]) -> NDArray[np.floating]:
    known = np.where(np.isfinite(quality), quality, -np.inf)
    found: NDArray[np.floating] = known.max(1, keepdims=True)
    return found


def _first(size: int, level: float, slopes: float) -> Doubles:
    """Variances: of the level, and of slopes along which each part of the inputs has about a length of 1."""
    return np.array([level**2, *[slopes**2] * (size - 1)])


def _directions(length: int) -> NDArray[np.float32]:
    """(length, kept) fixed directions at random, which keep distances about as they are (Johnson and Lindenstrauss)."""
    kept = min(length, DIRECTIONS)
    drawn = np.random.default_rng(0).standard_normal((length, kept), dtype=np.float32)
    turn: NDArray[np.float32] = drawn / np.sqrt(np.float32(max(kept, 1)))
    return turn
