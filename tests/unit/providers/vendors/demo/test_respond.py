from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.providers.dialects import openai
from pointsman.providers.failures import holds_error
from pointsman.providers.vendors.demo import DemoReply, respond
from pointsman.wire.operations import OPERATIONS
from pointsman.wire.usage import find_usage


def ask(method: bytes, target: bytes, body: Any = None) -> tuple[DemoReply, Any]:
    reply = respond(method, target, b"" if body is None else json.dumps(body).encode(), now=1_700_000_000.0)
    return reply, json.loads(b"".join(piece for _, piece in reply.pieces))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@pytest.mark.parametrize("base_path", ["", "/v1"])
def test_every_operation_has_an_endpoint(operation: Any, base_path: str) -> None:
    reply = respond(b"POST", openai.target(base_path, operation), b"", now=0.0)
    assert reply.status == 400


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (b"/chat/completions", {"model": "small", "messages": [{"role": "user", "content": "hi"}]}),
        (b"/completions", {"model": "small", "prompt": "hi"}),
        (b"/responses", {"model": "small", "input": "hi"}),
        (b"/embeddings", {"model": "embed", "input": "hi"}),
        (b"/images/generations", {"prompt": "hi", "size": "8x8"}),
        (b"/rerank", {"model": "rerank", "query": "a", "documents": ["a"]}),
    ],
)
def test_usage_is_found_in_the_answers(target: bytes, body: Any) -> None:
    reply, _ = ask(b"POST", target, body)
    whole = b"".join(piece for _, piece in reply.pieces)
    assert reply.status == 200
    usage = find_usage(whole)
    assert usage is not None
    assert usage.input_tokens > 0 or usage.search_units > 0
    assert not holds_error(whole)


def test_the_models_are_listed() -> None:
    reply, body = ask(b"GET", b"/v1/models?limit=3")
    assert reply.status == 200
    assert body["object"] == "list"
    assert {"small", "medium", "large", "embed"} <= {model["id"] for model in body["data"]}
    assert ask(b"GET", b"/models/small")[1]["id"] == "small"
    assert ask(b"GET", b"/models/demo/small")[1]["object"] == "model"


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "code"),
    [
        (b"POST", b"/chat/completions", {"model": "gpt-9", "messages": [{}]}, 404, "model_not_found"),
        (b"POST", b"/chat/completions", [], 400, None),
        (b"GET", b"/models/gpt-9", None, 404, "model_not_found"),
        (b"GET", b"/chat/completions", None, 405, "method_not_allowed"),
        (b"POST", b"/models", {}, 405, "method_not_allowed"),
        (b"POST", b"/unknown", {}, 404, "unknown_url"),
        (b"POST", b"\xff", {}, 404, "unknown_url"),
    ],
)
def test_errors_are_replies_in_openais_shape(
    method: bytes, target: bytes, body: Any, status: int, code: str | None
) -> None:
    reply, answer = ask(method, target, body)
    assert reply.status == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["code"] == code


def test_the_same_request_gives_the_same_reply() -> None:
    body = {"model": "large", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    raw = json.dumps(body).encode()
    first = respond(b"POST", b"/chat/completions", raw, now=1.0)
    assert first == respond(b"POST", b"/chat/completions", raw, now=1.0)
