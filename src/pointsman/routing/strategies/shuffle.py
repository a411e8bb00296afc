"""``simple-shuffle``: by weight, else requests per minute, else tokens per minute, else alike."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

from pointsman.providers.base import Deployment
from pointsman.routing.members import Member


def shuffle(members: Sequence[Member], _now: float, chance: Callable[[], float]) -> Member:
    """Draw one, each with its share of the traffic."""
    bounds = list(accumulate(shares([member.deployment for member in members])))
    return members[min(bisect_right(bounds, chance() * bounds[-1]), len(members) - 1)]


def shares(deployments: Sequence[Deployment]) -> list[float]:
    """How much of the traffic each takes."""
    for attribute in ("weight", "rpm", "tpm"):
        values = [getattr(d, attribute) for d in deployments]
        if any(values):
            return [float(v or 0) for v in values]
    return [1.0] * len(deployments)
