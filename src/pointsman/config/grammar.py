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
    FLAG,
    HEADER_NAME,
    HEADERS,
    IDENTIFIER,
    LIST,
    OBJECT,
    SECONDS,
    SECRET,
    TEXT,
    TEXTS,
    URL,
    USD,
    Kind,
    number,
    whole,
)
from pointsman.config.pending import (
    ENTRY_NAMES,
    GENERAL_NAMES,
    INFO_NAMES,
    LITELLM_NAMES,
    PARAM_FAMILIES,
    PARAM_NAMES,
    ROUTER_NAMES,
    TOP_NAMES,
)

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


def _pending(names: tuple[str, ...]) -> tuple[Key, ...]:
    return tuple(Key(name=name, standing="pending") for name in names)


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
        _key("timeout", SECONDS, "Seconds for a whole answer, and for the first byte of a streamed one."),
        _key("stream_timeout", SECONDS, "Seconds for the first byte of a streamed answer."),
        _key("rpm", whole(0), "Requests per minute; the share of traffic when no weight is set."),
        _key("tpm", whole(0), "Tokens per minute; the share of traffic when neither weight nor rpm is set."),
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
        _key("timeout", SECONDS, "Seconds for a whole answer; goes before litellm_settings.request_timeout."),
        _key("stream_timeout", SECONDS, "Seconds for the first byte of a streamed answer."),
        _key("routing_strategy", TEXT, "How a group shares its traffic.", choices=("simple-shuffle",)),
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
        *_pending(GENERAL_NAMES),
    ),
)

POINTSMAN = Section(
    name="pointsman_settings",
    about="Settings that LiteLLM does not have.",
    keys=(_key("discover_providers", FLAG, "Serve the models of all providers whose keys are in the environment."),),
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

SECTIONS = (TOP, ENTRY, PARAMS, INFO, CREDENTIAL, ALIAS, ROUTER, LITELLM, GENERAL, POINTSMAN)


def section_named(name: str) -> Section:
    """The table of a section; ``name`` must be one of :data:`SECTIONS`."""
    return next(section for section in SECTIONS if section.name == name)
