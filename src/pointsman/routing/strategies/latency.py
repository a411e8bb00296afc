"""``latency-based-routing``: the quicker of two.

Two are drawn and the better one is taken (Mitzenmacher's power of two choices), so that the quickest is not flooded by
everybody at once. Better is a smaller product of the latency (to the first token of a stream, to the answer otherwise;
a peak-sensitive moving average) and the requests that it has now. One that was never measured counts as quick until
it has a request to measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pointsman.routing.members import Member
from pointsman.routing.strategies.shuffle import shuffle

UNMEASURED = 1e6
"""Seconds assumed of a deployment whose first answer is still on its way."""


def latency(members: Sequence[Member], now: float, chance: Callable[[], float]) -> Member:
    """Name the better of two that were drawn by weight."""
    first = shuffle(members, now, chance)
    others = [member for member in members if member is not first]
    if not others:
        return first
    second = shuffle(others, now, chance)
    return second if _load(second, now) < _load(first, now) else first


def _load(member: Member, now: float) -> float:
    seconds = member.latency.expected(now)
    if not seconds:
        return member.in_flight * UNMEASURED
    return seconds * (member.in_flight + 1)
