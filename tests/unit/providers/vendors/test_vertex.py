from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.base import VendorOptions
from pointsman.providers.vendors import vertex

HERE = VendorOptions(project="p", location="europe-west1")
PLACE = "/v1/projects/p/locations/europe-west1"
CLAUDE = f"{PLACE}/publishers/anthropic/models"
GOOGLE = f"{PLACE}/publishers/google/models"


def path(model: str, operation: str = "chat", *, base: str = "", is_stream: bool = False) -> str | None:
    return vertex.path(base, operation, model, is_stream=is_stream, options=HERE)


@pytest.mark.parametrize(
    ("location", "project", "address"),
    [
        ("europe-west1", "p", "https://europe-west1-aiplatform.googleapis.com"),
        ("global", "p", "https://aiplatform.googleapis.com"),
        ("eu", "p", "https://aiplatform.eu.rep.googleapis.com"),
        (None, "p", "https://us-central1-aiplatform.googleapis.com"),
        ("europe-west1", None, "https://aiplatform.googleapis.com"),
    ],
)
def test_a_location_has_its_own_host(location: str | None, project: str | None, address: str) -> None:
    assert vertex.base_url(VendorOptions(location=location, project=project), None) == address


def test_the_operators_own_address_goes_first() -> None:
    assert vertex.base_url(HERE, "https://proxy.test/vertex/") == "https://proxy.test/vertex"


@pytest.mark.parametrize(
    ("model", "dialect"),
    [
        ("gemini-2.5-flash", "gemini"),
        ("gemini/4965075652664360960", "gemini"),
        ("4965075652664360960", "gemini"),
        ("text-embedding-005", "gemini"),
        ("claude-sonnet-4@20250514", "anthropic"),
        ("anthropic/claude-sonnet-4", "anthropic"),
        ("meta/llama-4-maas", "openai"),
        ("openai/123", "openai"),
        ("mistral-large@2411", "openai"),
        ("mistralai/codestral-2", "openai"),
        ("jamba-1.5", "openai"),
    ],
)
def test_the_dialect_is_that_of_the_models_maker(model: str, dialect: str) -> None:
    assert vertex.dialect(model) == dialect


@pytest.mark.requirement("clouds.addresses")
@pytest.mark.parametrize(
    ("model", "operation", "is_stream", "expected"),
    [
        ("gemini-2.5-pro", "chat", False, f"{GOOGLE}/gemini-2.5-pro:generateContent"),
        ("gemini-2.5-pro", "generate_content", True, f"{GOOGLE}/gemini-2.5-pro:streamGenerateContent?alt=sse"),
        ("gemini-2.5-pro", "gemini_count_tokens", False, f"{GOOGLE}/gemini-2.5-pro:countTokens"),
        ("text-embedding-005", "embeddings", False, f"{GOOGLE}/text-embedding-005:predict"),
        ("gemini/77", "chat", False, f"{PLACE}/endpoints/77:generateContent"),
        ("claude-x@1", "chat", False, f"{CLAUDE}/claude-x@1:rawPredict"),
        ("claude-x@1", "messages", True, f"{CLAUDE}/claude-x@1:streamRawPredict"),
        ("claude-x@1", "count_tokens", False, f"{CLAUDE}/count-tokens:rawPredict"),
        ("mistral-large", "chat", True, f"{PLACE}/publishers/mistralai/models/mistral-large:streamRawPredict"),
        ("jamba-1.5", "chat", False, f"{PLACE}/publishers/ai21/models/jamba-1.5:rawPredict"),
        ("meta/llama-4", "chat", True, f"{PLACE}/endpoints/openapi/chat/completions"),
        ("openai/123", "chat", False, f"{PLACE}/endpoints/123/chat/completions"),
        ("openai/gpt-oss-120b-maas", "chat", False, f"{PLACE}/endpoints/openapi/chat/completions"),
        ("meta/llama-4", "messages", False, None),
    ],
)
def test_a_model_is_called_below_its_publisher(
    model: str, operation: str, is_stream: bool, expected: str | None
) -> None:
    assert path(model, operation, is_stream=is_stream) == expected


@pytest.mark.parametrize(
    ("base", "place"),
    [
        ("/v1beta1", "/v1beta1/projects/p/locations/europe-west1"),
        ("/proxy", f"/proxy{PLACE}"),
        ("/v1/projects/own/locations/us-east1", "/v1/projects/own/locations/us-east1"),
        ("/v1/projects/own/locations/us-east1/publishers/google", "/v1/projects/own/locations/us-east1"),
    ],
)
def test_an_address_may_say_where_already(base: str, place: str) -> None:
    assert path("gemini-x", base=base) == f"{place}/publishers/google/models/gemini-x:generateContent"
    assert vertex.root(base, "gemini-x", HERE) == f"{place}/publishers/google"


def test_express_mode_has_neither_project_nor_location() -> None:
    made = vertex.path("", "chat", "gemini-x", is_stream=False, options=VendorOptions())
    assert made == "/v1/publishers/google/models/gemini-x:generateContent"


def test_a_version_other_than_the_first_can_be_asked_for() -> None:
    options = VendorOptions(project="p", location="l", api_version="v1beta1")
    assert vertex.root("", "gemini-x", options) == "/v1beta1/projects/p/locations/l/publishers/google"


@pytest.mark.requirement("clouds.model-names")
@pytest.mark.parametrize("model", ["gemini?x", "gemini#x", "claude:predict?y", "gemini%2F"])
def test_a_callers_model_cannot_leave_its_segment(model: str) -> None:
    made = path(model)
    assert made is not None
    assert made.count("/") == 9
    assert "?" not in made
    assert "#" not in made
    assert made.count(":") == 1


def test_a_model_that_climbs_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        path("google/..")


def test_claudes_body_has_a_version_and_no_model() -> None:
    assert vertex.adapt("chat", "claude-x", {"model": "claude-x", "max_tokens": 1}) == {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 1,
    }


def test_who_counts_claudes_tokens_is_told_the_model() -> None:
    assert vertex.adapt("count_tokens", "claude-x", {"model": "claude-x"})["model"] == "claude-x"


@pytest.mark.parametrize(
    ("call", "result"), [("functionCall", "functionResponse"), ("function_call", "function_response")]
)
def test_calls_of_functions_and_their_results_have_no_ids(call: str, result: str) -> None:
    said: dict[str, Any] = {
        "role": "model",
        "parts": [{"text": "a"}, {call: {"id": "c1", "name": "f", "args": {"id": 1}}}],
    }
    answered = {"role": "user", "parts": [{result: {"id": "c1", "name": "f", "response": {"id": 2}}}]}
    body = vertex.adapt("generate_content", "gemini-x", {"contents": [said, answered]})
    assert body["contents"][0]["parts"][1] == {call: {"name": "f", "args": {"id": 1}}}
    assert body["contents"][1]["parts"] == [{result: {"name": "f", "response": {"id": 2}}}]


@pytest.mark.parametrize("contents", [None, "x", {"parts": "x"}, [{"parts": [7, {"functionCall": 7}]}, 7]])
def test_what_is_no_content_stays_for_google_to_refuse(contents: object) -> None:
    assert vertex.adapt("chat", "gemini-x", {"contents": contents}) == {"contents": contents}


def test_other_bodies_stay_as_they_are() -> None:
    assert vertex.adapt("chat", "gemini-x", {"contents": []}) == {"contents": []}
    assert vertex.adapt("chat", "meta/llama", {"model": "meta/llama"}) == {"model": "meta/llama"}
