"""Deployments, failures and chance for tests of routing. Nothing here has a clock: times are numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, repeat
from typing import Any

from pointsman.errors import GatewayError, UpstreamRejected, UpstreamTimeout, UpstreamUnreachable
from pointsman.providers.base import Deployment, Vendor
from pointsman.routing.concurrency import AdaptiveLimit
from pointsman.routing.cooldown import Health, Rules
from pointsman.routing.groups import Groups
from pointsman.routing.members import SEVERAL_UNANSWERED, Member
from pointsman.routing.settings import FailureKind, RoutingSettings

OPENAI = Vendor(name="openai", base_url="https://api.openai.com/v1")
_STATUS = {
    FailureKind.BAD_REQUEST: (400, None),
    FailureKind.AUTHENTICATION: (401, None),
    FailureKind.NOT_FOUND: (404, None),
    FailureKind.RATE_LIMIT: (429, None),
    FailureKind.CONTENT_POLICY: (400, "content_policy_violation"),
    FailureKind.CONTEXT_WINDOW: (400, "context_length_exceeded"),
    FailureKind.INTERNAL: (500, None),
    FailureKind.UNAVAILABLE: (503, None),
}


def deployment(ident: str = "a", name: str = "m", **fields: Any) -> Deployment:
    """A deployment of the group ``name``, with an address of its own."""
    given = {"vendor": OPENAI, "upstream_model": "up", "base_url": f"https://{ident}", **fields}
    return Deployment(id=ident, model_name=name, **given)


def member(
    ident: str = "a",
    *,
    credential: Health | None = None,
    rules: Rules | None = None,
    limit: int | None = None,
    adaptive: AdaptiveLimit | None = None,
    has_rates: bool = False,
    **fields: Any,
) -> Member:
    """A deployment with health of its own and, unless one is given, a credential of its own."""
    health = Health(rules or Rules())
    return Member(
        deployment(ident, **fields),
        health,
        credential or Health(rules or Rules()),
        limit=limit,
        adaptive=adaptive,
        has_rates=has_rates,
    )


def groups(*deployments: Deployment, **settings: Any) -> Groups:
    """All groups of these deployments."""
    return Groups(deployments, RoutingSettings(**settings))


def chances(*values: float) -> Callable[[], float]:
    """Chance that gives these values in turn, and the last one ever after."""
    source = chain(values, repeat(values[-1] if values else 0.0))
    return lambda: next(source)


def failure(kind: FailureKind, retry_after: float | None = None) -> GatewayError:
    """What an attempt raises that fails in this way."""
    if kind is FailureKind.TIMEOUT:
        return UpstreamTimeout(retry_after=retry_after)
    if kind is FailureKind.BAD_GATEWAY:
        return UpstreamUnreachable(retry_after=retry_after)
    status, code = _STATUS[kind]
    return UpstreamRejected(status=status, kind="x", code=code, retry_after=retry_after)


def fall_silent(one: Member, now: float) -> None:
    """Let it owe answers for a second, although it usually takes a hundredth."""
    one.hear(0.01)
    for _ in range(SEVERAL_UNANSWERED):
        one.enter(now - 1)
    one.asked = now


def ids(members: Iterable[Member]) -> list[str]:
    """Of the members' deployments."""
    return [one.deployment.id for one in members]
