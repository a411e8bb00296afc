"""Embeddings by batchEmbedContents of the Gemini API."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.gemini.paths import model_path, resource
from pointsman.providers.dialects.gemini.vectors import dimensions_of, own_options, reply, texts_of
from pointsman.providers.translation import Reply, Terms, UpstreamRequest

_OWN: Final = ("taskType", "title", "outputDimensionality")


class _Embedding(msgspec.Struct):
    values: list[float]


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None


class _Answer(msgspec.Struct, rename="camel"):
    embeddings: list[_Embedding]
    usage_metadata: _Usage | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for Google; ``body`` is OpenAI's. ``task_type`` and ``title`` are Google's own and sent on.

    :raises InvalidRequest: ``input`` is not made of texts
    """
    options = dimensions_of(body, terms) | own_options(body, _OWN, terms)
    model = resource(terms.model)
    requests = [{"model": model, "content": {"parts": [{"text": text}]}} | options for text in texts_of(body)]
    path = model_path(base_path, terms.model, "batchEmbedContents")
    return UpstreamRequest(path=path, body=msgspec.json.encode({"requests": requests}))


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """Google's answer as OpenAI's; ``request`` is the client's body.

    :raises UpstreamBroken: it is none
    """
    try:
        found = _ANSWER.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer has no embeddings") from None
    usage = found.usage_metadata
    n_tokens = usage.prompt_token_count if usage is not None else None
    return reply([embedding.values for embedding in found.embeddings], n_tokens, request)
