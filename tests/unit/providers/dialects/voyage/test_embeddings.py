from __future__ import annotations

import json

import pytest

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.voyage.embeddings import read, write
from pointsman.providers.translation import Terms
from pointsman.wire.usage import Usage


def test_size_and_type_have_voyages_names() -> None:
    terms = Terms(model="voyage-3.5", drops=frozenset({"y"}))
    body = {"input": "a", "dimensions": 256, "encoding_format": "float", "input_type": "query", "user": "u", "y": 1}
    sent = write(body, terms, "/v1")
    assert sent.path == "/v1/embeddings"
    expected = {"model": "voyage-3.5", "input": ["a"], "output_dimension": 256, "input_type": "query"}
    assert json.loads(sent.body) == expected
    assert terms.lost == ["user"]
    allowed = Terms(model="m", allowed=frozenset({"dimensions", "x"}))
    sent = write({"input": ["a"], "encoding_format": "base64", "dimensions": 1, "x": 2}, allowed, "")
    assert json.loads(sent.body) == {"model": "m", "input": ["a"], "encoding_format": "base64", "dimensions": 1, "x": 2}


@pytest.mark.parametrize("given", [None, [], 7, [1, 2], [[1, 2]], ["a", 1]])
def test_tokens_are_refused(given: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        write({"input": given}, Terms(model="m"), "")
    assert caught.value.param == "input"


def test_the_answer_is_openais() -> None:
    data = [{"object": "embedding", "embedding": [0.5], "index": 0}]
    answer = {"object": "list", "data": data, "model": "voyage-3.5", "usage": {"total_tokens": 10}}
    reply = read(json.dumps(answer).encode(), {"model": "public"})
    usage = {"prompt_tokens": 10, "total_tokens": 10}
    assert json.loads(reply.body) == {"object": "list", "data": data, "model": "public", "usage": usage}
    assert reply.usage == Usage(input_tokens=10, total_tokens=10)
    assert "usage" not in json.loads(read(b'{"data": []}', {}).body)


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"data": [1]}', b'{"data": [{"a": "\xff"}]}'])
def test_what_is_no_answer_is_broken(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(answer, {})
