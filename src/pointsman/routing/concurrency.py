"""How many requests a deployment can have at a time, found by watching it.

Theory of operation: what an upstream cannot work on waits in a queue inside of it, and then more requests at a time
make every answer slower and none more frequent (Little's law). Slow answers alone prove nothing, since longer ones may
have been asked for. So when answers take more than twice as long as they did, the limit is halved for a trial:

1. as many answers a second as before: the rest did wait in a queue, and the limit is halved again;
2. fewer: nothing was waiting. The limit before was right, and so is the time that answers take now.

Between trials the limit grows while it is used, quickly as long as answers are as quick as ever.
"""

from __future__ import annotations

import math

WINDOW_SECONDS = 0.1
WINDOW_ANSWERS = 40
FIRST_WINDOW = 4.0
"""Times the mean that the first window lasts: what is answered soonest after a start are the shortest answers."""
FIRST_WINDOW_ANSWERS = 400
TRIAL_ANSWERS = 80
FEWEST = 2
QUEUED = 2.0
HALF = 0.5
KEPT = 0.65
RISING = 1.2
DRAINED = 1.25
FALL = 0.05
RISE = 0.01
QUICK = 1.25
GROWTH = 0.2
REFUSED_SHARE = 0.1
CUT_WHEN_REFUSED = 0.8
UNUSED_SECONDS = 30.0


class AdaptiveLimit:
    """The limit of one deployment; infinite until there is a reason for one."""

    __slots__ = (
        "_answers",
        "_before",
        "_best_rate",
        "_goal",
        "_is_slow",
        "_opens",
        "_peak",
        "_rate",
        "_refusals",
        "_seconds",
        "_used",
        "baseline",
        "value",
    )

    def __init__(self) -> None:
        self.value = math.inf
        self.baseline = math.inf
        """Seconds that answers take without a queue; infinite before there were any."""
        self._before = math.inf
        self._goal: float | None = None
        """While a trial runs: the answers a second that show that the limit was too high."""
        self._is_slow = False
        self._rate = self._best_rate = 0.0
        self._used = 0.0
        self._opens: float | None = None
        self._answers = self._refusals = self._peak = 0
        self._seconds = 0.0

    def observe(self, began: float, now: float, in_flight: int, *, is_refusal: bool = False) -> None:
        """A request that began at ``began`` has ended, with ``in_flight`` others or itself at work until now.

        ``is_refusal``: the upstream was too busy for it, and said so or let it run into its deadline.
        """
        if self._opens is None:
            self._opens = now
        if now < self._opens:
            return
        if in_flight >= self.value + 1:
            # It still has what it was sent before the limit.
            self._opens = now
            return
        self._peak = max(self._peak, in_flight)
        if is_refusal:
            self._refusals += 1
        else:
            self._answers += 1
            self._seconds += now - began
        lasts = now - self._opens
        if lasts >= WINDOW_SECONDS and self._is_enough(lasts):
            self._opens = self._close(now, lasts, in_flight)
            self._answers = self._refusals = self._peak = 0
            self._seconds = 0.0

    def _is_enough(self, lasts: float) -> bool:
        seen = self._answers + self._refusals
        if self._goal is not None:
            return seen >= TRIAL_ANSWERS or lasts * self._goal >= TRIAL_ANSWERS
        if self.baseline < math.inf:
            return seen >= WINDOW_ANSWERS and lasts >= self.baseline
        is_due = seen % WINDOW_ANSWERS == 0 and lasts * self._answers >= self._seconds * FIRST_WINDOW
        return is_due or seen >= FIRST_WINDOW_ANSWERS

    def _close(self, now: float, lasts: float, in_flight: int) -> float:
        """Draw the conclusion from a window; gives when the next one opens."""
        if self._refusals > (self._answers + self._refusals) * REFUSED_SHARE or not self._answers:
            return self._obey(now)
        rate, last_rate, self._rate = self._answers / lasts, self._rate, self._answers / lasts
        mean = self._seconds / self._answers
        # When what is under way now is answered; with a queue that is sooner than the mean tells.
        drained = now + min(mean, DRAINED * in_flight / rate)
        if self._goal is not None:
            return self._judge(rate, mean, now, drained)
        if self.baseline == math.inf:
            self.baseline = mean
        was_slow, self._is_slow = self._is_slow, self._has_slowed(mean, in_flight / rate)
        self._best_rate = max(self._best_rate, rate) if self._is_slow else rate
        if not self._is_slow:
            self._settle(mean, now)
        elif was_slow and rate <= RISING * last_rate:
            # Only what answers no more than before can have a queue.
            self._before, self._goal = self.value, KEPT * self._best_rate
            self._halve(min(self.value, self._peak))
            return drained
        return now

    def _has_slowed(self, mean: float, expected: float) -> bool:
        """Whether answers take twice as long as they did, or will.

        ``expected`` is what Little's law says of those that are under way. It speaks sooner than the mean does, but
        long answers beside short ones make it speak too.
        """
        return mean > QUICK * self.baseline and max(mean, expected) > QUEUED * self.baseline

    def _judge(self, rate: float, mean: float, now: float, drained: float) -> float:
        if self._goal is not None and rate >= self._goal and self.value > FEWEST:
            self._before = self.value
            self._halve(self.value)
            return drained
        self.value, self.baseline = self._before, mean
        self._goal, self._is_slow, self._used = None, False, now
        return now

    def _halve(self, value: float) -> None:
        self.value = float(max(FEWEST, math.ceil(value * HALF)))

    def _obey(self, now: float) -> float:
        """Give an upstream less that says itself that it has too much."""
        if self._peak:
            self.value = float(max(FEWEST, math.floor(min(self.value, self._peak) * CUT_WHEN_REFUSED)))
        self._goal, self._is_slow, self._used = None, False, now
        return now + (self.baseline if self.baseline < math.inf else 0.0)

    def _settle(self, mean: float, now: float) -> None:
        if mean < self.baseline:
            self.baseline += (mean - self.baseline) * FALL
        elif self.value == math.inf:
            self.baseline += (mean - self.baseline) * RISE
        if self._peak >= self.value * 0.9:
            self._used = now
            self.value += self.value * GROWTH if mean < QUICK * self.baseline else math.sqrt(self.value) / 2
        elif now - self._used >= UNUSED_SECONDS:
            self.value = math.inf
