"""The table of what a learned strategy can be told: in ``routing_strategy_args``, and beside ``model: router/...``."""

from __future__ import annotations

from typing import Any

from pointsman.config.kinds import FLAG, OBJECT, SECONDS, TEXT, TEXTS, Kind, Mismatch, number, one_of, whole
from pointsman.config.tables import Key, Section, row

PROVIDER = "router/"
"""How the ``model`` of a routed model begins."""
SHARE = number(0, 1)
DOLLARS = number(0)
NOT_NOTHING = number(0, above=True)
COUNT = whole(1, 64)
_WORDS = one_of({"cheap": 0.5, "best": 1.0})


def _quality(value: Any) -> float:
    kind = _WORDS if isinstance(value, str) and value.strip().lower() in {"cheap", "best"} else SHARE
    try:
        found: float = kind.read(value)
    except Mismatch:
        raise Mismatch(f"must be {QUALITY.words}") from None
    return found


def _threshold(value: Any) -> float | list[float]:
    try:
        if isinstance(value, list) and len(value) == 2:
            return [SHARE.read(one) for one in value]
        found: float = SHARE.read(value)
    except Mismatch:
        raise Mismatch(f"must be {THRESHOLD.words}") from None
    return found


QUALITY = Kind(
    words="a number from 0 to 1, cheap or best",
    read=_quality,
    schema={"anyOf": [{"enum": ["cheap", "best"]}, *SHARE.schema["anyOf"]]},
)
THRESHOLD = Kind(
    words="a number from 0 to 1, or two of them",
    read=_threshold,
    schema={"anyOf": [{"type": "array", "items": SHARE.schema}, *SHARE.schema["anyOf"]]},
)

WHAT = (
    row("model_path", TEXT, "The directory of a checkpoint of `pointsman train`, relative to this file."),
    row("llm_data_path", TEXT, "A JSON file with sizes, prices and descriptions of models, relative to this file."),
    row("hot_reload", FLAG, "Whether a checkpoint that is replaced on disk is read again."),
    row("reload_interval", SECONDS, "Seconds between two looks at it. Default: 60."),
    row("trusted_keys", TEXTS, "Public keys in hexadecimal; one of them must have signed the checkpoint."),
    row("model_s3_bucket", TEXT, "The bucket from which the checkpoint is fetched, and again when it changes."),
    row("model_s3_key", TEXT, "Its directory there. Kept in model_path, or else in the data directory."),
    row("model_gcs_bucket", TEXT, "The same for Google Cloud Storage."),
    row("model_gcs_key", TEXT, "The same."),
    row("model_azure_container", TEXT, "The same for Azure."),
    row("model_azure_key", TEXT, "The same."),
    row("strategy", TEXT, "For custom: module:Class, or an entry point of the group pointsman.estimators."),
    row("embedder", TEXT, "static:DIR, onnx:DIR, sentence:NAME or gateway:MODEL:DIMENSION, as in training."),
    row("embedding_timeout", SECONDS, "Seconds that a vector of these is waited for. Default: 0.15."),
)
KNOBS = (
    row("quality", QUALITY, "What requests want that do not say. Default: as good as the best single model."),
    row("max_cost", DOLLARS, "US dollars that a request may cost, as predicted."),
    row("min_quality", SHARE, "Expected quality that an answer must have; the cheapest that has it is taken."),
    row("impatience", SHARE, "Quality, 0..1, that a second of waiting for an answer to begin is worth. Default: 0."),
    row("target_cost", NOT_NOTHING, "US dollars that a request costs on average; kept while serving."),
    row("target_share", SHARE, "Share of requests that go to strong_models; kept while serving."),
    row("strong_models", TEXTS, "Default: the best single model."),
)
ASKING = (
    row("controller", TEXT, "Who plans, takes a question apart, or says what is likely (causallm: also local:MODEL)."),
    row("verifier", TEXT, "automix: who judges an answer. Default: whoever gave it."),
    row("tiers", TEXTS, "automix: candidates, the cheapest first. Default: the cheapest and the best."),
    row("samples", COUNT, "automix: how often the verifier is asked. Default: 5."),
    row("threshold", THRESHOLD, "automix: how sure the verifier has to be. Default: 0.6."),
    row("ladder", OBJECT, "automix: steps that were learnt, in the place of a threshold."),
    row("table_path", TEXT, "automix: a JSON file with them, relative to this file."),
    row("max_rounds", COUNT, "r1: how often the controller thinks. Default: 5."),
    row("max_sub_queries", COUNT, "Parts that a question is taken into. Default: 4."),
    row("max_asks", COUNT, "Calls on the way to one answer. Default: 16."),
    row("max_ask_cost", DOLLARS, "US dollars after which no further call is made on the way."),
    row("descriptions", OBJECT, "What a controller is told about candidates, by name."),
    row("belief", DOLLARS, "causallm: how far the controller's likelihoods are believed."),
    row("deadline", SECONDS, "causallm: seconds that they are waited for."),
)
"""Of strategies that ask models on the way."""
LEARNING = (
    row("online_learning", FLAG, "Whether it learns from outcomes and feedback while serving. Default: false."),
    row("exploration_share", SHARE, "Share of requests that may try another candidate. Default: 0.1."),
    row("regret_budget_per_hour", DOLLARS, "Quality, 0..1 a request, that this may cost in an hour. Default: 60."),
    row("decision_log", FLAG, "Whether decisions and outcomes are kept in the data directory. Default: true."),
    row("log_prompts", FLAG, "Whether the text of prompts is written there too. Default: false."),
    row("candidate_path", TEXT, "A second checkpoint that is on trial, relative to this file."),
    row("canary_share", SHARE, "Share of requests that it decides once it has proven itself. Default: 0.05."),
)

STRATEGY_ARGS = Section(
    name="routing_strategy_args",
    about="What a strategy llmrouter-* goes by. Other strategies have no arguments here.",
    keys=(
        row("candidates", TEXTS, "Public names among which the model `auto` chooses. Default: all that can chat."),
        *WHAT,
        *KNOBS,
        *ASKING,
        *LEARNING,
    ),
)
ROUTED = Section(
    name="router",
    about="litellm_params of a model that is chosen for each prompt (`model: router/<strategy>`).",
    keys=(
        row("model", TEXT, "router/auto, router/knn, ... : the strategy.", is_required=True),
        row("candidates", TEXTS, "Public names among which it chooses. Default: all others that can chat."),
        *WHAT,
        *KNOBS,
        *ASKING,
        *LEARNING,
    ),
)


def names_of(keys: tuple[Key, ...]) -> tuple[str, ...]:
    """The names of some keys."""
    return tuple(key.name for key in keys)


def is_routed(entry: Any) -> bool:
    """Whether an entry of ``model_list`` is a routed model, and no deployment."""
    params = entry.get("litellm_params") if isinstance(entry, dict) else None
    model = params.get("model") if isinstance(params, dict) else None
    return isinstance(model, str) and model.strip().startswith(PROVIDER)
