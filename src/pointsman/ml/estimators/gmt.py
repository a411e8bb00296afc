"""What a user likes, on top of what everybody does: learnt from a user's ratings, and further with each new one.

GMTRouter (arXiv 2511.08590) passes messages over the history of a user. Here the same data makes a hierarchical factor
model (Salakhutdinov and Mnih, "Bayesian probabilistic matrix factorization", 2008): a user's offsets of the models are
a few tastes, common to all users, in the user's own measure. How much tastes differ between users is learnt first; then
a user's measures have a Gaussian posterior in closed form, which a rating changes in microseconds. Who is not known
gets what everybody gets.

Users are kept by a hash of their name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import Features, Floats, Scores, State, Table
from pointsman.ml.linear import ridge
from pointsman.ml.residual import Arrays, Lesson, Residual

Doubles = NDArray[np.float64]

FEW_PAIRS = 30.0
"""As many pairs of ratings that are presumed to show no common taste."""


@dataclass(kw_only=True)
class Gmt(Residual):
    """``tastes`` is how many there are at most, ``max_users`` how many users; who was heard of least recently goes."""

    NAME: ClassVar[str] = "gmt"

    tastes: int = 4
    max_users: int = 10_000
    penalty: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._users: dict[int, tuple[Doubles, Doubles]] = {}

    def learn(self, lesson: Lesson, chance: np.random.Generator) -> Arrays:  # noqa: ARG002  nothing is left to it
        """What everybody does: linear in the inputs."""
        found = ridge(lesson.inputs, lesson.residuals, self.penalty, lesson.weights)
        return {"slopes": found.slopes, "intercept": found.intercept}

    def deviations(self, learnt: Arrays, inputs: Floats) -> Floats:
        """What the plane says."""
        return inputs @ learnt["slopes"] + learnt["intercept"]

    def fit(self, features: Features, table: Table) -> Self:
        """Learn what everybody does, then how users differ, then each user in the order of the table."""
        super().fit(features, table)
        users = np.array([_hash_of(name) for name in table.users or [""] * len(table)], np.uint64)
        surprises = np.where(users[:, None] == 0, np.nan, table.quality - super().score(features).quality)
        self._learnt["tastes"] = _tastes(surprises, users, self.tastes)
        self._users = {}
        for i in np.flatnonzero(users):
            self._take(int(users[i]), surprises[i])
        return self

    def observe(self, features: Features, model: int, quality: float) -> None:
        """Learn from a rating of the model in this place for the one prompt in ``features``, by its user if named."""
        user = _hash_of(features.users[0]) if features.users else 0
        if user:
            surprises = np.full(len(self._learnt["mean"]), np.nan)
            surprises[model] = quality - super().score(features).quality[0, model]
            self._take(user, surprises)

    def correct(self, features: Features, model: int, change: float) -> None:
        """A rating that was observed before, of the same user and model, is higher by ``change``."""
        user = _hash_of(features.users[0]) if features.users else 0
        if user in self._users:
            precision, pull = self._users[user]
            taste = self._learnt["tastes"][model] / self._learnt["noise"][model]
            self._users[user] = precision, pull + taste * change

    def score(self, features: Features) -> Scores:
        """What everybody gets, and what is known of the users in ``features``."""
        scores = super().score(features)
        tastes = self._learnt["tastes"]
        offsets, variances = np.zeros_like(scores.quality), np.zeros_like(scores.variance)
        for i, name in enumerate(features.users):
            state = self._users.get(_hash_of(name))
            if state is not None:
                covariance = np.linalg.inv(state[0])
                offsets[i] = tastes @ (covariance @ state[1])
                variances[i] = ((tastes @ covariance) * tastes).sum(1)
        return replace(scores, quality=np.clip(scores.quality + offsets, 0, 1), variance=scores.variance + variances)

    def state(self) -> State:
        """With what is known of each user."""
        base, size = super().state(), self._learnt["tastes"].shape[1]
        kept = {
            "users": np.array(list(self._users), np.uint64),
            "precisions": np.array([state[0] for state in self._users.values()]).reshape(-1, size, size),
            "pulls": np.array([state[1] for state in self._users.values()]).reshape(-1, size),
        }
        return State({**base.arrays, **kept}, base.settings)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The reverse of :meth:`state`.

        :raises ValueError: the arrays or settings do not fit together
        """
        made = super().from_state(state)
        made._read_users()  # noqa: SLF001  its own class
        return made

    def _read_users(self) -> None:
        users, precisions, pulls = (self._learnt.pop(name, np.empty(())) for name in ("users", "precisions", "pulls"))
        size = self._learnt["tastes"].shape[-1] if self._learnt["tastes"].ndim else 0
        shapes = (users.size, size, size), (users.size, size)
        if (precisions.shape, pulls.shape) != shapes or users.ndim != 1 or users.dtype != np.uint64:
            raise ValueError("the users of the estimator gmt do not fit together")
        self._users = {int(u): (p, h) for u, p, h in zip(users, precisions, pulls, strict=True)}

    def _take(self, user: int, surprises: NDArray[Any]) -> None:
        """The posterior after qualities (m,) that differ so much from what was expected, NaN where not known."""
        size = self._learnt["tastes"].shape[1]
        precision, pull = self._users.pop(user, (np.eye(size), np.zeros(size)))
        known = np.flatnonzero(~np.isnan(surprises))
        tastes = self._learnt["tastes"][known] / np.sqrt(self._learnt["noise"][known, None])
        seen = surprises[known] / np.sqrt(self._learnt["noise"][known])
        self._users[user] = precision + tastes.T @ tastes, pull + tastes.T @ seen
        if len(self._users) > self.max_users:
            del self._users[next(iter(self._users))]


def _hash_of(name: str) -> int:
    """0 for no name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") if name else 0


def _tastes(surprises: Floats, users: NDArray[np.uint64], most: int) -> Doubles:
    """(m, tastes) in which users differ, each as large as a usual user's measure of it.

    Ratings of two prompts by one user have nothing but the user in common, so the mean of their products is the
    covariance of users' offsets, whatever two models have in common on one prompt.
    """
    known = ~np.isnan(surprises)
    seen, count = np.nan_to_num(surprises).astype(np.float64), known.astype(np.float64)
    _, user = np.unique(users, return_inverse=True)
    sums, counts = (_by_user(values, user) for values in (seen, count))
    products = sums.T @ sums - seen.T @ seen
    pairs = counts.T @ counts - count.T @ count
    strengths, directions = np.linalg.eigh(products / (pairs + FEW_PAIRS))
    first = np.argsort(-strengths, kind="stable")[: max(1, most)]
    found: Doubles = directions[:, first] * np.sqrt(np.maximum(strengths[first], 0))
    return found


def _by_user(values: Doubles, user: NDArray[np.intp]) -> Doubles:
    sums = np.zeros((user.max(initial=-1) + 1, values.shape[1]))
    np.add.at(sums, user, values)
    return sums
