from __future__ import annotations

import pytest

from pointsman.providers.dialects.gemini.paths import has_levels, path, resource, root

VERTEX = "/v1/projects/p/locations/global/publishers/google"


@pytest.mark.parametrize(
    ("base", "operation", "is_stream", "expected"),
    [
        ("", "chat", False, "/v1beta/models/m:generateContent"),
        ("/v1beta", "chat", True, "/v1beta/models/m:streamGenerateContent?alt=sse"),
        ("/v1alpha/", "generate_content", False, "/v1alpha/models/m:generateContent"),
        ("/v1", "gemini_count_tokens", False, "/v1/models/m:countTokens"),
        ("/proxy/gemini", "chat", False, "/proxy/gemini/v1beta/models/m:generateContent"),
        (VERTEX, "chat", True, VERTEX + "/models/m:streamGenerateContent?alt=sse"),
    ],
)
def test_an_operation_has_its_path(base: str, operation: str, is_stream: bool, expected: str) -> None:
    assert path(base, operation, "m", is_stream=is_stream) == expected


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("", ""),
        ("/", ""),
        ("/v1beta", ""),
        ("/v1/", ""),
        ("/proxy/v1alpha", "/proxy"),
        ("/v1beta/proxy", "/v1beta/proxy"),
    ],
)
def test_the_versions_of_the_api_have_a_root(base: str, expected: str) -> None:
    assert root(base) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gemini-2.5-pro", "models/gemini-2.5-pro"),
        ("models/gemini-2.5-pro", "models/gemini-2.5-pro"),
        ("tunedModels/mine", "tunedModels/mine"),
        ("../../files", "models/..%2F..%2Ffiles"),
        ("models/../x", "models/..%2Fx"),
        ("a?key=1#b", "models/a%3Fkey%3D1%23b"),
        ("m:delete", "models/m%3Adelete"),
        ("a b/ü", "models/a%20b%2F%C3%BC"),
    ],
)
def test_a_model_is_one_segment_whatever_its_name(model: str, expected: str) -> None:
    assert resource(model) == expected


@pytest.mark.parametrize("model", ["gemini-3-pro-preview", "gemini-3.5-flash", "gemini-10-x", "gemini-flash-latest"])
def test_models_since_the_third_generation_have_levels(model: str) -> None:
    assert has_levels(model)


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-1.5-pro", "gemma-3-27b-it", "4611686018427"])
def test_others_have_budgets(model: str) -> None:
    assert not has_levels(model)
