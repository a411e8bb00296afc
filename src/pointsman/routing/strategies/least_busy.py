"""``least-busy``: whoever has the fewest requests now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pointsman.routing.members import Member
from pointsman.routing.strategies.shuffle import shuffle


def least_busy(members: Sequence[Member], now: float, chance: Callable[[], float]) -> Member:
    """Name the one with the fewest requests in flight; equals share as ``simple-shuffle`` has it."""
    fewest = min(member.in_flight for member in members)
    return shuffle([member for member in members if member.in_flight == fewest], now, chance)
