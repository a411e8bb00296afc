"""``usage-based-routing`` and ``-v2``: whoever has used least of its tokens per minute."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pointsman.routing.members import Member
from pointsman.routing.strategies.shuffle import shuffle


def usage(members: Sequence[Member], now: float, chance: Callable[[], float]) -> Member:
    """Name one with the smallest used part of its tpm, or with the fewest tokens where some have no tpm."""
    have_limits = all(member.deployment.tpm for member in members)
    used = [_used(member, now, is_part=have_limits) for member in members]
    least = min(used)
    return shuffle([member for member, one in zip(members, used, strict=True) if one == least], now, chance)


def _used(member: Member, now: float, *, is_part: bool) -> float:
    tokens = member.tokens.total(now)
    return tokens / (member.deployment.tpm or 1) if is_part else tokens
