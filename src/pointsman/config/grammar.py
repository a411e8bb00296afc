"""The tables of config keys: LiteLLM's names, what kind of value each takes, and whether it is acted on.

One row per key. Checking, translating, ``pointsman check --schema`` and the reference page all come from
these rows. ``pending`` rows are LiteLLM keys that this version does not act on; each is named once at
start.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pointsman.config.kinds import (
    ANY,
    AUTHORITIES,
    DELAY,
    FALLBACKS,
    FLAG,
    HEADER_NAME,
    HEADERS,
    IDENTIFIER,
    LIST,
    OBJECT,
    PERCENT,
    SECONDS,
    SECONDS_OR_NONE,
    SECRET,
    TEXT,
    TEXTS,
    URL,
    USD,
    Kind,
    mapping_to,
    number,
    one_of,
    whole,
)
from pointsman.config.pending import (
    CACHE_FAMILIES,
    CACHE_NAMES,
    ENTRY_NAMES,
    GENERAL_NAMES,
    GROUP_NAMES,
    INFO_NAMES,
    LITELLM_NAMES,
    PARAM_FAMILIES,
    PARAM_NAMES,
    ROUTER_NAMES,
    TOP_NAMES,
)
from pointsman.routing.registry import STRATEGIES
from pointsman.routing.settings import FailureKind
from pointsman.wire import operations

Standing = Literal["honoured", "pending"]
Unknown = Literal["warn", "keep", "carry"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One config key."""

    name: str
    kind: Kind = ANY
    about: str = ""
    standing: Standing = "honoured"
    holds: Literal["one", "list", "map"] | None = None
    """How the value holds ``section``: as itself, as a list of it, or as a mapping of names to it."""
    section: str | None = None
    is_required: bool = False
    choices: tuple[str, ...] = ()
    """Values that are acted on; others are known but not acted on."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping of a document."""

    name: str
    about: str
    keys: tuple[Key, ...]
    unknown: Unknown = "warn"
    """What becomes of keys outside the table: a warning, kept as they are, or carried into request bodies."""
    pending_prefixes: tuple[str, ...] = ()
    """Families of LiteLLM keys that are not acted on."""

    def find(self, name: str) -> Key | None:
        """The row of a key, also for a family of pending ones."""
        for key in self.keys:
            if key.name == name:
                return key
        if name.startswith(self.pending_prefixes) and self.pending_prefixes:
            return Key(name=name, standing="pending")
        return None

    def names(self) -> tuple[str, ...]:
        """All keys of the table."""
        return tuple(key.name for key in self.keys)


def _key(name: str, kind: Kind, about: str, **more: Any) -> Key:
    return Key(name=name, kind=kind, about=about, **more)


def _as_section(name: str) -> dict[str, Any]:
    return {"$ref": f"#/definitions/{name}"}


def _pending(names: tuple[str, ...]) -> tuple[Key, ...]:
    return tuple(Key(name=name, standing="pending") for name in names)


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

COSTS = (
    _key("input_cost_per_token", USD, "US dollars for one input token."),
    _key("output_cost_per_token", USD, "US dollars for one output token."),
    _key("cache_read_input_token_cost", USD, "US dollars for one input token that the provider had cached."),
    _key("input_cost_per_query", USD, "US dollars for one search unit of a rerank."),
    _key("input_cost_per_image", USD, "US dollars for one image."),
    _key("output_cost_per_image", USD, "US dollars for one image."),
    _key("input_cost_per_second", USD, "US dollars for one second of audio."),
    _key("output_cost_per_second", USD, "US dollars for one second of audio."),
    _key("input_cost_per_character", USD, "US dollars for one character."),
)

RATES = (
    _key("rpm", whole(0), "Requests per minute; the share of traffic when no weight is set."),
    _key("tpm", whole(0), "Tokens per minute; the share of traffic when neither weight nor rpm is set."),
)

RETRIES = whole(0, 100)
SPEED = number(0, above=True)
AGE = number(0, 10 * 366 * 86_400, above=True)

PARAMS = Section(
    name="litellm_params",
    about="Whom to call for this model, and how. Keys that are not listed are sent in the request body.",
    unknown="carry",
    keys=(
        _key(
            "model",
            TEXT,
            "provider/model as the provider calls it; * receives what model_name matched.",
            is_required=True,
        ),
        _key("custom_llm_provider", TEXT, "The provider, when `model` does not begin with it."),
        _key(
            "api_key",
            SECRET,
            "The credential; usually os.environ/NAME. Default: the provider's own variable.",
        ),
        _key("api_base", URL, "Where the provider's API begins, such as http://gpu-box:8000/v1."),
        _key("base_url", URL, "The same as api_base."),
        _key("organization", TEXT, "Sent as OpenAI-Organization."),
        _key("litellm_credential_name", TEXT, "Take credentials from the credential_list entry of this name."),
        _key("timeout", SECONDS, "Seconds of one attempt: for a whole answer, or the first byte of a streamed one."),
        _key("stream_timeout", SECONDS, "Seconds for the first byte of a streamed answer."),
        *RATES,
        _key("max_parallel_requests", whole(1), "Requests at a time; more wait a little, or go elsewhere."),
        _key("num_retries", RETRIES, "Further attempts in its group; the highest of a group counts."),
        _key("cooldown_time", SECONDS_OR_NONE, "Seconds of its first rest after failures."),
        _key(
            "on_disconnect",
            one_of({"cancel": False, "drain_for_usage": True}),
            "What becomes of an answer whose client has left: cancel, or drain_for_usage.",
        ),
        _key("min_chars_per_second", SPEED, "Slower streams are given to another deployment before they are seen."),
        _key("weight", number(0), "Share of the group's traffic."),
        _key("order", whole(0), "Lower ones are tried first."),
        _key("tags", TEXTS, "Labels of this deployment."),
        _key("extra_headers", HEADERS, "Headers sent with each request."),
        _key("headers", HEADERS, "The same as extra_headers."),
        _key("extra_body", OBJECT, "Body fields set whatever the caller said."),
        _key("mock_response", TEXT, "Answer with this text and call nobody."),
        *COSTS,
        *_pending(PARAM_NAMES),
    ),
    pending_prefixes=PARAM_FAMILIES,
)

_OF_ONE_ENTRY = ("model", "custom_llm_provider", "litellm_credential_name", "api_key", "api_base", "base_url")
DEFAULTS = Section(
    name="default_litellm_params",
    about="litellm_params of every entry of model_list that does not say otherwise.",
    unknown="carry",
    keys=(*(key for key in PARAMS.keys if key.name not in _OF_ONE_ENTRY), *_pending(_OF_ONE_ENTRY)),
    pending_prefixes=PARAM_FAMILIES,
)

INFO = Section(
    name="model_info",
    about="What is known of this deployment. Keys that are not listed are kept and shown by /model/info.",
    unknown="keep",
    keys=(
        _key("id", IDENTIFIER, "The deployment's id. Default: a hash of the entry, the same at every start."),
        _key(
            "mode",
            TEXT,
            "chat, completion, responses, embedding, image_generation, audio_transcription, "
            "audio_speech, moderation or rerank.",
        ),
        _key("base_model", TEXT, "The model whose prices and context size hold, when `model` does not name it."),
        _key("max_tokens", whole(1), "Tokens that an answer can have; max_output_tokens goes first."),
        _key("max_input_tokens", whole(1), "Tokens that a prompt can have."),
        _key("max_output_tokens", whole(1), "Tokens that an answer can have."),
        _key("supports_vision", FLAG, "Whether it takes images. Default: as is publicly known."),
        _key("supports_function_calling", FLAG, "Whether it takes tools. Default: as is publicly known."),
        _key("supports_response_schema", FLAG, "Whether it can be held to JSON. Default: as is publicly known."),
        *RATES,
        *COSTS,
        *_pending(INFO_NAMES),
    ),
)

ENTRY = Section(
    name="model_list",
    about="One deployment. Entries with the same model_name are one group that shares the traffic.",
    keys=(
        _key("model_name", TEXT, "The name that clients use; may hold one *.", is_required=True),
        _key("litellm_params", OBJECT, PARAMS.about, holds="one", section="litellm_params", is_required=True),
        _key("model_info", OBJECT, INFO.about, holds="one", section="model_info"),
        *RATES,
        *_pending(ENTRY_NAMES),
    ),
)

CREDENTIAL = Section(
    name="credential_list",
    about="Credentials that several deployments share.",
    keys=(
        _key("credential_name", TEXT, "What litellm_credential_name refers to.", is_required=True),
        _key("credential_values", OBJECT, "Entries such as api_key and api_base; a deployment's own go first."),
        _key("credential_info", OBJECT, "Notes; not used."),
    ),
)

ALIAS = Section(
    name="model_group_alias",
    about="Another name of a model group.",
    keys=(
        _key("model", TEXT, "The group that answers.", is_required=True),
        _key("hidden", FLAG, "Whether /v1/models leaves the alias out."),
    ),
)

POLICY = Section(
    name="retry_policy",
    about="Further attempts by what went wrong.",
    keys=(
        *(_key(f"{kind}Retries", RETRIES, f"Further attempts after a {kind}.") for kind in FailureKind),
        _key("DefaultRetries", RETRIES, "Further attempts after anything else."),
    ),
)

ALLOWED_FAILS = Section(
    name="allowed_fails_policy",
    about="Failures within a minute that are allowed, by what went wrong.",
    keys=tuple(
        _key(f"{kind}AllowedFails", whole(0), f"With one {kind} more the deployment rests.") for kind in FailureKind
    ),
)

GROUP = Section(
    name="routing_groups",
    about="Model groups with a strategy of their own.",
    keys=(
        _key("group_name", TEXT, "A name for these groups; not a model."),
        _key("models", TEXTS, "The model groups.", is_required=True),
        _key("routing_strategy", TEXT, "How they share their traffic.", choices=tuple(STRATEGIES), is_required=True),
        *_pending(GROUP_NAMES),
    ),
)

HEDGING = Section(
    name="hedging",
    about="When a group sends a request to a second deployment as well, because the first is slow to answer.",
    keys=(
        _key("delay", DELAY, "Seconds to wait for the first, or p95: as long as 95 of 100 requests took of late."),
        _key("budget_percent", PERCENT, "Second requests per 100 of the group's. Default: 5."),
    ),
)

CACHE = Section(
    name="cache_params",
    about="Which answers are kept, and how long.",
    keys=(
        _key("type", TEXT, "local: in the memory of each process; so does every other type in this version."),
        _key("ttl", AGE, "Seconds that an answer is kept. Default: 600."),
        _key("default_in_memory_ttl", AGE, "The same as ttl, and goes before it."),
        _key("namespace", TEXT, "Answers of other namespaces are not found."),
        _key("supported_call_types", TEXTS, "What is cached.", choices=tuple(CALL_TYPES)),
        _key(
            "mode",
            one_of({"default_on": False, "default_off": True}),
            "default_off: only requests that ask for it use the cache.",
        ),
        *_pending(CACHE_NAMES),
    ),
    pending_prefixes=CACHE_FAMILIES,
)

FAILURES = (
    _key("num_retries", RETRIES, "Further attempts in the same group. Default: 2."),
    _key("fallbacks", FALLBACKS, "Groups to go on with, by the group that failed: [{group: [groups]}]; * is any."),
    _key("context_window_fallbacks", FALLBACKS, "The same for prompts that are too long."),
    _key("content_policy_fallbacks", FALLBACKS, "The same for prompts that the provider's filter refuses."),
    _key("default_fallbacks", TEXTS, "Groups to go on with when a group has none of its own."),
    _key(
        "allowed_fails",
        whole(0),
        "Failures within a minute that are allowed. Default: four in a row, and less than half of twenty in 10 s.",
    ),
    _key("cooldown_time", SECONDS_OR_NONE, "Seconds of the first rest; each next one is twice as long. Default: 5."),
)
"""Keys that both router_settings and litellm_settings have."""

ROUTER = Section(
    name="router_settings",
    about="How a model name finds its deployments.",
    keys=(
        _key(
            "model_group_alias",
            OBJECT,
            "Other names of model groups: {alias: group} or {alias: {model, hidden}}.",
            holds="map",
            section="model_group_alias",
        ),
        _key(
            "timeout",
            SECONDS,
            "Seconds of one attempt, for a whole answer; goes before litellm_settings.request_timeout.",
        ),
        _key("stream_timeout", SECONDS, "Seconds for the first byte of a streamed answer."),
        _key("routing_strategy", TEXT, "How a group shares its traffic.", choices=tuple(STRATEGIES)),
        _key("routing_groups", LIST, GROUP.about, holds="list", section="routing_groups"),
        *FAILURES,
        _key("max_fallbacks", whole(0, 100), "How many times a fallback may itself fall back. Default: 5."),
        _key("retry_after", SECONDS_OR_NONE, "Seconds before the same deployment is asked again."),
        _key("retry_policy", OBJECT, POLICY.about, holds="one", section="retry_policy"),
        _key("model_group_retry_policy", mapping_to(_as_section("retry_policy")), "The same by group: {group: {...}}."),
        _key("allowed_fails_policy", OBJECT, ALLOWED_FAILS.about, holds="one", section="allowed_fails_policy"),
        _key("disable_cooldowns", FLAG, "Whether deployments never rest."),
        _key("enable_pre_call_checks", FLAG, "Leave out deployments that are known not to take a request."),
        _key("enable_pre_call_check", FLAG, "The same as enable_pre_call_checks."),
        _key(
            "optional_pre_call_checks",
            TEXTS,
            "enforce_model_rate_limits makes rpm and tpm a limit.",
            choices=("enforce_model_rate_limits",),
        ),
        _key("enable_tag_filtering", FLAG, "Whether a request goes to deployments that have its tags."),
        _key("tag_filtering_match_any", FLAG, "false: a deployment must have all tags of the request."),
        _key("default_max_parallel_requests", whole(1), "max_parallel_requests of deployments that say nothing."),
        _key("default_litellm_params", OBJECT, DEFAULTS.about, holds="one", section="default_litellm_params"),
        *_pending(ROUTER_NAMES),
    ),
)

LITELLM = Section(
    name="litellm_settings",
    about="LiteLLM's module settings.",
    keys=(
        _key("request_timeout", SECONDS, "Seconds for a whole answer, and for the first byte of any."),
        _key(
            "ssl_verify",
            AUTHORITIES,
            "Whether certificates of upstreams are checked, or the path of a CA file.",
        ),
        _key("require_auth_for_metrics_endpoint", FLAG, "false serves /metrics without a key."),
        _key("callbacks", TEXTS, "What is told about requests.", choices=("prometheus",)),
        _key("success_callback", TEXTS, "What is told about answered requests.", choices=("prometheus",)),
        _key("failure_callback", TEXTS, "What is told about failed requests.", choices=("prometheus",)),
        *FAILURES,
        _key("cache", FLAG, "Whether the answer of an equal request is given again."),
        _key("cache_params", OBJECT, CACHE.about, holds="one", section="cache_params"),
        _key("drop_params", FLAG, "Whether translation may leave out fields that a provider does not know."),
        *_pending(LITELLM_NAMES),
    ),
)

GENERAL = Section(
    name="general_settings",
    about="Who may come in, and limits of the gateway.",
    keys=(
        _key("master_key", SECRET, "The admin's key; `auto` makes one and keeps it in the data directory."),
        _key("litellm_key_header_name", HEADER_NAME, "One more header that may carry the key."),
        _key("max_request_size_mb", number(0, 65_536, above=True), "MiB of a request body that are accepted."),
        _key("completion_model", TEXT, "The model of chat and completion requests that name none."),
        _key(
            "infer_model_from_keys",
            FLAG,
            "Serve the models of all providers whose keys are in the environment.",
        ),
        _key("cancel_on_disconnect", FLAG, "false: an answer is read to its end when its client has left."),
        _key(
            "max_in_flight_requests_per_worker", whole(1), "Requests that a process serves at a time; others get 503."
        ),
        _key(
            "admission_queue_timeout_seconds",
            SECONDS,
            "Seconds that a request may wait for a deployment at its limit. Default: 5.",
        ),
        _key(
            "dangerously_allow_mock_testing_request_params",
            FLAG,
            "Whether callers may let their first attempt fail.",
        ),
        *_pending(GENERAL_NAMES),
    ),
)

POINTSMAN = Section(
    name="pointsman_settings",
    about="Settings that LiteLLM does not have.",
    keys=(
        _key("discover_providers", FLAG, "Serve the models of all providers whose keys are in the environment."),
        _key("hedging", mapping_to(_as_section("hedging")), HEDGING.about + " {group: {...}}; * is any."),
        _key(
            "adaptive_concurrency",
            FLAG,
            "Give a deployment fewer requests at a time when it slows down under them.",
        ),
        _key("retry_budget_percent", PERCENT, "Tries beyond the healthy deployments per 100 requests. Default: 20."),
        _key("request_deadline", SECONDS, "Seconds of a request with all its attempts. Default: 6000."),
        _key("min_chars_per_second", SPEED, "Slower streams are given to another deployment before they are seen."),
    ),
)

TOP = Section(
    name="config.yaml",
    about="A config of Pointsman, in the grammar of LiteLLM's config.yaml.",
    keys=(
        _key(
            "include",
            TEXTS,
            "More files, relative to this one: lists are joined, other keys are overwritten.",
        ),
        _key("environment_variables", OBJECT, "Variables that os.environ/NAME finds before the process's own."),
        _key("model_list", LIST, "The deployments.", holds="list", section="model_list"),
        _key("credential_list", LIST, CREDENTIAL.about, holds="list", section="credential_list"),
        _key("router_settings", OBJECT, ROUTER.about, holds="one", section="router_settings"),
        _key("litellm_settings", OBJECT, LITELLM.about, holds="one", section="litellm_settings"),
        _key("general_settings", OBJECT, GENERAL.about, holds="one", section="general_settings"),
        _key("pointsman_settings", OBJECT, POINTSMAN.about, holds="one", section="pointsman_settings"),
        *_pending(TOP_NAMES),
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
    LITELLM,
    CACHE,
    GENERAL,
    POINTSMAN,
)


def section_named(name: str) -> Section:
    """The table of a section; ``name`` must be one of :data:`SECTIONS`."""
    return next(section for section in SECTIONS if section.name == name)
