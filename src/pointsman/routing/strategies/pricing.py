"""What a candidate costs today: the price of a model group, and how that differs from the day of the training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from pointsman.providers.base import Price
from pointsman.routing.members import Member
from pointsman.routing.strategies.shuffle import shares

USUAL_INPUT_TOKENS = 300
USUAL_OUTPUT_TOKENS = 400
HIGHEST_FACTOR = 1e6
"""What is said to be so much dearer than it was is a mistake."""


class Was(Protocol):
    """What was known of a model when a checkpoint was made."""

    @property
    def name(self) -> str: ...
    @property
    def input_usd_per_million(self) -> float | None: ...
    @property
    def output_usd_per_million(self) -> float | None: ...


def group_price(members: Sequence[Member], price_of: Callable[[Member], Price], *, is_shared: bool) -> Price:
    """What a request costs, by the prices of those that go first, as far as they are known, and whatever their order.

    Where traffic ``is_shared`` by weights it is the mean; where something else chooses among them, the dearest one's.
    """
    first = min(member.deployment.order for member in members)
    preferred = [member for member in members if member.deployment.order == first]
    known = _known(preferred, price_of) or _known(members, price_of)
    if not known:
        return Price()
    dearest = max((price for price, _ in known), key=_usual_usd)
    if not is_shared or all(price == dearest for price, _ in known):
        return dearest
    return Price(
        input_usd_per_token=_mean([(price.input_usd_per_token, share) for price, share in known]),
        output_usd_per_token=_mean([(price.output_usd_per_token, share) for price, share in known]),
        cached_input_usd_per_token=_mean([(_cached(price), share) for price, share in known]),
    )


def _known(members: Sequence[Member], price_of: Callable[[Member], Price]) -> list[tuple[Price, Decimal]]:
    """The prices that are known, and the share of each; those of which all get nothing have equal shares."""
    parts = shares([member.deployment for member in members])
    found = [(price_of(member), Decimal(str(part))) for member, part in zip(members, parts, strict=True)]
    found = [(price, part) for price, part in found if _usual_usd(price) is not None]
    return found if any(part for _, part in found) else [(price, Decimal(1)) for price, _ in found]


def _usual_usd(price: Price) -> Any:
    into, out = price.input_usd_per_token, price.output_usd_per_token
    return None if into is None and out is None else (into or 0) * USUAL_INPUT_TOKENS + (out or 0) * USUAL_OUTPUT_TOKENS


def _cached(price: Price) -> Decimal | None:
    return price.input_usd_per_token if price.cached_input_usd_per_token is None else price.cached_input_usd_per_token


def _mean(parts: Sequence[tuple[Decimal | None, Decimal]]) -> Decimal | None:
    known = [(value, part) for value, part in parts if value is not None and part]
    total = sum((part for _, part in known), Decimal(0))
    return sum((value * part for value, part in known), Decimal(0)) / total if known else None


def factor_of(
    was: Was, features: Mapping[str, Any], input_usd_per_million: float | None, output_usd_per_million: float | None
) -> float | None:
    """How much more a model costs at these prices than when the checkpoint was made; ``None``: that cannot be told.

    By the mean tokens of its answers where the ``features`` of the checkpoint have them, else by its prices of then.
    """
    into, out = input_usd_per_million, output_usd_per_million
    if into is None or out is None:
        return None
    if into == out == 0.0:
        return 0.0
    then: float | None = None
    now = into + out
    if (means := _means(features, was.name)) is not None:
        asked, answered, then = means
        now = (into * asked + out * answered) / 1e6
    elif was.input_usd_per_million is not None and was.output_usd_per_million is not None:
        then = was.input_usd_per_million + was.output_usd_per_million
    factor = now / then if then else math.inf
    return factor if factor <= HIGHEST_FACTOR else None


def _means(features: Mapping[str, Any], name: str) -> tuple[float, float, float] | None:
    """Mean tokens of prompts and of answers, and their mean cost in US dollars, as the training has written them."""
    found = features.get("tokens")
    means = found.get(name) if isinstance(found, dict) else None
    if not isinstance(means, list) or len(means) != 3:
        return None
    is_sound = all(isinstance(one, int | float) and math.isfinite(one) and one >= 0 for one in means)
    return (float(means[0]), float(means[1]), float(means[2])) if is_sound else None
