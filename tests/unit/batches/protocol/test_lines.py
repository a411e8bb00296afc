from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.batches.protocol.lines import ENDPOINTS, MAX_ID_CHARS, MAX_MODEL_CHARS, Lines, canonical, request_of
from pointsman.errors import InvalidRequest
from pointsman.wire import operations as op

CHAT = {"model": "house", "messages": [{"role": "user", "content": "Hi"}]}
LINE: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}


def line(**changes: Any) -> bytes:
    """A good line, but for these members; ``...`` leaves one out."""
    return json.dumps({name: value for name, value in (LINE | changes).items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/openai/v1/embeddings", "/v1/embeddings"),
        ("/anthropic/v1/messages", "/v1/messages"),
        ("/v1/audio/speech", None),
        ("/v1/images/edits", None),
        ("/v1/v1/rerank", None),
        ("/v2/rerank", None),
        ("v1/rerank", None),
        ("", None),
    ],
)
def test_an_endpoint_is_known_by_each_of_its_paths(text: str, found: str | None) -> None:
    assert canonical(text) == found


def test_every_endpoint_is_its_own_name() -> None:
    assert [canonical(one) for one in ENDPOINTS] == list(ENDPOINTS)


def test_a_line_is_a_request_with_the_very_bytes_of_its_body() -> None:
    body = b'{"a" : 1.50,"model":"m"}'
    data = b'{"custom_id": "\\u00e9", "method":"POST","x":[1],"url":"/chat/completions","body": %b }\r' % body
    request = request_of(data)
    assert (request.custom_id, request.endpoint, request.operation) == ("é", "/v1/chat/completions", op.CHAT)
    assert request.body == body


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"not json", "invalid_json_line", None),
        (line() + b" x", "invalid_json_line", None),
        (b"[]", "invalid_json_line", None),
        (b'"text"', "invalid_json_line", None),
        (b'{"custom_id": "\xff"}', "invalid_json_line", None),
        (b"\xef\xbb\xbf" + line(), "invalid_json_line", None),
        (line().decode().encode("utf-16"), "invalid_json_line", None),
        (b'{"body":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json_line", None),
        (line(custom_id=...), "missing_required_parameter", "custom_id"),
        (line(custom_id=None), "invalid_type", "custom_id"),
        (line(custom_id=7), "invalid_type", "custom_id"),
        (line(custom_id=""), "invalid_custom_id", "custom_id"),
        (line(custom_id="a\0"), "invalid_custom_id", "custom_id"),
        (line(custom_id="a" * (MAX_ID_CHARS + 1)), "invalid_custom_id", "custom_id"),
        (b'{"custom_id": "\\ud800"}', "invalid_json_line", None),
        (line(method=...), "missing_required_parameter", "method"),
        (line(method="GET"), "invalid_method", "method"),
        (line(method=1), "invalid_type", "method"),
        (line(url=...), "missing_required_parameter", "url"),
        (line(url=[]), "invalid_type", "url"),
        (line(url="/v1/files"), "invalid_url", "url"),
        (line(url="https://api.openai.com/v1/chat/completions"), "invalid_url", "url"),
        (line(body=...), "missing_required_parameter", "body"),
        (line(body=None), "invalid_type", "body"),
        (line(body=[CHAT]), "invalid_type", "body"),
    ],
)
def test_what_is_no_request_is_refused_by_name(data: bytes, code: str, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        request_of(data)
    assert (raised.value.code, raised.value.param) == (code, param)


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        (line(url="/v1/embeddings", body={"model": "m", "input": "x"}), "invalid_url", "url"),
        (line(body={"model": "m"}), "invalid_request", "body.messages"),
        (line(body=CHAT | {"messages": "Hi"}), "invalid_request", "body.messages"),
        (line(body=CHAT | {"model": 7}), "invalid_request", "body.model"),
        (line(body=CHAT | {"model": "m" * (MAX_MODEL_CHARS + 1)}), "invalid_request", "body.model"),
        (line(body=CHAT | {"model": None, "models": ["m" * (MAX_MODEL_CHARS + 1)]}), "invalid_request", "body.model"),
        (line(body=CHAT | {"stream": True}), "invalid_request", "body.stream"),
        (line(body=CHAT | {"api_base": "http://elsewhere"}), "invalid_request", "body.api_base"),
        (line(body=CHAT | {"num_retries": "many"}), "invalid_request", "body.num_retries"),
        (b'{"custom_id":"a","custom_id":"first","method":"POST","url":"/v1/chat/completions","body":{}}', None, None),
    ],
)
def test_what_cannot_be_run_in_its_batch_is_refused_by_name(data: bytes, code: str | None, param: str | None) -> None:
    lines = Lines("/v1/chat/completions")
    lines.read(1, line(custom_id="first"))
    with pytest.raises(InvalidRequest) as raised:
        lines.read(2, data)
    assert (raised.value.code, raised.value.param) == (code or "duplicate_custom_id", param or "custom_id")


def test_a_second_line_of_the_same_id_names_the_first() -> None:
    lines = Lines("/v1/chat/completions")
    lines.read(3, line())
    with pytest.raises(InvalidRequest, match="Line 3 has the 'custom_id' 'a' already"):
        lines.read(9, line())
    assert len(lines) == 1


def test_what_a_message_repeats_is_short() -> None:
    lines = Lines("/v1/chat/completions")
    long = line(custom_id="\U000e0001" * MAX_ID_CHARS)
    lines.read(1, long)
    with pytest.raises(InvalidRequest) as raised:
        lines.read(2, long)
    assert len(raised.value.message) < 200


@pytest.mark.parametrize(
    ("endpoint", "body", "model"),
    [
        ("/v1/chat/completions", CHAT, "house"),
        ("/v1/chat/completions", CHAT | {"model": None, "models": ["b", "c"]}, "b"),
        ("/v1/chat/completions", CHAT | {"model": "m" * MAX_MODEL_CHARS}, "m" * MAX_MODEL_CHARS),
        ("/v1/completions", {"model": "m", "prompt": "x"}, "m"),
        ("/v1/responses", {"model": "m", "input": "x"}, "m"),
        ("/v1/embeddings", {"model": "m", "input": ["x"]}, "m"),
        ("/v1/moderations", {"input": "x"}, None),
        ("/v1/rerank", {"model": "m", "query": "q", "documents": ["a"]}, "m"),
        ("/v1/images/generations", {"prompt": "x"}, None),
        ("/v1/messages", CHAT | {"max_tokens": 5}, "house"),
    ],
)
def test_the_model_of_a_line_is_told(endpoint: str, body: dict[str, Any], model: str | None) -> None:
    request = Lines(endpoint).read(1, line(url=endpoint, body=body))
    assert (request.model, request.operation) == (model, ENDPOINTS[endpoint])


def test_a_lenient_reader_leaves_bodies_to_whoever_runs_them() -> None:
    lines = Lines("/v1/messages", is_lenient=True)
    request = lines.read(1, line(url="/v1/messages", body={"model": 7}))
    assert (request.body, request.model) == (b'{"model": 7}', None)
    # A provider may be given those of one model.
    assert lines.read(2, line(url="/v1/messages", custom_id="b")).model == "house"
    with pytest.raises(InvalidRequest, match="already"):
        lines.read(3, line(url="/v1/messages"))
