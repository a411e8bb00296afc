"""``cost-based-routing``: the cheapest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from pointsman.routing.members import Member
from pointsman.routing.strategies.shuffle import shuffle

UNKNOWN = Decimal("Infinity")
"""An unknown price is not a low one."""


def cost(members: Sequence[Member], now: float, chance: Callable[[], float]) -> Member:
    """Name one with the lowest price of an input and an output token together; equals share the traffic."""
    lowest = min(_price(member) for member in members)
    return shuffle([member for member in members if _price(member) == lowest], now, chance)


def _price(member: Member) -> Decimal:
    price = member.deployment.price
    parts = [part for part in (price.input_usd_per_token, price.output_usd_per_token) if part is not None]
    return sum(parts, Decimal(0)) if parts else UNKNOWN
