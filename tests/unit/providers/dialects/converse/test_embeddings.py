from __future__ import annotations

import struct
from base64 import b64decode
from typing import Any

import msgspec
import pytest

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.converse.embeddings import read, write
from pointsman.providers.translation import Terms
from pointsman.wire.usage import Usage

V1, V2 = "amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"
MULTIMODAL = "amazon.titan-embed-image-v1"
COHERE_3, COHERE_4 = "cohere.embed-english-v3", "us.cohere.embed-v4:0"
PNG = "data:image/png;base64,iVBORw0KGgo="


def written(model: str, terms: Terms | None = None, **body: Any) -> dict[str, Any]:
    terms = terms or Terms(model=model)
    found: dict[str, Any] = msgspec.json.decode(write({"model": "m", **body}, terms, "/base").body)
    return found


@pytest.mark.parametrize(
    ("model", "body", "native"),
    [
        (V1, {"input": "Hi"}, {"inputText": "Hi"}),
        (V2, {"input": ["Hi"], "dimensions": 256, "normalize": False},
         {"inputText": "Hi", "dimensions": 256, "normalize": False}),
        (MULTIMODAL, {"input": "Hi", "dimensions": 384},
         {"inputText": "Hi", "embeddingConfig": {"outputEmbeddingLength": 384}}),
        (MULTIMODAL, {"input": [PNG]}, {"inputImage": "iVBORw0KGgo="}),
        (V2, {"input": PNG}, {"inputText": PNG}),
        (COHERE_3, {"input": ["a", "b"], "encoding_format": "base64"},
         {"input_type": "search_document", "texts": ["a", "b"]}),
        (COHERE_3, {"input": "a", "input_type": "search_query", "truncate": "END"},
         {"input_type": "search_query", "truncate": "END", "texts": ["a"]}),
        (COHERE_3, {"input": [PNG]}, {"input_type": "image", "images": [PNG]}),
        (COHERE_4, {"input": ["a"], "dimensions": 512},
         {"input_type": "search_document", "texts": ["a"], "output_dimension": 512, "embedding_types": ["float"]}),
    ],
)  # fmt: skip
def test_a_request_is_written_for_the_model(model: str, body: dict[str, Any], native: dict[str, Any]) -> None:
    terms = Terms(model=model)
    assert written(model, terms, **body) == native
    assert terms.lost == []


def test_the_path_names_the_model() -> None:
    assert write({"input": "x"}, Terms(model=V2), "/base").path == "/base/model/amazon.titan-embed-text-v2%3A0/invoke"


@pytest.mark.parametrize(
    ("model", "given", "param"),
    [
        (V2, ["a", "b"], "input"),
        (V2, [], "input"),
        (V2, None, "input"),
        (V2, [1, 2], "input[0]"),
        (COHERE_3, ["a", [1]], "input[1]"),
        (COHERE_3, ["a", PNG], "input"),
    ],
)
def test_an_input_that_the_model_cannot_take_is_refused(model: str, given: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as failure:
        written(model, input=given)
    assert failure.value.param == param


@pytest.mark.parametrize("model", [V1, COHERE_3])
def test_dimensions_and_unknown_parameters_are_lost_dropped_or_sent(model: str) -> None:
    terms = Terms(model=model, drops=frozenset({"x"}), allowed=frozenset({"y"}))
    native = written(model, terms, input="a", dimensions=64, user="u", x=1, y=2, z=None)
    assert native["y"] == 2
    assert set(native) & {"dimensions", "x", "user", "z"} == set()
    assert terms.lost == ["dimensions", "user"]


def test_dimensions_can_be_dropped() -> None:
    for model in (V1, V2, MULTIMODAL, COHERE_3, COHERE_4):
        terms = Terms(model=model, drops=frozenset({"dimensions", "normalize"}))
        assert written(model, terms, input="a", dimensions=64) == written(model, input="a")
        assert terms.lost == []


@pytest.mark.parametrize(
    ("answer", "request_", "vectors", "n_tokens"),
    [
        (b'{"embedding":[0.5,-1],"inputTextTokenCount":4,"embeddingsByType":{"float":[0.5,-1]}}',
         {"input": "x"}, [[0.5, -1]], 4),
        (b'{"embeddings":[[1],[2]],"id":"i","response_type":"embeddings_floats","texts":["a","b"]}',
         {"input": ["1234567", "1234567"]}, [[1], [2]], 4),
        (b'{"embeddings":{"float":[[1.5]]},"id":"i","response_type":"embeddings_by_type"}', {"input": ""}, [[1.5]], 0),
    ],
)  # fmt: skip
def test_an_answer_is_read_as_openais(
    answer: bytes, request_: dict[str, Any], vectors: list[list[float]], n_tokens: int
) -> None:
    reply = read(answer, request_ | {"model": "public"})
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    assert msgspec.json.decode(reply.body) == {"object": "list", "data": data, "model": "public", "usage": usage}
    assert reply.usage == Usage(input_tokens=n_tokens, total_tokens=n_tokens)


def test_numbers_are_packed_for_clients_that_ask_for_it() -> None:
    reply = read(b'{"embedding":[0.5,-1.25],"inputTextTokenCount":1}', {"input": "x", "encoding_format": "base64"})
    packed = msgspec.json.decode(reply.body)["data"][0]["embedding"]
    assert struct.unpack("<2f", b64decode(packed)) == (0.5, -1.25)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"\xff":1}',
        b"",
        b"{}",
        b'{"embedding":"x"}',
        b'{"embeddings":{"int8":[[1]]}}',
        b'{"embeddings":[]}',
        b'{"message":"x"}',
    ],
)
def test_what_is_no_answer_is_a_broken_upstream(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        read(answer, {"input": "x"})
