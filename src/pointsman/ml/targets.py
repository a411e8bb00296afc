"""A price that follows what is spent, so that a target is met in the long run.

The price rises while more than the target is used and falls while less is: the dual ascent of online knapsack and
pacing (Balseiro, Lu and Mirrokni, "The best of many worlds: dual mirror descent for online allocation", 2022), in the
logarithm, because prices span many orders of magnitude. What is used by ``t`` requests on average differs from the
target by at most ``scale * log(highest / lowest) / (rate * t)``, whatever the prompts are, while the price stays
between its bounds, which are where no price can meet the target.
"""

from __future__ import annotations

import math

from pointsman.ml.knobs import HIGHEST_PRICE, Frontier

LOWEST_PRICE = 1e-3
"""A thousand dollars for the whole way from useless to perfect: cost has ceased to matter."""
RATE = 0.05


class Target:
    """Keeps the mean of what is observed at ``target`` by moving ``price``.

    ``scale`` is the size of a usual deviation: one observation of ``target + scale`` raises the price by ``rate``, as
    a part of it. Not for several threads.
    """

    __slots__ = ("_log", "_rate", "_scale", "_target")

    def __init__(self, target: float, *, scale: float, price: float, rate: float = RATE) -> None:
        """Begin at ``price``.

        :raises ValueError: the target is negative, or the scale or the rate is not above 0
        """
        if not (target >= 0.0 and scale > 0.0 and rate > 0.0):
            raise ValueError("a target is at least 0, its scale and its rate are above 0")
        self._target = target
        self._scale = scale
        self._rate = rate
        self._log = math.log(_bounded(price))

    @property
    def price(self) -> float:
        """Quality that a dollar has to buy now."""
        return math.exp(self._log)

    def observe(self, used: float) -> None:
        """Take what one request used. What is no number is passed over."""
        if math.isfinite(used):
            log = self._log + self._rate * (used - self._target) / self._scale
            self._log = math.log(_bounded(math.exp(min(log, 50.0))))


def dollars(target_usd: float, frontier: Frontier, *, rate: float = RATE) -> Target:
    """Spend so much a request on average; observes each request's cost in dollars.

    :raises ValueError: the target is not above 0
    """
    return Target(target_usd, scale=target_usd, price=frontier.price_under(target_usd), rate=rate)


def share_of_calls(share: float, *, price: float, rate: float = RATE) -> Target:
    """Send this share of the requests to strong models; observes 1 for each that went there, else 0.

    :raises ValueError: the share is not from 0 to 1
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError("a share is from 0 to 1")
    return Target(share, scale=1.0, price=price, rate=rate)


def _bounded(price: float) -> float:
    return min(HIGHEST_PRICE, max(LOWEST_PRICE, price))
