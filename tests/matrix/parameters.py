"""Parameters that a client can set; see :mod:`matrix.asked`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from matrix.asked import SCHEMA, Feature, config

_OPENAI: Final = ("openai", "completions")


def parameter(name: str, asked: Mapping[str, dict[str, Any]], found: Mapping[str, Any]) -> Feature:
    """A feature that is a member or two."""
    return Feature(name=name, asked=asked, found=found)


def wherever(names: tuple[str, ...], **members: Any) -> dict[str, dict[str, Any]]:
    """The same members in each of these dialects."""
    return dict.fromkeys(names, members)


PARAMETERS: Final = (
    parameter(
        "json_schema",
        {
            "openai": {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
                }
            },
            "responses": {
                "text": {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}
            },
            "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            "gemini": config(responseMimeType="application/json", responseJsonSchema=SCHEMA),
        },
        {
            "openai": {"response_format": {"type": "json_schema", "json_schema": {"name": ..., "schema": SCHEMA}}},
            "responses": {"text": {"format": {"type": "json_schema", "name": ..., "schema": SCHEMA}}},
            "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            "gemini": config(responseMimeType="application/json", responseJsonSchema=SCHEMA),
            "converse": {"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": ...}}}},
            "cohere": {"response_format": {"type": "json_object", "json_schema": SCHEMA}},
            "ollama": {"format": SCHEMA},
        },
    ),
    parameter(
        "json_object",
        {
            "openai": {"response_format": {"type": "json_object"}},
            "responses": {"text": {"format": {"type": "json_object"}}},
            "gemini": config(responseMimeType="application/json"),
        },
        {
            "openai": {"response_format": {"type": "json_object"}},
            "responses": {"text": {"format": {"type": "json_object"}}},
            "gemini": config(responseMimeType="application/json"),
            "cohere": {"response_format": {"type": "json_object"}},
            "ollama": {"format": "json"},
        },
    ),
    parameter(
        "reasoning effort",
        {
            "openai": {"reasoning_effort": "high"},
            "responses": {"reasoning": {"effort": "high"}},
            "anthropic": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            "gemini": config(thinkingConfig={"thinkingLevel": "HIGH"}),
        },
        {
            "openai": {"reasoning_effort": "high"},
            "responses": {"reasoning": {"effort": "high"}},
            # The model that stands for Anthropic's thinks by a budget, unless its own client says otherwise.
            "anthropic": {"thinking": lambda value: value["type"] in ("enabled", "adaptive")},
            "gemini": config(thinkingConfig={"thinkingLevel": "HIGH"}),
            "converse": {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": ...}}},
            "cohere": {"thinking": {"type": "enabled"}},
            "ollama": {"think": "high"},
        },
    ),
    parameter(
        "reasoning budget",
        {
            "openai": {"thinking": {"type": "enabled", "budget_tokens": 3000}},
            "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 3000}},
            "gemini": config(thinkingConfig={"thinkingBudget": 3000}),
        },
        {
            "openai": {"reasoning_effort": "low"},
            "responses": {"reasoning": {"effort": "low"}},
            "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 3000}},
            "gemini": config(thinkingConfig={"thinkingBudget": 3000}),
            "converse": {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 3000}}},
            "cohere": {"thinking": {"type": "enabled", "token_budget": 3000}},
            "ollama": {"think": True},
        },
    ),
    parameter(
        "no reasoning",
        {
            "openai": {"reasoning_effort": "none"},
            "responses": {"reasoning": {"effort": "none"}},
            "anthropic": {"thinking": {"type": "disabled"}},
            "gemini": config(thinkingConfig={"thinkingBudget": 0}),
        },
        {
            "openai": {"reasoning_effort": "none"},
            "responses": {"reasoning": {"effort": "none"}},
            "anthropic": {"thinking": {"type": "disabled"}},
            "gemini": config(thinkingConfig={"thinkingLevel": "LOW"}),
            "converse": {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}},
            "cohere": {"thinking": {"type": "disabled"}},
            "ollama": {"think": False},
        },
    ),
    parameter(
        "stop",
        {
            **wherever(_OPENAI, stop=["END"]),
            "anthropic": {"stop_sequences": ["END"]},
            "gemini": config(stopSequences=["END"]),
        },
        {
            "openai": {"stop": ["END"]},
            "anthropic": {"stop_sequences": ["END"]},
            "gemini": config(stopSequences=["END"]),
            "converse": {"inferenceConfig": {"stopSequences": ["END"]}},
            "cohere": {"stop_sequences": ["END"]},
            "ollama": {"options": {"stop": ["END"]}},
        },
    ),
    parameter(
        "seed",
        {**wherever(_OPENAI, seed=7), "gemini": config(seed=7)},
        {
            "openai": {"seed": 7},
            "gemini": config(seed=7),
            "cohere": {"seed": 7},
            "ollama": {"options": {"seed": 7}},
        },
    ),
    parameter(
        "logprobs",
        {
            "openai": {"logprobs": True, "top_logprobs": 2},
            "completions": {"logprobs": 2},
            "responses": {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
            "gemini": config(responseLogprobs=True, logprobs=2),
        },
        {
            "openai": {"logprobs": True, "top_logprobs": 2},
            "responses": {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
            "gemini": config(responseLogprobs=True, logprobs=2),
            "ollama": {"logprobs": True, "top_logprobs": 2},
        },
    ),
    parameter(
        "several answers (n)",
        {**wherever(_OPENAI, n=2), "gemini": config(candidateCount=2)},
        {"openai": {"n": 2}, "gemini": config(candidateCount=2)},
    ),
    parameter(
        "penalties",
        {
            **wherever(_OPENAI, presence_penalty=0.5, frequency_penalty=0.25),
            "gemini": config(presencePenalty=0.5, frequencyPenalty=0.25),
        },
        {
            "openai": {"presence_penalty": 0.5, "frequency_penalty": 0.25},
            "gemini": config(presencePenalty=0.5, frequencyPenalty=0.25),
            "cohere": {"presence_penalty": 0.5, "frequency_penalty": 0.25},
            "ollama": {"options": {"presence_penalty": 0.5, "frequency_penalty": 0.25}},
        },
    ),
    parameter(
        "logit_bias",
        wherever(_OPENAI, logit_bias={"50256": -100}),
        {"openai": {"logit_bias": {"50256": -100}}},
    ),
    parameter(
        "top_k",
        {**wherever((*_OPENAI, "anthropic"), top_k=40), "gemini": config(topK=40)},
        {
            "openai": {"top_k": 40},
            "anthropic": {"top_k": 40},
            "gemini": config(topK=40),
            "converse": {"additionalModelRequestFields": {"top_k": 40}},
            "cohere": {"k": 40},
            "ollama": {"options": {"top_k": 40}},
        },
    ),
    parameter(
        "longest answer",
        {
            "openai": {"max_completion_tokens": 77},
            "completions": {"max_tokens": 77},
            "responses": {"max_output_tokens": 77},
            "anthropic": {"max_tokens": 77},
            "gemini": config(maxOutputTokens=77),
        },
        {
            "openai": {"max_completion_tokens": 77},
            "responses": {"max_output_tokens": 77},
            "anthropic": {"max_tokens": 77},
            "gemini": config(maxOutputTokens=77),
            "converse": {"inferenceConfig": {"maxTokens": 77}},
            "cohere": {"max_tokens": 77},
            "ollama": {"options": {"num_predict": 77}},
        },
    ),
    parameter(
        "temperature",
        {
            **wherever((*_OPENAI, "responses", "anthropic"), temperature=0.5),
            "gemini": config(temperature=0.5),
        },
        {
            **wherever(("openai", "responses", "anthropic", "cohere"), temperature=0.5),
            "gemini": config(temperature=0.5),
            "converse": {"inferenceConfig": {"temperature": 0.5}},
            "ollama": {"options": {"temperature": 0.5}},
        },
    ),
    parameter(
        "top_p",
        {**wherever((*_OPENAI, "responses", "anthropic"), top_p=0.5), "gemini": config(topP=0.5)},
        {
            **wherever(("openai", "responses", "anthropic"), top_p=0.5),
            "gemini": config(topP=0.5),
            "converse": {"inferenceConfig": {"topP": 0.5}},
            "cohere": {"p": 0.5},
            "ollama": {"options": {"top_p": 0.5}},
        },
    ),
    parameter(
        "end user",
        {**wherever((*_OPENAI, "responses"), user="u-1"), "anthropic": {"metadata": {"user_id": "u-1"}}},
        {
            "openai": {"user": "u-1"},
            "responses": {"user": "u-1"},
            "anthropic": {"metadata": {"user_id": "u-1"}},
        },
    ),
    parameter(
        "metadata",
        {**wherever(("openai", "responses"), metadata={"team": "a"}), "gemini": {"labels": {"team": "a"}}},
        {**wherever(("openai", "responses"), metadata={"team": "a"}), "gemini": {"labels": {"team": "a"}}},
    ),
    parameter(
        "service tier",
        {
            **wherever(("openai", "responses"), service_tier="default"),
            "anthropic": {"service_tier": "standard_only"},
            "gemini": {"serviceTier": "standard"},
        },
        {
            "openai": {"service_tier": "default"},
            "responses": {"service_tier": "default"},
            "anthropic": {"service_tier": "standard_only"},
            "gemini": {"serviceTier": "standard"},
            "converse": {"serviceTier": {"type": "default"}},
        },
    ),
    parameter(
        "prompt_cache_key",
        wherever(("openai", "responses"), prompt_cache_key="k"),
        wherever(("openai", "responses"), prompt_cache_key="k"),
    ),
    parameter(
        "verbosity",
        {"openai": {"verbosity": "low"}, "responses": {"text": {"verbosity": "low"}}},
        {"openai": {"verbosity": "low"}, "responses": {"text": {"verbosity": "low"}}},
    ),
    parameter(
        "member that nobody knows",
        {
            **wherever(("openai", "responses", "anthropic"), x_unknown=1),
            "gemini": {"xUnknown": 1},
        },
        {
            **wherever(("openai", "responses", "anthropic", "cohere", "ollama"), x_unknown=1),
            "gemini": lambda body: 1 in (body.get("x_unknown"), body.get("xUnknown")),
            "converse": {"additionalModelRequestFields": {"x_unknown": 1}},
        },
    ),
)
