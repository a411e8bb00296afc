"""What an operator can set about routing."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class FailureKind(StrEnum):
    """What went wrong with an attempt, in the words of LiteLLM's ``retry_policy`` and ``allowed_fails_policy``."""

    BAD_REQUEST = "BadRequestError"
    AUTHENTICATION = "AuthenticationError"
    NOT_FOUND = "NotFoundError"
    TIMEOUT = "TimeoutError"
    RATE_LIMIT = "RateLimitError"
    CONTENT_POLICY = "ContentPolicyViolationError"
    CONTEXT_WINDOW = "ContextWindowExceededError"
    INTERNAL = "InternalServerError"
    UNAVAILABLE = "ServiceUnavailableError"
    BAD_GATEWAY = "BadGatewayError"


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """Another public name of a model group."""

    model: str
    is_hidden: bool = False


class Hedging(msgspec.Struct, frozen=True, kw_only=True):
    """When a group sends a request a second time, to another deployment, because the first is slow to answer."""

    delay: float | None = None
    """Seconds to wait for the first attempt; ``None``: the group's live 95th percentile."""
    share: float = 0.05
    """Of the group's attempts of the last seconds that may be hedges, 0..1."""


class RoutingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a model name finds its deployments, and what follows when one of them fails. Times in seconds."""

    aliases: dict[str, Alias] = {}
    default_model: str | None = None
    """Used by chat and completion requests that name no model (``completion_model``)."""

    strategy: str = "simple-shuffle"
    """One of :data:`pointsman.routing.registry.STRATEGIES`."""
    group_strategies: dict[str, str] = {}
    """Groups that have another one (``routing_groups``)."""
    has_tag_filtering: bool = False
    tags_match_any: bool = True
    """Whether one tag in common is enough, or all of the request's must be the deployment's."""
    has_pre_call_checks: bool = False
    """Whether deployments that are known not to take a request are left out before it is sent."""
    enforces_rates: bool = False
    """Whether a deployment's rpm and tpm are a limit, and not only its share of the traffic."""
    max_parallel_requests: int | None = None
    """Of each deployment that says nothing itself."""

    num_retries: int = 2
    """Further attempts in the same group."""
    retry_policy: dict[FailureKind, int] = {}
    """Further attempts after this kind of failure; goes before ``num_retries``."""
    group_retry_policies: dict[str, dict[FailureKind, int]] = {}
    default_retries: dict[str, int] = {}
    """``DefaultRetries`` of a group's policy; ``""`` is that of ``retry_policy``."""
    retry_after: float = 0.0
    """At least so long before the same deployment is asked again."""
    retry_share: float = 0.2
    """Of a group's requests of the last seconds that may be tried again where no healthy deployment is left, 0..1."""

    fallbacks: dict[str, tuple[str, ...]] = {}
    """Groups to go on with, by the group that failed; ``*`` is any."""
    context_window_fallbacks: dict[str, tuple[str, ...]] = {}
    content_policy_fallbacks: dict[str, tuple[str, ...]] = {}
    default_fallbacks: tuple[str, ...] = ()
    max_fallbacks: int = 5
    """How many times a fallback may itself fall back."""

    has_cooldowns: bool = True
    cooldown_time: float = 5.0
    """The first rest; each one that follows without a success between is twice as long."""
    allowed_fails: int | None = None
    """Failures within a minute after which a deployment rests; ``None``: five in a row, or half of twenty in 10 s."""
    allowed_fails_policy: dict[FailureKind, int] = {}

    hedging: dict[str, Hedging] = {}
    """By group; ``*`` is any."""
    is_adaptive: bool = False
    """Whether deployments are given fewer requests at a time when they answer more slowly the more they have."""
