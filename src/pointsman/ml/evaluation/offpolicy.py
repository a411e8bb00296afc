"""What another policy would have earned on requests that were decided by this one, from the log of the latter.

Only the answer of the model that was chosen is known. Three estimates of the mean reward of a policy:

* ``snips``, weighted by how much likelier the policy would have chosen that model (Swaminathan and Joachims, 2015):
  asks nothing of a model, and is of little use where the policies differ and little was explored;
* ``direct``, by a model of rewards, fitted on other requests than those it is asked about: quick and wrong in its own
  way;
* ``doubly_robust``, the direct one put right by the weighted residuals. Where a weight is above ``LARGEST_WEIGHT``
  that would bring in more noise than it takes bias away, and the model is believed (switch estimator: Wang, Agarwal
  and Dudik, arXiv 1612.01205).

Intervals are at 95 %. They hold what comes from the choice of requests, from the noise of rewards, and from what is
not known of the model: where one model was hardly ever tried, the width is what its like usually differ by. How many
requests all this amounts to is the *effective sample size* of the weights; below :data:`LEAST_EFFECTIVE` no policy is
recommended over another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

LEAST_EFFECTIVE = 200.0
LARGEST_WEIGHT = 20.0
FOLDS = 5
QUANTILE = 1.96
DIRECTIONS = 16
LEVELS, EXPECTED, COMMON_SLOPES, OWN_SLOPES = 0.3, 0.3, 0.1, 0.015
"""Deviations that are presumed of the coefficients of the model of rewards: of how good models are, of how far what was
expected is right, and of what a direction in which prompts differ changes for all models and for one."""
MISFIT = 0.035
"""Deviation that is presumed of the mean of what the model says of one candidate, for it is not of the right form."""


class CannotEstimate(ValueError):
    """The log does not hold what an estimate needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """Requests of which the reward is known; ``n`` of them, ``m`` models."""

    models: tuple[str, ...]
    chosen: NDArray[np.intp]
    """(n,)"""
    propensity: Doubles
    """(n,) with which the chosen model was chosen."""
    reward: Doubles
    """(n,)"""
    expected: Doubles
    """(n, m) what the policy that decided had expected, NaN where nothing."""
    inputs: Doubles
    """(n, d) what is known of prompts; d may be 0."""

    def __len__(self) -> int:
        return len(self.chosen)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean reward and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Its standard error."""
        return (self.high - self.low) / (2 * QUANTILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """All about one policy."""

    name: str
    snips: Estimate
    direct: Estimate
    doubly_robust: Estimate
    gain: Estimate
    """By the last one, over what was really earned on the same requests."""
    effective: float
    """Requests that the weighted ones amount to."""
    agreement: float
    """0..1: share of requests for which it would have chosen the model that was chosen."""

    @property
    def is_telling(self) -> bool:
        """Whether there is enough to recommend anything."""
        return self.effective >= LEAST_EFFECTIVE


def estimate(logged: Logged, policies: Mapping[str, NDArray[Any]]) -> list[Estimates]:
    """Evaluate policies: each (n,) places of models, or (n, m) the probabilities with which it chooses.

    :raises CannotEstimate: there are too few requests, or propensities that are none
    """
    _check(logged)
    known = _Model(logged)
    return [_estimates(name, logged, _probabilities(logged, policy), known) for name, policy in policies.items()]


def ranking(estimates: Sequence[Estimates]) -> list[str]:
    """One line for each policy, the best first: whether to put it in the place of the one that decided."""
    ordered = sorted(estimates, key=lambda e: (-e.doubly_robust.value, e.name))
    return [f"{e.name}: {_verdict(e)}" for e in ordered]


def text(logged: Logged, estimates: Sequence[Estimates]) -> str:
    """A table for a terminal, and what follows from it."""
    earned = _mean(logged.reward)
    head = f"{'policy':<24} {'SNIPS':>22} {'direct':>22} {'doubly robust':>22} {'effective':>9} {'agrees':>7}"
    lines = [f"{len(logged)} rated requests, mean reward {_span(earned)}", "", head]
    lines += [
        f"{e.name:<24.24} {_span(e.snips):>22} {_span(e.direct):>22} {_span(e.doubly_robust):>22} "
        f"{e.effective:>9.0f} {e.agreement:>6.0%}"
        for e in estimates
    ]
    return "\n".join([*lines, "", *ranking(estimates)])


def _verdict(e: Estimates) -> str:
    if not e.is_telling:
        return (
            f"not enough to tell (effective sample size {e.effective:.0f}, {LEAST_EFFECTIVE:.0f} are needed): "
            "explore more, or wait for more feedback"
        )
    if e.gain.low > 0:
        return f"better by {e.gain.value:+.4f} ({e.gain.low:+.4f} to {e.gain.high:+.4f})"
    if e.gain.high < 0:
        return f"worse by {e.gain.value:+.4f} ({e.gain.low:+.4f} to {e.gain.high:+.4f})"
    return f"not to be told apart ({e.gain.low:+.4f} to {e.gain.high:+.4f})"


def _span(e: Estimate) -> str:
    return f"{e.value:.4f} {e.low:.3f}..{e.high:.3f}"


def _check(logged: Logged) -> None:
    if len(logged) < 2 * FOLDS:
        raise CannotEstimate(f"there are {len(logged)} rated requests, and at least {2 * FOLDS} are needed")
    p = logged.propensity
    if not (np.isfinite(logged.reward).all() and np.isfinite(p).all() and (p > 0).all() and (p <= 1.0 + 1e-6).all()):
        raise CannotEstimate("a propensity is not from 0 to 1, or a reward is no number")


def _probabilities(logged: Logged, policy: NDArray[Any]) -> Doubles:
    if policy.ndim == 2:
        return policy.astype(np.float64)
    found = np.zeros((len(logged), len(logged.models)))
    found[np.arange(len(logged)), policy] = 1.0
    return found


class _Model:
    """Bayesian regression of rewards on the model chosen, what was expected of it, and the prompt."""

    def __init__(self, logged: Logged) -> None:
        n, m = len(logged), len(logged.models)
        self.rows, at = np.arange(n), logged.chosen
        self.prompts = _standard(logged.inputs)
        known = np.isfinite(logged.expected)
        middle = np.where(known, logged.expected, 0.0).sum(0) / np.maximum(known.sum(0), 1)
        self.expected = np.where(known, logged.expected - middle, 0.0)
        self.middle = float(logged.reward.mean())
        noise, d = float(logged.reward.var()) or 1.0, self.prompts.shape[1]
        deviations = [LEVELS] * m + [EXPECTED] + [COMMON_SLOPES] * d + [OWN_SLOPES] * (m * d)
        self.penalty: Doubles = noise / np.square(np.array(deviations, np.float64))
        self.inputs = self.of(np.eye(m)[at])
        target = logged.reward - self.middle
        self.predicted = np.zeros((n, m))
        for fold in range(FOLDS):
            held = self.rows % FOLDS == fold
            weights = np.linalg.solve(self._gram(~held), self.inputs[~held].T @ target[~held])
            self.predicted[held] = self.middle + self._every(weights, held)
        self.residual = logged.reward - self.predicted[self.rows, at]
        doubt = np.linalg.inv(self._gram(slice(None))).astype(np.float64)
        self.doubt: Doubles = doubt * float(np.square(self.residual).mean())

    def of(self, shares: Doubles) -> Doubles:
        """(n, inputs) where models have these shares (n, m) in the answers."""
        expected = (shares * self.expected).sum(1, keepdims=True)
        own = (shares[:, :, None] * self.prompts[:, None, :]).reshape(len(shares), -1)
        return np.hstack([shares, expected, shares.sum(1, keepdims=True) * self.prompts, own])

    def variance(self, shares: Doubles) -> float:
        """Of the mean of predictions for these shares (n, m) of models, because the model is not known well."""
        middle, masses = self.of(shares).mean(0), shares.mean(0)
        return float(middle @ self.doubt @ middle + MISFIT**2 * (masses @ masses))

    def _gram(self, rows: Any) -> Doubles:
        found: Doubles = self.inputs[rows].T @ self.inputs[rows] + np.diag(self.penalty)
        return found

    def _every(self, weights: Doubles, held: NDArray[np.bool_]) -> Doubles:
        m, d = self.predicted.shape[1], self.prompts.shape[1]
        prompts, own = self.prompts[held], weights[m + 1 + d :].reshape(m, d)
        common = prompts @ weights[m + 1 : m + 1 + d]
        found: Doubles = weights[:m] + self.expected[held] * weights[m] + common[:, None] + prompts @ own.T
        return found


def _estimates(name: str, logged: Logged, target: Doubles, model: _Model) -> Estimates:
    rows, at = model.rows, logged.chosen
    weight = target[rows, at] / logged.propensity
    kept = np.where(weight <= LARGEST_WEIGHT, weight, 0.0)
    direct = (target * model.predicted).sum(1)
    robust = direct + kept * model.residual
    chosen = np.eye(len(logged.models))[at]
    by_model = model.variance(target - kept[:, None] * chosen)
    total = weight.sum()
    snips = float(weight @ logged.reward / total) if total else float("nan")
    spread = len(rows) * weight * (logged.reward - snips) / total if total else weight
    return Estimates(
        name=name,
        snips=_around(snips, spread),
        direct=_around(float(direct.mean()), direct - direct.mean(), model.variance(target)),
        doubly_robust=_around(float(robust.mean()), robust - robust.mean(), by_model),
        gain=_around(float((robust - logged.reward).mean()), _centred(robust - logged.reward), by_model),
        effective=float(total**2 / (weight @ weight)) if total else 0.0,
        agreement=float(target[rows, at].mean()),
    )


def _around(value: float, influence: Doubles, more: float = 0.0) -> Estimate:
    """``influence`` (n,) is by how much each request moves the mean, ``more`` further variance of it."""
    half = QUANTILE * float(np.sqrt((influence**2).sum() / len(influence) ** 2 + more))
    return Estimate(value, value - half, value + half)


def _mean(values: Doubles) -> Estimate:
    return _around(float(values.mean()), _centred(values))


def _centred(values: Doubles) -> Doubles:
    found: Doubles = values - values.mean()
    return found


def _standard(inputs: Doubles) -> Doubles:
    """The leading directions of the inputs, each of variance 1."""
    if not inputs.size:
        return np.zeros((len(inputs), 0))
    centred = inputs - inputs.mean(0)
    strength, turn = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = np.argsort(-strength, kind="stable")[:DIRECTIONS]
    kept = kept[strength[kept] > strength.max() * 1e-6]
    found: Doubles = (centred @ turn[:, kept]) / np.sqrt(strength[kept])
    return found
