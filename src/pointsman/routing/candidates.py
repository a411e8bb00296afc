"""Which deployments of a group can take a request now, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from pointsman.routing.members import Member
from pointsman.routing.regions import Demand, answers_in
from pointsman.wire.needs import Needs

DEFAULT_TAG = "default"
TOO_LONG = "context window"
"""Why a deployment is left out whose model takes fewer tokens than the request has."""
ELSEWHERE = "region"
"""Why a deployment is left out that does not answer where the request has to stay."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says about who can take it."""

    tags: tuple[str, ...] | None = None
    """``None``: tags do not matter here."""
    tags_match_any: bool = True
    needs: Needs | None = None
    """``None``: what a model can take is not checked beforehand."""
    regions: tuple[Demand, ...] = ()
    """Each of them has to be met."""
    order: Mapping[str, int] | None = None
    """Of deployments by id, after their own; lower ones first, and none that is not here."""

    @property
    def are_of_place(self) -> bool:
        """Whether tags or regions decide, so that deployments of one model can differ in what they take."""
        return self.tags is not None or bool(self.regions)


NO_FACTS = Facts()


def fitting(members: Sequence[Member], facts: Facts, dropped: dict[str, str]) -> Sequence[Member]:
    """Those that can take the request at all, whatever their state; ``dropped`` gets a reason by id for the others."""
    if facts.order is not None:
        dropped |= {m.deployment.id: "limit" for m in members if m.deployment.id not in facts.order}
        members = [member for member in members if member.deployment.id in facts.order]
    if facts.regions:
        outside = [m for m in members if not answers_in(m.deployment.region, facts.regions)]
        dropped |= {member.deployment.id: ELSEWHERE for member in outside}
        members = [member for member in members if member not in outside]
    if facts.tags is not None:
        members = _tagged(members, facts.tags, dropped, is_any=facts.tags_match_any)
    needs = facts.needs
    if needs is None:
        return members
    kept = []
    for member in members:
        reason = _reason(member, needs)
        if reason is None:
            kept.append(member)
        else:
            dropped[member.deployment.id] = reason
    return kept


def _tagged(
    members: Sequence[Member], tags: tuple[str, ...], dropped: dict[str, str], *, is_any: bool
) -> Sequence[Member]:
    """LiteLLM's rule: without tags, and where no tag fits, those tagged ``default``; without these, for none, all."""
    wanted = set(tags)
    kept = [m for m in members if (wanted & set(m.deployment.tags) if is_any else wanted <= set(m.deployment.tags))]
    if not wanted or not kept:
        kept = [m for m in members if DEFAULT_TAG in m.deployment.tags]
    if not wanted and not kept:
        return members
    for member in members:
        if member not in kept:
            dropped[member.deployment.id] = "tags"
    return kept


def _reason(member: Member, needs: Needs) -> str | None:
    lacks = member.deployment.lacks
    for name in ("tools", "images", "json"):
        if getattr(needs, name) and name in lacks:
            return name
    window = member.deployment.max_input_tokens
    return TOO_LONG if window is not None and needs.tokens > window else None


def eligible(
    members: Sequence[Member],
    now: float,
    *,
    tried: Collection[Member],
    chance: Callable[[], float],
    enforces_rates: bool,
    dropped: dict[str, str],
    order: Mapping[str, int] | None = None,
    share: float = 1.0,
) -> Sequence[Member]:
    """Those of ``members`` that are fit to be called now, of the lowest ``order`` that has any.

    Of rates that are enforced it may take that ``share``.

    Those that were ``tried`` come only where there is no other, and then those that are likely to answer go first.
    What has fallen silent comes only where there is no other, of a higher ``order`` or full as that may be.
    """
    fit = []
    for member in members:
        if not member.admits(now):
            dropped[member.deployment.id] = "resting"
        elif enforces_rates and member.is_spent(now, share):
            dropped[member.deployment.id] = "rate limit"
        else:
            fit.append(member)
    if tried:
        fit = [member for member in fit if member not in tried] or fit
        fit = [member for member in fit if member.is_sound] or fit
    fit = [member for member in fit if not member.is_silent(now)] or fit
    # What is full has to wait; another order need not.
    fit = [member for member in fit if not member.is_full()] or fit
    fit = _of_first_order(fit, order or {})
    fit = [member for member in fit if not member.is_spent(now)] or fit
    # A deployment that comes back gets a growing part of its share.
    return [member for member in fit if (part := member.share(now)) >= 1.0 or chance() < part] or fit


def _of_first_order(members: list[Member], order: Mapping[str, int]) -> list[Member]:
    if not members:
        return members
    places = [(member.deployment.order, order.get(member.deployment.id, 0)) for member in members]
    first = min(places)
    return [member for member, place in zip(members, places, strict=True) if place == first]
