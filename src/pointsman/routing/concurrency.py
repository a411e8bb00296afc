"""How many requests a deployment can have at a time, found by watching it.

Theory of operation: what an upstream cannot work on waits in a queue inside of it, and then more requests at a time
make every answer slower and none more frequent (Little's law). As many as it answers a second, times the seconds that
an answer takes without a queue, are at work; the others wait. When throughout a window there were more than twice as
many as that, either they wait or longer answers were asked for. A trial tells: the limit becomes what should be at
work, and a little more.

1. As many answers a second as before: the rest did wait in a queue, and the limit is halved for a further trial.
2. Fewer: nothing was waiting. The limit before was right, and so is the time that answers take now.

A queue grows while it is looked for, and all who are in it have to be waited for. So the window begins anew in the
moment in which there are strikingly many. That many alone prove nothing: the load may have risen a moment ago, and the
answers to it are still to come. By the end of the window they have.

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
STRIKING = 2.7
"""Above ``QUEUED``, since the rate known by then is the one before the load has risen."""
HEADROOM = 1.2
HALF = 0.5
KEPT = 0.75
FADING = 0.9
"""What is left of the best rate after each window that had a lower one."""
DRAINED = 1.25
FALL = 0.05
RISE = 0.01
QUICK = 1.25
GROWTH = 0.2
SLOW_GROWTH = 0.15
"""Times the square root of the limit."""
USED = 0.9
REFUSED_SHARE = 0.1
CUT_WHEN_REFUSED = 0.8
UNUSED_SECONDS = 30.0


class AdaptiveLimit:
    """The limit of one deployment; infinite until there is a reason for one."""

    __slots__ = (
        "_answers",
        "_before",
        "_goal",
        "_least",
        "_opens",
        "_peak",
        "_rate",
        "_refusals",
        "_seconds",
        "_striking",
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
        self._rate = 0.0
        """The best one since the last trial that was for nothing, the older the less."""
        self._striking = math.inf
        """More at a time than this let the window begin anew."""
        self._used = 0.0
        self._opens: float | None = None
        self._answers = self._refusals = self._peak = 0
        self._least = math.inf
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
        if self._peak <= self._striking < in_flight:
            self._open(now)
        self._peak = max(self._peak, in_flight)
        self._least = min(self._least, in_flight)
        if is_refusal:
            self._refusals += 1
        else:
            self._answers += 1
            self._seconds += now - began
        lasts = now - self._opens
        if lasts >= WINDOW_SECONDS and self._is_enough(lasts):
            self._open(self._close(now, lasts, in_flight))

    def _open(self, at: float) -> None:
        self._opens = at
        self._answers = self._refusals = self._peak = 0
        self._least = math.inf
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
        rate, took = self._measure(lasts)
        if self._is_too_high(rate):
            self._try(self.value * HALF if self._goal is not None else HEADROOM * rate * self.baseline)
            # Then what is under way now is answered; with a queue that is sooner than the mean tells.
            return now + min(took, DRAINED * in_flight / rate)
        if self._goal is None:
            self._settle(took, now)
        else:
            # No answer takes longer than the limit lets it, but those that are left of a backlog.
            self._end_trial(self._before, min(took, self.value / rate), now)
            self._rate = rate
        self._striking = STRIKING * self._rate * self.baseline
        return now

    def _measure(self, lasts: float) -> tuple[float, float]:
        """Answers a second, and the seconds that a place was taken for each."""
        rate = self._answers / lasts
        took = self._seconds / self._answers
        if lasts >= took:
            # Those who left without an answer had a place as well.
            took = max(took, self._least / rate)
        self._rate = max(rate, FADING * self._rate)
        if self.baseline == math.inf:
            self.baseline = took
        return rate, took

    def _is_too_high(self, rate: float) -> bool:
        if self._goal is None:
            return self._least > QUEUED * rate * self.baseline
        return rate >= self._goal and self.value > FEWEST

    def _try(self, value: float) -> None:
        self._before, self.value = self.value, float(max(FEWEST, math.ceil(value)))
        if self._goal is None:
            self._goal = KEPT * self._rate
        self._striking = math.inf

    def _end_trial(self, value: float, baseline: float, now: float) -> None:
        self.value, self.baseline = value, baseline
        self._goal, self._used = None, now

    def _obey(self, now: float) -> float:
        """Give an upstream less that says itself that it has too much."""
        value = max(FEWEST, math.floor(min(self.value, self._peak) * CUT_WHEN_REFUSED))
        self._end_trial(float(value), self.baseline, now)
        return now + (self.baseline if self.baseline < math.inf else 0.0)

    def _settle(self, took: float, now: float) -> None:
        if took < self.baseline:
            self.baseline += (took - self.baseline) * FALL
        elif self.value == math.inf:
            self.baseline += (took - self.baseline) * RISE
        if self._peak >= self.value * USED:
            self._used = now
            is_quick = took < QUICK * self.baseline
            self.value += self.value * GROWTH if is_quick else math.sqrt(self.value) * SLOW_GROWTH
        elif now - self._used >= UNUSED_SECONDS:
            self.value = math.inf
