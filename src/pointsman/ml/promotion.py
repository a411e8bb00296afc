"""How another checkpoint proves itself: in the shadow, on a small share of the requests, on most of them.

``shadow``: it decides beside the one in force, and nothing comes of it. ``canary``: it decides a small share of the
requests. ``promoted``: it decides all but that share, which is kept back to compare with. ``done``: it decides all.
``rolled back``: none, at whatever stage it was found to be worse.

Which requests it decides is drawn at random, so the two samples differ by nothing else, and what they earned is
compared after every rating: within one stage, for the share is another one in the next, and so is the time. In the
shadow nothing is compared. Looking so often finds a difference sooner or later where there is none, if one takes the
intervals of a single look; these hold for all looks together (a normal mixture, Robbins 1970). Ratings differ by the
quality of answers; troubles are compared by themselves, since most answers are never rated.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import msgspec

SHADOWED = 200
"""Decisions beside the other one, before it decides anything: so many are enough to see that it works."""
LEAST = 100
"""Ratings of each side before anything follows from them."""
KEPT_BACK = 1_000
"""Further ratings while most is decided by it, before it decides all."""
TOLERANCE = 0.01
"""Quality by which it may be worse for all that is known, and still take over."""
ALPHA = 0.05
TUNED_FOR = 500.0
"""Ratings at which the intervals are narrowest."""
LEAST_VARIANCE = 0.01


class Stage(StrEnum):
    """Where a checkpoint stands."""

    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTED = "promoted"
    DONE = "done"
    ROLLED_BACK = "rolled back"


class Sample(msgspec.Struct):
    """Numbers that were seen, by their sums."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def take(self, value: float) -> None:
        """One more."""
        self.count += 1
        self.total += value
        self.squares += value * value

    def correct(self, value: float, change: float) -> None:
        """One that was taken as ``value`` is higher by ``change``."""
        self.total += change
        self.squares += change * (2.0 * value + change)

    @property
    def mean(self) -> float:
        """0 where there is none."""
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Of one of them, never taken for less than a little."""
        if self.count < 2:
            return 1.0
        return max(LEAST_VARIANCE, (self.squares - self.total * self.mean) / (self.count - 1))


class Trial(msgspec.Struct, kw_only=True):
    """What is kept of a trial over restarts."""

    version: str
    """Of the checkpoint on trial."""
    against: str
    """Of the one in force."""
    stage: Stage = Stage.SHADOW
    shadowed: int = 0
    differed: int = 0
    """How many of these it would have decided otherwise."""
    rewards: tuple[Sample, Sample] = msgspec.field(default_factory=lambda: (Sample(), Sample()))
    """Of the one in force, and of the one on trial, in this stage."""
    troubles: tuple[Sample, Sample] = msgspec.field(default_factory=lambda: (Sample(), Sample()))
    why: str = ""
    """What the last change of stage was for."""


class Promotion:
    """Decides how much the checkpoint on trial decides."""

    def __init__(self, trial: Trial, *, canary_share: float) -> None:
        """``canary_share`` is from 0 to 1."""
        self.trial = trial
        self._canary_share = canary_share

    @property
    def share(self) -> float:
        """0..1: of the requests that it decides."""
        return {
            Stage.SHADOW: 0.0,
            Stage.CANARY: self._canary_share,
            Stage.PROMOTED: 1.0 - self._canary_share,
            Stage.DONE: 1.0,
            Stage.ROLLED_BACK: 0.0,
        }[self.trial.stage]

    @property
    def is_over(self) -> bool:
        """Whether nothing is compared any more."""
        return self.trial.stage in (Stage.DONE, Stage.ROLLED_BACK)

    def picks(self, chance: float) -> bool:
        """Whether it decides this request; ``chance`` is drawn from 0..1."""
        return chance < self.share

    def decide(self, *, is_different: bool) -> None:
        """Both have decided a request."""
        trial = self.trial
        if trial.stage is Stage.SHADOW:
            trial.shadowed += 1
            trial.differed += is_different
            if trial.shadowed >= SHADOWED:
                self._move(Stage.CANARY, f"{trial.shadowed} decisions in the shadow, {trial.differed} of them others")

    @property
    def is_comparing(self) -> bool:
        """Whether what the two earn is compared."""
        return self.trial.stage in (Stage.CANARY, Stage.PROMOTED)

    def rate(self, reward: float, *, is_trial: bool) -> None:
        """An answer of this stage was rated: quality, 0..1, less what it cost, at one price for all."""
        if self.is_comparing and math.isfinite(reward):
            self.trial.rewards[is_trial].take(reward)
            self._compare()

    def correct(self, reward: float, change: float, *, is_trial: bool) -> None:
        """A rating that was taken in this stage as ``reward`` is higher by ``change``."""
        if self.is_comparing and math.isfinite(reward + change):
            self.trial.rewards[is_trial].correct(reward, change)
            self._compare()

    def _compare(self) -> None:
        trial = self.trial
        if min(sample.count for sample in trial.rewards) < LEAST:
            return
        low, high = interval(*trial.rewards)
        told = f"the mean reward differs by {low:+.4f} to {high:+.4f}"
        if high < 0.0:
            self._move(Stage.ROLLED_BACK, told)
        elif low >= -TOLERANCE and trial.stage is Stage.CANARY:
            self._move(Stage.PROMOTED, told)
        elif trial.stage is Stage.PROMOTED and sum(sample.count for sample in trial.rewards) >= KEPT_BACK:
            self._move(Stage.DONE, told)

    def trouble(self, *, is_troubled: bool, is_trial: bool) -> None:
        """An answer of this stage has come, or has not, and was troublesome or not."""
        if not self.is_comparing:
            return
        troubles = self.trial.troubles
        troubles[is_trial].take(float(is_troubled))
        if min(sample.count for sample in troubles) >= LEAST:
            low, high = interval(*troubles)
            if low > 0.0:
                self._move(Stage.ROLLED_BACK, f"the share of answers with trouble differs by {low:+.4f} to {high:+.4f}")

    def status(self) -> dict[str, Any]:
        """What ``GET /router/info`` says of it."""
        trial = self.trial
        low, high = interval(*trial.rewards)
        return {
            "checkpoint": trial.version,
            "stage": trial.stage,
            "share": self.share,
            "shadowed": trial.shadowed,
            "differed": trial.differed,
            "ratings": [sample.count for sample in trial.rewards],
            "mean_reward": [sample.mean if sample.count else None for sample in trial.rewards],
            "gain": [low, high] if math.isfinite(low) else None,
            "why": trial.why,
        }

    def _move(self, stage: Stage, why: str) -> None:
        trial = self.trial
        trial.stage, trial.why = stage, why
        if self.is_comparing:
            trial.rewards, trial.troubles = (Sample(), Sample()), (Sample(), Sample())


def interval(old: Sample, new: Sample) -> tuple[float, float]:
    """By how much the mean of ``new`` is higher, at 95 % for all looks together; infinite without two of each."""
    if min(old.count, new.count) < 2:
        return -math.inf, math.inf
    difference = new.mean - old.mean
    variance = old.variance / old.count + new.variance / new.count
    spread = 1.0 / variance
    # Tuned to the information of so many ratings of each side, at the noise of a rating.
    tuned = TUNED_FOR / (old.variance + new.variance)
    half = variance * math.sqrt((spread + tuned) * math.log((spread + tuned) / (tuned * ALPHA**2)))
    return difference - half, difference + half
