from __future__ import annotations

import pytest

from pointsman.edge.table import ROUTES, Access, Routes, dialect_of
from pointsman.errors import MethodNotAllowed, RouteNotFound


@pytest.mark.parametrize(
    ("method", "path", "route", "params"),
    [
        ("POST", "/v1/chat/completions", "/v1/chat/completions", {}),
        ("POST", "/chat/completions", "/chat/completions", {}),
        (
            "POST",
            "/openai/deployments/gpt-4o/embeddings",
            "/openai/deployments/{model...}/embeddings",
            {"model": "gpt-4o"},
        ),
        ("POST", "/engines/a.b/completions", "/engines/{model...}/completions", {"model": "a.b"}),
        (
            "POST",
            "/openai/deployments/openai/gpt-4o/chat/completions",
            "/openai/deployments/{model...}/chat/completions",
            {"model": "openai/gpt-4o"},
        ),
        ("GET", "/v1/models/openai/gpt-4o", "/v1/models/{model...}", {"model": "openai/gpt-4o"}),
        ("HEAD", "/health/readiness", "/health/readiness", {}),
        ("POST", "/v2/rerank", "/v2/rerank", {}),
    ],
)
def test_a_path_finds_its_route(method: str, path: str, route: str, params: dict[str, str]) -> None:
    found, given = Routes().find(method, path)
    assert found.path == route
    assert dict(given) == params


@pytest.mark.parametrize(
    "path", ["/", "/v2/chat/completions", "/v1/chat/completions/", "//v1/models", "/v1/../v1/models"]
)
def test_a_path_that_nobody_answers_is_not_found(path: str) -> None:
    with pytest.raises(RouteNotFound):
        Routes().find("GET", path)


def test_a_method_that_a_path_does_not_take_names_those_that_it_takes() -> None:
    with pytest.raises(MethodNotAllowed) as raised:
        Routes().find("DELETE", "/v1/models")
    assert raised.value.headers == (("allow", "GET, HEAD"),)


def test_only_the_probes_are_public() -> None:
    public = {route.path for route in ROUTES if route.access is Access.PUBLIC}
    assert public == {"/health/liveliness", "/health/liveness", "/health/readiness"}


def test_no_two_lines_of_the_table_answer_the_same() -> None:
    keys = [(route.method, route.path) for route in ROUTES]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("header", "dialect"),
    [
        (b"anthropic-version", "anthropic"),
        (b"x-goog-api-key", "gemini"),
        (b"x-goog-api-client", "gemini"),
        (b"authorization", "openai"),
    ],
)
def test_headers_tell_whose_sdk_asks_for_models(header: bytes, dialect: str) -> None:
    assert dialect_of({header: b"x"}) == dialect
    assert Routes().find("GET", "/v1/models")[0].dialect is None
