from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.ollama.embeddings import read, write
from pointsman.providers.translation import Terms
from pointsman.wire.usage import Usage

ANSWER = {"model": "all-minilm", "embeddings": [[0.5, -1.0], [0.0, 2.0]], "prompt_eval_count": 8}


def sent(body: dict[str, Any], terms: Terms) -> dict[str, Any]:
    request = write(body, terms, "/v1")
    assert request.path == "/api/embed"
    found: dict[str, Any] = json.loads(request.body)
    return found


def test_a_request_is_written() -> None:
    terms = Terms(model="all-minilm", drops=frozenset({"y"}))
    body = {"model": "x", "input": "a", "dimensions": 2, "keep_alive": "5m", "encoding_format": "base64", "user": "u"}
    expected = {"model": "all-minilm", "input": ["a"], "dimensions": 2, "keep_alive": "5m"}
    assert sent(body | {"y": 1, "z": None}, terms) == expected
    assert terms.lost == ["user"]
    assert sent({"input": ["a"], "x": 1}, Terms(model="m", allowed=frozenset({"x"})))["x"] == 1


@pytest.mark.parametrize("given", [None, [], 7, [1, 2], [[1, 2]], ["a", 1]])
def test_tokens_are_refused(given: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent({"input": given}, Terms(model="m"))
    assert caught.value.param == "input"


def test_the_answer_is_openais() -> None:
    reply = read(json.dumps(ANSWER).encode(), {"model": "public"})
    assert json.loads(reply.body) == {
        "object": "list",
        "model": "public",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [0.0, 2.0]},
        ],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    assert reply.usage == Usage(input_tokens=8, total_tokens=8)


def test_vectors_are_base64_of_little_endian_floats_when_asked() -> None:
    reply = read(json.dumps(ANSWER).encode(), {"encoding_format": "base64"})
    vectors = [entry["embedding"] for entry in json.loads(reply.body)["data"]]
    first = b64encode(bytes.fromhex("0000003f000080bf")).decode()
    assert vectors[0] == first


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"embeddings": [1]}', b'{"embeddings": [["\xff"]]}'])
def test_what_is_no_answer_is_broken(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(answer, {})


def test_a_number_that_32_bits_do_not_hold_is_broken() -> None:
    with pytest.raises(UpstreamBroken):
        read(b'{"embeddings": [[1e300]]}', {"encoding_format": "base64"})


@pytest.mark.parametrize("n_tokens", ["-1", "null", '"x"', "1e300", str(2**70)])
def test_a_count_that_cannot_be_is_none(n_tokens: str) -> None:
    reply = read(b'{"embeddings": [], "prompt_eval_count": %s}' % n_tokens.encode(), {})
    assert reply.usage == Usage()
