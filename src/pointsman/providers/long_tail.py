"""The providers that are served by LiteLLM, by its names of them.

Those of its ``provider_list`` that are none of ours, and that take chats, completions, embeddings or make images.
"""

from __future__ import annotations

from typing import Final

EXTRA: Final = "litellm"
"""``litellm/PROVIDER/MODEL`` is served by LiteLLM whoever the provider is."""

LONG_TAIL: Final = frozenset(
    {
        "aiohttp_openai",
        "anthropic_text",
        "azure_text",
        "bedrock_mantle",
        "black_forest_labs",
        "bytez",
        "custom",
        "datarobot",
        "empower",
        "fal_ai",
        "galadriel",
        "gdc",
        "gigachat",
        "heroku",
        "lambda_ai",
        "langflow",
        "langgraph",
        "maritalk",
        "nlp_cloud",
        "oci",
        "oobabooga",
        "petals",
        "predibase",
        "ragflow",
        "recraft",
        "replicate",
        "runwayml",
        "sagemaker",
        "sagemaker_chat",
        "sagemaker_nova",
        "sap",
        "snowflake",
        "stability",
        "text-completion-codestral",
        "text-completion-inception",
        "triton",
        "watsonx",
        "watsonx_text",
    }
)
