from __future__ import annotations

import pytest

from pointsman.providers.base import VendorOptions
from pointsman.providers.vendors import azure_ai

NONE = VendorOptions()


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://r.services.ai.azure.com", "https://r.services.ai.azure.com/models"),
        ("https://r.services.ai.azure.com/", "https://r.services.ai.azure.com/models"),
        ("https://r.services.ai.azure.com/openai/v1", "https://r.services.ai.azure.com/openai/v1"),
        ("https://one.eastus2.models.ai.azure.com/v1/", "https://one.eastus2.models.ai.azure.com/v1"),
        (None, None),
    ],
)
def test_a_bare_resource_stands_for_its_model_inference_api(given: str | None, address: str | None) -> None:
    assert azure_ai.base_url(NONE, given) == address


@pytest.mark.requirement("clouds.addresses")
@pytest.mark.parametrize(
    ("base", "operation", "model", "version", "expected"),
    [
        ("/models", "chat", "phi", None, "/models/chat/completions?api-version=2024-05-01-preview"),
        ("/models", "embeddings", "cohere", "2025-01-01", "/models/embeddings?api-version=2025-01-01"),
        ("/models", "chat", "phi", "v1", "/openai/v1/chat/completions"),
        ("/openai/v1", "chat", "phi", "preview", "/openai/v1/chat/completions?api-version=preview"),
        ("/v1", "chat", "mistral", None, "/v1/chat/completions"),
        ("/v1/chat/completions", "chat", "mistral", None, "/v1/chat/completions"),
        ("", "rerank", "cohere-rerank", None, "/v1/rerank"),
        ("/v1", "rerank", "cohere-rerank", None, "/v1/rerank"),
        ("/models", "rerank", "cohere-rerank", None, "/providers/cohere/v2/rerank"),
        ("/models", "chat", "claude-sonnet-4-5", None, "/anthropic/v1/messages"),
        ("/anthropic", "messages", "claude-sonnet-4-5", None, "/anthropic/v1/messages"),
        ("/models", "count_tokens", "claude-sonnet-4-5", None, "/anthropic/v1/messages/count_tokens"),
        ("/models", "count_tokens", "phi", None, None),
    ],
)
def test_an_operation_lies_where_its_kind_of_address_has_it(
    base: str, operation: str, model: str, version: str | None, expected: str | None
) -> None:
    options = VendorOptions(api_version=version)
    assert azure_ai.path(base, operation, model, is_stream=True, options=options) == expected


def test_claude_speaks_its_makers_dialect_there() -> None:
    assert azure_ai.dialect("claude-opus-4-1") == "anthropic"
    assert azure_ai.dialect("Llama-3") == "openai"


def test_names_and_bodies_stay_as_they_are() -> None:
    assert azure_ai.name("a/b") == "a/b"
    assert azure_ai.root("/models", "m", NONE) == "/models"
    assert azure_ai.adapt("chat", "m", {"model": "m"}) == {"model": "m"}
