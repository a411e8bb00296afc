"""What an operator can set about routing."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

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


class LearningSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a routed model makes of the outcomes of its own decisions."""

    is_online: bool = False
    """Whether feedback changes what is expected of models at once (``online_learning``)."""
    exploration_share: float = 0.1
    """0..1: of the requests that may go to another model than the best known one, to learn from it."""
    regret_budget: float = 60.0
    """How much quality, 0..1 a request, may be expected to be lost by that within an hour."""
    has_log: bool = True
    """Whether decisions and what came of them are kept in the data directory (``decision_log``)."""
    keeps_prompts: bool = False
    """Whether the texts of prompts stand in that log (``log_prompts``)."""
    candidate: str | None = None
    """The directory of another checkpoint that is to prove itself beside the first (``candidate_path``)."""
    canary_share: float = 0.05
    """0..1: of the requests that it decides while it does."""


class RoutedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A public name behind which the model is chosen for each prompt. Costs in US dollars, times in seconds."""

    name: str
    strategy: str = "auto"
    """One of :data:`pointsman.routing.registry.LEARNED`, without the ``llmrouter-`` before it."""
    candidates: tuple[str, ...] = ()
    """Public names; none: all others that can chat."""
    is_within_group: bool = False
    """Whether it is a group of several upstream models that are chosen among, and not among groups."""
    checkpoint: str | None = None
    """The directory of what was learnt (``model_path``); ``None``: prices, sizes and the look of a prompt decide."""
    origin: str | None = None
    """Where it is fetched from, such as ``s3://bucket/key`` (``model_s3_bucket``, ``model_s3_key``)."""
    has_hot_reload: bool = False
    reload_interval: float = 60.0
    trusted_keys: tuple[str, ...] = ()
    """Public keys, one of which must have signed the checkpoint; none: anybody may have made it."""
    custom: str | None = None
    """``module:Class`` or the name of an entry point, of an estimator of the operator's own."""
    directory: str = ""
    """Where the file of that module may lie: beside the document."""
    embedder: str | None = None
    """As :func:`pointsman.ml.embedders.embedder_of` takes it; ``None``: the one that a checkpoint brings."""
    embedding_timeout: float = 0.15
    """How long a vector is waited for that takes its time; without it the stand-in decides."""
    cards: tuple[Any, ...] = ()
    """What is declared of models (``llm_data_path``): :class:`pointsman.ml.prior.Card`."""
    quality: float | None = None
    """0..1, of requests that do not say themselves; ``None``: as good as the best single model."""
    max_cost: float | None = None
    """Of one request, as predicted."""
    min_quality: float | None = None
    """0..1, as predicted."""
    impatience: float = 0.0
    """Quality, 0..1, that a second of waiting for an answer to begin is worth."""
    target_cost: float | None = None
    """Of a request on average, kept while serving."""
    target_share: float | None = None
    """0..1: share of requests that go to ``strong_models``, kept while serving."""
    strong_models: tuple[str, ...] = ()
    """None: the best single model."""
    learning: LearningSettings = LearningSettings()
    options: dict[str, Any] = {}
    """What only some strategies have, by the names of the document."""


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

    routed: dict[str, RoutedSettings] = {}
    """By public name."""
    hedging: dict[str, Hedging] = {}
    """By group; ``*`` is any."""
    is_adaptive: bool = False
    """Whether deployments are given fewer requests at a time when they answer more slowly the more they have."""
