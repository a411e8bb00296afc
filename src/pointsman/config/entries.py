"""The tables of ``model_list``: an entry, its ``litellm_params`` and ``model_info``, and shared credentials."""

from __future__ import annotations

from pointsman.config.kinds import (
    CREDENTIALS,
    FLAG,
    HEADERS,
    IDENTIFIER,
    OBJECT,
    SECONDS,
    SECONDS_OR_NONE,
    SECRET,
    TEXT,
    TEXTS,
    URL,
    USD,
    number,
    one_of,
    whole,
)
from pointsman.config.pending import ENTRY_NAMES, INFO_NAMES, PARAM_FAMILIES, PARAM_NAMES
from pointsman.config.tables import RETRIES, SPEED, Section, pending_rows, row
from pointsman.providers.litellm_prices import TIERED_COSTS, TIERS, tier_name

COSTS = (
    row("input_cost_per_token", USD, "US dollars for one input token."),
    row("output_cost_per_token", USD, "US dollars for one output token."),
    row("cache_read_input_token_cost", USD, "US dollars for one input token that the provider had cached."),
    row("cache_creation_input_token_cost", USD, "US dollars for one input token that the provider is to cache."),
    row("cache_creation_input_token_cost_above_1hr", USD, "The same when it keeps it for an hour."),
    row("output_cost_per_reasoning_token", USD, "US dollars for one output token spent on reasoning."),
    row("input_cost_per_audio_token", USD, "US dollars for one input token of audio."),
    row("output_cost_per_audio_token", USD, "US dollars for one output token of audio."),
    row("input_cost_per_image_token", USD, "US dollars for one input token of an image."),
    row("output_cost_per_image_token", USD, "US dollars for one output token of an image."),
    *(
        row(tier_name(cost, thousands), USD, f"The same in requests with more than {thousands},000 tokens of input.")
        for thousands in TIERS
        for cost in TIERED_COSTS
    ),
    row("input_cost_per_query", USD, "US dollars for one search unit of a rerank."),
    row("input_cost_per_image", USD, "US dollars for one image."),
    row("output_cost_per_image", USD, "US dollars for one image."),
    row("input_cost_per_second", USD, "US dollars for one second of audio."),
    row("output_cost_per_second", USD, "US dollars for one second of audio."),
    row("input_cost_per_character", USD, "US dollars for one character."),
)

RATES = (
    row("rpm", whole(0), "Requests per minute; the share of traffic when no weight is set."),
    row("tpm", whole(0), "Tokens per minute; the share of traffic when neither weight nor rpm is set."),
)

CLOUDS = (
    row("api_version", TEXT, "Azure: the version of the API, such as 2024-10-21; v1 or preview for the v1 API."),
    row("azure_ad_token", SECRET, "Azure: a token of Microsoft Entra ID, or oidc/file/PATH."),
    row("tenant_id", TEXT, "Azure: the tenant that client_id is an application of."),
    row("client_id", TEXT, "Azure: an application of Microsoft Entra ID, or a user-assigned managed identity."),
    row("client_secret", SECRET, "Azure: the secret of client_id."),
    row(
        "azure_scope", TEXT, "Azure: what tokens are asked for. Default: https://cognitiveservices.azure.com/.default."
    ),
    row("vertex_project", TEXT, "Google: the project. Default: that of the credentials."),
    row("vertex_ai_project", TEXT, "The same as vertex_project, which goes before it."),
    row("vertex_location", TEXT, "Google: the region, us, eu or global. Default: us-central1."),
    row("vertex_ai_location", TEXT, "The same as vertex_location, which goes before it."),
    row("vertex_credentials", CREDENTIALS, "Google: a credentials file, as its path or its text."),
    row("vertex_ai_credentials", CREDENTIALS, "The same as vertex_credentials, which goes before it."),
    row("aws_access_key_id", TEXT, "AWS: an access key."),
    row("aws_secret_access_key", SECRET, "AWS: its secret."),
    row("aws_session_token", SECRET, "AWS: the session token of a temporary key."),
    row("aws_region_name", TEXT, "AWS: the region. Default: AWS_REGION, or us-west-2."),
    row("aws_profile_name", TEXT, "AWS: a profile of ~/.aws."),
    row("aws_role_name", TEXT, "AWS: the ARN of a role to assume."),
    row("aws_session_name", TEXT, "AWS: what the session of that role is called. Default: pointsman."),
    row("aws_external_id", TEXT, "AWS: the external id that the role asks for."),
    row("aws_web_identity_token", SECRET, "AWS: a token with which aws_role_name is assumed: itself, or its path."),
    row("aws_sts_endpoint", URL, "AWS: where roles are assumed. Default: the region's own address."),
    row("aws_bedrock_runtime_endpoint", URL, "AWS: the address of Bedrock. Default: the region's own."),
    row(
        "region_name",
        TEXT,
        "Where it answers, for requests that demand a region; the same as aws_region_name or vertex_location, which go "
        "before it.",
    ),
)
"""What clouds make addresses and credentials of."""

PARAMS = Section(
    name="litellm_params",
    about="Whom to call for this model, and how. Keys that are not listed are sent in the request body.",
    unknown="carry",
    keys=(
        row(
            "model",
            TEXT,
            "provider/model as the provider calls it; * receives what model_name matched.",
            is_required=True,
        ),
        row("custom_llm_provider", TEXT, "The provider, when `model` does not begin with it."),
        row(
            "api_key",
            SECRET,
            "The credential; usually os.environ/NAME. Default: the provider's own variable.",
        ),
        row("api_base", URL, "Where the provider's API begins, such as http://gpu-box:8000/v1."),
        row("base_url", URL, "The same as api_base."),
        *CLOUDS,
        row("organization", TEXT, "Sent as OpenAI-Organization."),
        row("litellm_credential_name", TEXT, "Take credentials from the credential_list entry of this name."),
        row("timeout", SECONDS, "Seconds of one attempt: for a whole answer, or the first byte of a streamed one."),
        row("stream_timeout", SECONDS, "Seconds for the first byte of a streamed answer."),
        *RATES,
        row("max_parallel_requests", whole(1), "Requests at a time; more wait a little, or go elsewhere."),
        row("num_retries", RETRIES, "Further attempts in its group; the highest of a group counts."),
        row("cooldown_time", SECONDS_OR_NONE, "Seconds of its first rest after failures."),
        row(
            "on_disconnect",
            one_of({"cancel": False, "drain_for_usage": True}),
            "What becomes of an answer whose client has left: cancel, or drain_for_usage.",
        ),
        row("min_chars_per_second", SPEED, "Slower streams are given to another deployment before they are seen."),
        row("weight", number(0), "Share of the group's traffic."),
        row("order", whole(0), "Lower ones are tried first."),
        row("tags", TEXTS, "Labels of this deployment."),
        row("extra_headers", HEADERS, "Headers sent with each request."),
        row("headers", HEADERS, "The same as extra_headers."),
        row("extra_body", OBJECT, "Body fields set whatever the caller said."),
        row("drop_params", FLAG, "Leave out what the model cannot take; without it such a request is refused."),
        row("additional_drop_params", TEXTS, "Parameters that are left out whatever the model takes."),
        row("allowed_openai_params", TEXTS, "Parameters that are sent by their OpenAI name whatever is known."),
        row(
            "merge_reasoning_content_in_choices",
            FLAG,
            "Give reasoning to clients within the text, between <think> and </think>.",
        ),
        row(
            "batch",
            one_of({"lines": False, "provider": True}),
            "Who runs batches: lines, one by one here; provider, whole, by its API (OpenAI, Azure, Anthropic, Gemini).",
        ),
        row("mock_response", TEXT, "Answer with this text and call nobody."),
        *COSTS,
        *pending_rows(PARAM_NAMES),
    ),
    pending_prefixes=PARAM_FAMILIES,
)

_OF_ONE_ENTRY = ("model", "custom_llm_provider", "litellm_credential_name", "api_key", "api_base", "base_url")
DEFAULTS = Section(
    name="default_litellm_params",
    about="litellm_params of every entry of model_list that does not say otherwise.",
    unknown="carry",
    keys=(*(key for key in PARAMS.keys if key.name not in _OF_ONE_ENTRY), *pending_rows(_OF_ONE_ENTRY)),
    pending_prefixes=PARAM_FAMILIES,
)

INFO = Section(
    name="model_info",
    about="What is known of this deployment. Keys that are not listed are kept and shown by /model/info.",
    unknown="keep",
    keys=(
        row("id", IDENTIFIER, "The deployment's id. Default: a hash of the entry, the same at every start."),
        row(
            "mode",
            TEXT,
            "chat, completion, responses, embedding, image_generation, audio_transcription, "
            "audio_speech, moderation or rerank.",
        ),
        row("region", IDENTIFIER, "Where it answers, for requests that demand a region. Default: as its cloud is set."),
        row("base_model", TEXT, "The model whose prices and context size hold, when `model` does not name it."),
        row("max_tokens", whole(1), "Tokens that an answer can have; max_output_tokens goes first."),
        row("max_input_tokens", whole(1), "Tokens that a prompt can have."),
        row("max_output_tokens", whole(1), "Tokens that an answer can have."),
        row("supports_vision", FLAG, "Whether it takes images. Default: as is publicly known."),
        row("supports_function_calling", FLAG, "Whether it takes tools. Default: as is publicly known."),
        row("supports_response_schema", FLAG, "Whether it can be held to JSON. Default: as is publicly known."),
        *RATES,
        *COSTS,
        *pending_rows(INFO_NAMES),
    ),
)

ENTRY = Section(
    name="model_list",
    about="One deployment. Entries with the same model_name are one group that shares the traffic.",
    keys=(
        row("model_name", TEXT, "The name that clients use; may hold one *.", is_required=True),
        row("litellm_params", OBJECT, PARAMS.about, holds="one", section="litellm_params", is_required=True),
        row("model_info", OBJECT, INFO.about, holds="one", section="model_info"),
        *RATES,
        *pending_rows(ENTRY_NAMES),
    ),
)

CREDENTIAL = Section(
    name="credential_list",
    about="Credentials that several deployments share.",
    keys=(
        row("credential_name", TEXT, "What litellm_credential_name refers to.", is_required=True),
        row("credential_values", OBJECT, "Entries such as api_key and api_base; a deployment's own go first."),
        row("credential_info", OBJECT, "Notes; not used."),
    ),
)
