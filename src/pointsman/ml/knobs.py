"""How much quality is worth: what a caller or an operator may say, and the price it comes to.

Everything ends as one number, the *price*: how much quality (0..1) a dollar has to buy. At price 0 only quality counts;
the higher it is, the cheaper the choices. A :class:`Frontier` says what each price gave on held-out prompts, so that a
wish for quality means the same whatever the candidates are.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re

import msgspec
import numpy as np

PRICES: tuple[float, ...] = (0.0, *np.logspace(0, 6, 121).tolist())
"""The grid on which routers are measured."""
HIGHEST_PRICE = PRICES[-1]
"""At this price a millionth of a dollar outweighs any quality."""
SHARES = {"cheap": 0.5, "best": 1.0}
"""What ``auto:cheap`` and ``auto:best`` mean."""

_ALIAS = re.compile(r"auto(?::(?P<name>[a-z]+)|:(?P<share>[01]|[01]?\.[0-9]{1,6}))?")


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a request, a key or a route asks for. Nothing set: as good as the best single model, for the least money."""

    quality: float | None = None
    """0..1: the share of the way from the quality of the cheapest setting to that of the best one."""
    max_cost_usd: float | None = None
    """Of this request, as predicted."""
    min_quality: float | None = None
    """0..1, of the answer, as predicted with due doubt. Without ``quality`` the cheapest that has it is taken."""

    def __post_init__(self) -> None:
        for name, highest in (("quality", 1.0), ("min_quality", 1.0), ("max_cost_usd", math.inf)):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= highest:
                raise ValueError(f"{name} is a number from 0 to {highest:g}")

    def over(self, other: Wish) -> Wish:
        """The other wish fills in what this one leaves open. Of two limits the stricter one holds."""
        quality = other.quality if self.quality is None and self.min_quality is None else self.quality
        return Wish(
            quality=quality,
            max_cost_usd=min((w.max_cost_usd for w in (self, other) if w.max_cost_usd is not None), default=None),
            min_quality=max((w.min_quality for w in (self, other) if w.min_quality is not None), default=None),
        )


ANYTHING = Wish()


def wish_of(alias: str) -> Wish | None:
    """Read ``auto``, ``auto:cheap``, ``auto:best`` or ``auto:0.7``; ``None`` for any other name."""
    found = _ALIAS.fullmatch(alias)
    if found is None:
        return None
    if found["share"] is not None:
        share = float(found["share"])
        return Wish(quality=share) if share <= 1.0 else None
    if found["name"] is None:
        return ANYTHING
    named = SHARES.get(found["name"])
    return None if named is None else Wish(quality=named)


class Frontier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What prices gave on held-out prompts. The three are equally long, by ascending price.

    :raises ValueError: they are not, or hold what is no number
    """

    price: tuple[float, ...]
    cost_usd: tuple[float, ...]
    """Mean of a request."""
    quality: tuple[float, ...]
    """Mean."""
    baseline_quality: float
    """Of the best single model on the same prompts."""
    is_measured: bool = True
    """Whether that is what came out, and not only what is expected."""

    def __post_init__(self) -> None:
        columns = (self.price, self.cost_usd, self.quality)
        if not self.price or len({len(column) for column in columns}) != 1:
            raise ValueError("a frontier needs as many costs and qualities as prices, and at least one")
        if not all(map(math.isfinite, (*self.price, *self.cost_usd, *self.quality, self.baseline_quality))):
            raise ValueError("a frontier holds finite numbers only")
        if self.price[0] < 0.0 or any(low >= high for low, high in zip(self.price, self.price[1:], strict=False)):
            raise ValueError("the prices of a frontier ascend from 0")

    def price_for(self, share: float) -> float:
        """The highest price that still goes this share of the way from the cheapest quality to that at price 0."""
        floor, top = min(self.quality), self.quality[0]
        if top <= floor:
            return self.price[0 if share else -1]
        if share >= 1.0 and not self.is_measured:
            return self.price[0]
        return self._highest(floor + share * (top - floor))

    @property
    def price_as_good(self) -> float:
        """The highest price that is as good as the best single model; the lowest where none is, or none was measured.

        That a cheaper model is as good has to be seen: without outcomes the one that is expected to be best is kept.
        """
        return self._highest(self.baseline_quality) if self.is_measured else self.price[0]

    def price_under(self, cost_usd: float) -> float:
        """The lowest price whose mean cost is at most this; the highest where none is."""
        return next((p for p, c in zip(self.price, self.cost_usd, strict=True) if c <= cost_usd), self.price[-1])

    def share_at(self, price: float) -> float:
        """The knob setting that comes to this price: the inverse of :meth:`price_for`, to the grid."""
        floor, top = min(self.quality), self.quality[0]
        at = min(len(self.price) - 1, bisect.bisect_left(self.price, price))
        return min(1.0, (self.quality[at] - floor) / (top - floor)) if top > floor else 1.0

    def _highest(self, quality: float) -> float:
        """Below it no price may be worse: a lucky point far up on a measured curve is not to be trusted."""
        enough = itertools.takewhile(
            lambda point: point[1] >= quality - 1e-9, zip(self.price, self.quality, strict=True)
        )
        return max((price for price, _ in enough), default=self.price[0])


def price_of(wish: Wish, frontier: Frontier) -> float:
    """What a dollar has to buy for this wish."""
    if wish.quality is not None:
        return frontier.price_for(wish.quality)
    return frontier.price_as_good if wish.min_quality is None else HIGHEST_PRICE
