"""The tables of config keys: LiteLLM's names, what kind of value each takes, and whether it is acted on.

One row per key. Checking, translating, ``pointsman check --schema`` and the reference page all come from
these rows. ``pending`` rows are LiteLLM keys that this version does not act on; each is named once at
start.
"""

from __future__ import annotations

from pointsman.config.a2a_agents import A2A_ROW, AGENT_LIST_ROW, AGENTS_ROW
from pointsman.config.a2a_agents import SECTIONS as A2A_SECTIONS
from pointsman.config.entries import CREDENTIAL, DEFAULTS, ENTRY, INFO, PARAMS
from pointsman.config.jwt import JWT
from pointsman.config.jwt import SECTIONS as JWT_SECTIONS
from pointsman.config.kinds import (
    AUTHORITIES,
    DELAY,
    DURATION,
    FALLBACKS,
    FLAG,
    HEADER_NAME,
    LIST,
    OBJECT,
    PERCENT,
    SECONDS,
    SECONDS_OR_NONE,
    SECRET,
    TEXT,
    TEXTS,
    USD,
    mapping_to,
    number,
    one_of,
    whole,
)
from pointsman.config.mcp_servers import MCP_ROW, SERVERS_ROW
from pointsman.config.mcp_servers import SECTIONS as MCP_SECTIONS
from pointsman.config.pending import (
    CACHE_FAMILIES,
    CACHE_NAMES,
    GENERAL_NAMES,
    GROUP_NAMES,
    LITELLM_NAMES,
    ROUTER_NAMES,
    TOP_NAMES,
)
from pointsman.config.strategies import ROUTED, STRATEGY_ARGS
from pointsman.config.tables import RETRIES, SPEED, Key, Section, as_section, pending_rows, row
from pointsman.routing.registry import LEARNED, PREFIX, STRATEGIES
from pointsman.routing.settings import FailureKind
from pointsman.wire import operations

ALL_STRATEGIES = (*STRATEGIES, *(PREFIX + name for name in LEARNED))
AGE = number(0, 10 * 366 * 86_400, above=True)

CALL_TYPES = {
    "completion": operations.CHAT.name,
    "acompletion": operations.CHAT.name,
    "text_completion": operations.COMPLETION.name,
    "atext_completion": operations.COMPLETION.name,
    "embedding": operations.EMBEDDINGS.name,
    "aembedding": operations.EMBEDDINGS.name,
    "rerank": operations.RERANK.name,
    "arerank": operations.RERANK.name,
    "moderation": operations.MODERATION.name,
    "amoderation": operations.MODERATION.name,
    "responses": operations.RESPONSES.name,
    "aresponses": operations.RESPONSES.name,
}
"""LiteLLM's names of what can be cached, and ours."""

ALIAS = Section(
    name="model_group_alias",
    about="Another name of a model group.",
    keys=(
        row("model", TEXT, "The group that answers.", is_required=True),
        row("hidden", FLAG, "Whether /v1/models leaves the alias out."),
    ),
)

POLICY = Section(
    name="retry_policy",
    about="Further attempts by what went wrong.",
    keys=(
        *(row(f"{kind}Retries", RETRIES, f"Further attempts after a {kind}.") for kind in FailureKind),
        row("DefaultRetries", RETRIES, "Further attempts after anything else."),
    ),
)

ALLOWED_FAILS = Section(
    name="allowed_fails_policy",
    about="Failures within a minute that are allowed, by what went wrong.",
    keys=tuple(
        row(f"{kind}AllowedFails", whole(0), f"With one {kind} more the deployment rests.") for kind in FailureKind
    ),
)

GROUP = Section(
    name="routing_groups",
    about="Model groups with a strategy of their own.",
    keys=(
        row("group_name", TEXT, "A name for these groups; not a model."),
        row("models", TEXTS, "The model groups.", is_required=True),
        row("routing_strategy", TEXT, "How they share their traffic.", choices=ALL_STRATEGIES, is_required=True),
        row(STRATEGY_ARGS.name, OBJECT, STRATEGY_ARGS.about, holds="one", section=STRATEGY_ARGS.name),
        *pending_rows(GROUP_NAMES),
    ),
)

HEDGING = Section(
    name="hedging",
    about="When a group sends a request to a second deployment as well, because the first is slow to answer.",
    keys=(
        row("delay", DELAY, "Seconds to wait for the first, or p95: as long as 95 of 100 requests took of late."),
        row("budget_percent", PERCENT, "Second requests per 100 of the group's. Default: 5."),
    ),
)


def redis_rows(prefix: str, about: str) -> tuple[Key, ...]:
    """Where a Redis or Valkey is."""
    rows = (
        ("host", TEXT, f"Its host. {about}"),
        ("port", whole(1, 65_535), "Its port. Default: 6379."),
        ("url", SECRET, "redis:// or rediss:// in the place of all of these."),
        ("username", TEXT, "Whom it knows this gateway as."),
        ("password", SECRET, "What it asks for."),
        ("db", whole(0, 2**31), "The number of the database. Default: 0."),
        ("ssl", FLAG, "Whether it is called with TLS."),
    )
    return tuple(row(prefix + name, kind, told, is_unset_allowed=True) for name, kind, told in rows)


CACHE = Section(
    name="cache_params",
    about="Which answers are kept, and how long.",
    keys=(
        row(
            "type",
            TEXT,
            "Where answers are kept. local: in the memory of each process. redis: in a Redis that gateways share.",
        ),
        row("ttl", AGE, "Seconds that an answer is kept. Default: 600."),
        row("default_in_memory_ttl", AGE, "The same as ttl for type local, and goes before it."),
        row("default_in_redis_ttl", AGE, "The same as ttl for type redis, and goes before it."),
        row("namespace", TEXT, "Answers of other namespaces are not found."),
        row("supported_call_types", TEXTS, "What is cached.", choices=tuple(CALL_TYPES)),
        row(
            "mode",
            one_of({"default_on": False, "default_off": True}),
            "default_off: only requests that ask for it use the cache.",
        ),
        *redis_rows("", "The Redis of type redis; it counts too where router_settings name none."),
        *pending_rows(CACHE_NAMES),
    ),
    pending_prefixes=CACHE_FAMILIES,
)

FAILURES = (
    row("num_retries", RETRIES, "Further attempts in the same group. Default: 2."),
    row("fallbacks", FALLBACKS, "Groups to go on with, by the group that failed: [{group: [groups]}]; * is any."),
    row("context_window_fallbacks", FALLBACKS, "The same for prompts that are too long."),
    row("content_policy_fallbacks", FALLBACKS, "The same for prompts that the provider's filter refuses."),
    row("default_fallbacks", TEXTS, "Groups to go on with when a group has none of its own."),
    row(
        "allowed_fails",
        whole(0),
        "Failures within a minute that are allowed. Default: four in a row, and less than half of twenty in 10 s.",
    ),
    row("cooldown_time", SECONDS_OR_NONE, "Seconds of the first rest; each next one is twice as long. Default: 5."),
)
"""Keys that both router_settings and litellm_settings have."""

ROUTER = Section(
    name="router_settings",
    about="How a model name finds its deployments.",
    keys=(
        row(
            "model_group_alias",
            OBJECT,
            "Other names of model groups: {alias: group} or {alias: {model, hidden}}.",
            holds="map",
            section="model_group_alias",
        ),
        row(
            "timeout",
            SECONDS,
            "Seconds of one attempt, for a whole answer; goes before litellm_settings.request_timeout.",
        ),
        row("stream_timeout", SECONDS, "Seconds for the first byte of a streamed answer."),
        row("routing_strategy", TEXT, "How a group shares its traffic.", choices=ALL_STRATEGIES),
        row(STRATEGY_ARGS.name, OBJECT, STRATEGY_ARGS.about, holds="one", section=STRATEGY_ARGS.name),
        row("routing_groups", LIST, GROUP.about, holds="list", section="routing_groups"),
        *FAILURES,
        row("max_fallbacks", whole(0, 100), "How many times a fallback may itself fall back. Default: 5."),
        row("retry_after", SECONDS_OR_NONE, "Seconds before the same deployment is asked again."),
        row("retry_policy", OBJECT, POLICY.about, holds="one", section="retry_policy"),
        row("model_group_retry_policy", mapping_to(as_section("retry_policy")), "The same by group: {group: {...}}."),
        row("allowed_fails_policy", OBJECT, ALLOWED_FAILS.about, holds="one", section="allowed_fails_policy"),
        row("disable_cooldowns", FLAG, "Whether deployments never rest."),
        row("enable_pre_call_checks", FLAG, "Leave out deployments that are known not to take a request."),
        row("enable_pre_call_check", FLAG, "The same as enable_pre_call_checks."),
        row(
            "optional_pre_call_checks",
            TEXTS,
            "enforce_model_rate_limits makes rpm and tpm a limit.",
            choices=("enforce_model_rate_limits",),
        ),
        row("enable_tag_filtering", FLAG, "Whether a request goes to deployments that have its tags."),
        row("tag_filtering_match_any", FLAG, "false: a deployment must have all tags of the request."),
        *redis_rows("redis_", "The Redis in which replicas count together. Default: the environment's REDIS_HOST."),
        row("default_max_parallel_requests", whole(1), "max_parallel_requests of deployments that say nothing."),
        row("default_litellm_params", OBJECT, DEFAULTS.about, holds="one", section="default_litellm_params"),
        *pending_rows(ROUTER_NAMES),
    ),
)

LITELLM = Section(
    name="litellm_settings",
    about="LiteLLM's module settings.",
    keys=(
        row("request_timeout", SECONDS, "Seconds for a whole answer, and for the first byte of any."),
        row(
            "ssl_verify",
            AUTHORITIES,
            "Whether certificates of upstreams are checked, or the path of a CA file.",
        ),
        row("require_auth_for_metrics_endpoint", FLAG, "false serves /metrics without a key."),
        row("callbacks", TEXTS, "What is told about requests.", choices=("prometheus",)),
        row("success_callback", TEXTS, "What is told about answered requests.", choices=("prometheus",)),
        row("failure_callback", TEXTS, "What is told about failed requests.", choices=("prometheus",)),
        *FAILURES,
        row("cache", FLAG, "Whether the answer of an equal request is given again."),
        row("cache_params", OBJECT, CACHE.about, holds="one", section="cache_params"),
        row("max_budget", USD, "US dollars that the master key may spend."),
        row("budget_duration", DURATION, "After which it may spend as much again. Default: never."),
        row("mcp_aliases", OBJECT, "Other names of MCP servers, {alias: server}: the same as alias of each."),
        row("drop_params", FLAG, "Leave out what a model cannot take; without it such a request is refused."),
        row(
            "enable_azure_ad_token_refresh",
            FLAG,
            "Call Azure as the managed identity of the machine where nothing else is given.",
        ),
        *pending_rows(LITELLM_NAMES),
    ),
)

GENERAL = Section(
    name="general_settings",
    about="Who may come in, and limits of the gateway.",
    keys=(
        row("master_key", SECRET, "The admin's key; `auto` makes one and keeps it in the data directory."),
        row("litellm_key_header_name", HEADER_NAME, "One more header that may carry the key."),
        row(
            "database_url",
            SECRET,
            "Where keys and spend are kept: postgresql:// or sqlite:///. Default: DATABASE_URL, or the data directory.",
            is_unset_allowed=True,
        ),
        row("database_connection_pool_limit", whole(1, 1000), "Connections to it of each process. Default: 5."),
        row("maximum_spend_logs_retention_period", DURATION, "How long rows of the spend log are kept. Default: ever."),
        row("store_prompts_in_spend_logs", FLAG, "Whether the spend log holds prompts and answers."),
        row("enable_jwt_auth", FLAG, "Whether tokens of an identity provider let somebody in, besides keys."),
        row(JWT.name, OBJECT, JWT.about, holds="one", section=JWT.name),
        row("max_request_size_mb", number(0, 65_536, above=True), "MiB of a request body that are accepted."),
        row("completion_model", TEXT, "The model of chat and completion requests that name none."),
        row(
            "infer_model_from_keys",
            FLAG,
            "Serve the models of all providers whose keys are in the environment.",
        ),
        row("cancel_on_disconnect", FLAG, "false: an answer is read to its end when its client has left."),
        row("max_in_flight_requests_per_worker", whole(1), "Requests that a process serves at a time; others get 503."),
        row(
            "admission_queue_timeout_seconds",
            SECONDS,
            "Seconds that a request may wait for a deployment at its limit. Default: 5.",
        ),
        row(
            "dangerously_allow_mock_testing_request_params",
            FLAG,
            "Whether callers may let their first attempt fail.",
        ),
        *pending_rows(GENERAL_NAMES),
    ),
)

POINTSMAN = Section(
    name="pointsman_settings",
    about="Settings that LiteLLM does not have.",
    keys=(
        row("discover_providers", FLAG, "Serve the models of all providers whose keys are in the environment."),
        row("prices_file", TEXT, "A price table to use instead of the built-in one, relative to this file."),
        row("hedging", mapping_to(as_section("hedging")), HEDGING.about + " {group: {...}}; * is any."),
        row(
            "adaptive_concurrency",
            FLAG,
            "Give a deployment fewer requests at a time when it slows down under them.",
        ),
        row("retry_budget_percent", PERCENT, "Tries beyond the healthy deployments per 100 requests. Default: 20."),
        row("request_deadline", SECONDS, "Seconds of a request with all its attempts. Default: 6000."),
        row("auth_grace", SECONDS_OR_NONE, "Seconds that known keys go on when their database is away. Default: 600."),
        row("config_header", FLAG, "Whether replies tell in x-pointsman-config which config has answered."),
        row("canary_check", FLAG, "Ask each new deployment something small before a changed config is put in force."),
        row("min_chars_per_second", SPEED, "Slower streams are given to another deployment before they are seen."),
    ),
)

FILES = Section(
    name="files",
    about="Files of clients, and of batches: where they are kept, and how long.",
    keys=(
        row("bucket_url", TEXT, "s3://, gs:// or az://, a bucket, and a prefix. Default: in the data directory."),
        row("max_file_mb", number(0, 65_536, above=True), "MiB of one file that are accepted. Default: 512."),
        row(
            "max_owner_mb",
            number(0, 1 << 40, above=True),
            "MiB of all files of a user, or of a key without one, after which no more are accepted. Default: 102400.",
        ),
        row("batch_days", whole(1, 3650), "Days that files of batches are kept that do not say how long. Default: 30."),
    ),
)

BATCHES = Section(
    name="batches",
    about="Batches of requests: how much they may hold, and how many requests of them are run at a time.",
    keys=(
        row("max_requests", whole(1, 1_000_000), "Lines of one input file. Default: 50000."),
        row("max_input_mb", number(0, 65_536, above=True), "MiB of one input file. Default: 200."),
        row("max_line_mb", number(0, 256, above=True), "MiB of one line of it. Default: 1."),
        row("max_open", whole(1, 1_000_000), "Batches of a user, or of a key without one, at a time. Default: 500."),
        row("max_concurrency", whole(1, 4096), "Requests of batches that one process runs at a time. Default: 128."),
        row("lease_seconds", number(1, 600), "Until others go on with what a killed process was doing. Default: 45."),
    ),
)

TOP = Section(
    name="config.yaml",
    about="A config of Pointsman, in the grammar of LiteLLM's config.yaml.",
    keys=(
        row(
            "include",
            TEXTS,
            "More files, relative to this one: lists are joined, other keys are overwritten.",
        ),
        row("environment_variables", OBJECT, "Variables that os.environ/NAME finds before the process's own."),
        row("model_list", LIST, "The deployments.", holds="list", section="model_list"),
        row("credential_list", LIST, CREDENTIAL.about, holds="list", section="credential_list"),
        row("router_settings", OBJECT, ROUTER.about, holds="one", section="router_settings"),
        row("litellm_settings", OBJECT, LITELLM.about, holds="one", section="litellm_settings"),
        row("general_settings", OBJECT, GENERAL.about, holds="one", section="general_settings"),
        row("pointsman_settings", OBJECT, POINTSMAN.about, holds="one", section="pointsman_settings"),
        SERVERS_ROW,
        MCP_ROW,
        AGENTS_ROW,
        AGENT_LIST_ROW,
        A2A_ROW,
        row(FILES.name, OBJECT, FILES.about, holds="one", section=FILES.name),
        row(BATCHES.name, OBJECT, BATCHES.about, holds="one", section=BATCHES.name),
        *pending_rows(TOP_NAMES),
    ),
)

SECTIONS = (
    TOP,
    ENTRY,
    PARAMS,
    DEFAULTS,
    INFO,
    CREDENTIAL,
    ALIAS,
    ROUTER,
    POLICY,
    ALLOWED_FAILS,
    GROUP,
    HEDGING,
    STRATEGY_ARGS,
    ROUTED,
    LITELLM,
    CACHE,
    GENERAL,
    *JWT_SECTIONS,
    POINTSMAN,
    *MCP_SECTIONS,
    *A2A_SECTIONS,
    FILES,
    BATCHES,
)


def section_named(name: str) -> Section:
    """The table of a section; ``name`` must be one of :data:`SECTIONS`."""
    return next(section for section in SECTIONS if section.name == name)
