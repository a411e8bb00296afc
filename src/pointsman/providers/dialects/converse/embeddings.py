"""Embeddings by InvokeModel: Amazon's Titan models, which take one input at a time, and Cohere's.

Sources: docs.aws.amazon.com/bedrock/latest/userguide (model-parameters-titan-embed-text, …-titan-embed-mm, …-embed-v3,
…-embed-v4).
"""

from __future__ import annotations

import re
from array import array
from base64 import b64encode
from sys import byteorder
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.converse.models import model_path
from pointsman.providers.dialects.converse.wire import UNREADABLE
from pointsman.providers.translation import Reply, Terms, UpstreamRequest
from pointsman.wire.usage import Usage, estimate_tokens

_DATA_URL: Final = re.compile(r"data:image/[\w.+-]+;base64,")
_COMMON: Final = frozenset({"model", "input", "encoding_format", "dimensions"})
_COHERES: Final = frozenset({"input_type", "truncate", "max_tokens"})
_TITANS: Final = frozenset({"normalize"})
_DEFAULT_INPUT_TYPE: Final = "search_document"
"""Cohere's models insist on one; this is LiteLLM's."""
_encode: Final = msgspec.json.Encoder().encode


class _Answer(msgspec.Struct, rename="camel"):
    """Titan's, or Cohere's with one or several kinds of embeddings."""

    embedding: list[float] | None = None
    embeddings: list[list[float]] | dict[str, list[list[float]]] | None = None
    input_text_token_count: int | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for the model, Cohere's if its name says so.

    :raises InvalidRequest: it is not valid, or is for several inputs and the model takes one
    """
    texts = _texts(body.get("input"))
    is_cohere = "cohere" in terms.model.lower()
    written = _cohere(body, texts, terms) if is_cohere else _titan(body, texts, terms)
    known = _COMMON | (_COHERES if is_cohere else _TITANS)
    for name, value in body.items():
        if name in known or value is None or name in terms.drops:
            continue
        if name in terms.allowed:
            written[name] = value
        else:
            terms.lose(name)
    return UpstreamRequest(path=model_path(base_path, terms.model, "invoke"), body=_encode(written))


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """The answer as OpenAI has it. Where the model does not count its input, that is estimated.

    :raises UpstreamBroken: it is none
    """
    try:
        wire = _ANSWER.decode(answer)
    except UNREADABLE:
        raise UpstreamBroken("The provider sent something that is no answer") from None
    found = wire.embeddings if wire.embedding is None else [wire.embedding]
    vectors = found.get("float") if isinstance(found, dict) else found
    if not vectors:
        raise UpstreamBroken("The provider's answer has no embeddings")
    is_packed = request.get("encoding_format") == "base64"
    n_tokens = wire.input_text_token_count
    if n_tokens is None:
        n_tokens = sum(estimate_tokens(len(text.encode())) for text in _texts(request.get("input")))
    body = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if is_packed else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": request.get("model"),
        "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
    }
    return Reply(body=_encode(body), usage=Usage(input_tokens=n_tokens, total_tokens=n_tokens))


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise InvalidRequest("input must be a text or a list of texts", param="input")
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequest("This model takes texts, no tokens", param=f"input[{at}]")
    return texts


def _titan(body: dict[str, Any], texts: list[str], terms: Terms) -> dict[str, Any]:
    if len(texts) > 1:
        raise InvalidRequest("This model takes one text in a request; send them one by one", param="input")
    dimensions = None if "dimensions" in terms.drops else body.get("dimensions")
    is_multimodal = "embed-image" in terms.model
    written: dict[str, Any] = {"inputText": texts[0]}
    data_url = _DATA_URL.match(texts[0]) if is_multimodal else None
    if data_url is not None:
        written = {"inputImage": texts[0][data_url.end() :]}
    if dimensions is not None and is_multimodal:
        written["embeddingConfig"] = {"outputEmbeddingLength": dimensions}
    elif dimensions is not None and "embed-text-v1" not in terms.model:
        written["dimensions"] = dimensions
    elif dimensions is not None:
        terms.lose("dimensions")
    if body.get("normalize") is not None and "normalize" not in terms.drops:
        written["normalize"] = body["normalize"]
    return written


def _cohere(body: dict[str, Any], texts: list[str], terms: Terms) -> dict[str, Any]:
    are_images = [_DATA_URL.match(text) is not None for text in texts]
    if any(are_images) and not all(are_images):
        raise InvalidRequest("This model takes either texts or images in a request", param="input")
    given = {name: body[name] for name in _COHERES if body.get(name) is not None and name not in terms.drops}
    has_dimensions = "embed-v4" in terms.model
    default = "image" if are_images[0] and not has_dimensions else _DEFAULT_INPUT_TYPE
    written = {"input_type": default, **given, "images" if are_images[0] else "texts": texts}
    dimensions = None if "dimensions" in terms.drops else body.get("dimensions")
    if dimensions is not None and has_dimensions:
        written["output_dimension"] = dimensions
    elif dimensions is not None:
        terms.lose("dimensions")
    if has_dimensions:
        written["embedding_types"] = ["float"]
    return written


def _packed(vector: list[float]) -> str:
    """Base64 of 32-bit numbers, little end first."""
    numbers = array("f", vector)
    if byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()
