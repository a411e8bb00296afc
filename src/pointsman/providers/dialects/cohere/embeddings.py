"""Embeddings by embed v2.

The models since version 3 want to know what the vectors are for: ``input_type`` of the body, which OpenAI has not,
and ``search_document`` without it. Inputs that are ``data:image/`` URLs are embedded as images.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.cohere.answers import count
from pointsman.providers.dialects.cohere.paths import native_path
from pointsman.providers.translation import Reply, Terms, UpstreamRequest
from pointsman.wire.usage import Usage

_OWN: Final = frozenset({"input_type", "truncate", "max_tokens", "priority", "embedding_types", "images", "inputs"})
_UNDERSTOOD: Final = frozenset({"model", "input", "dimensions", "encoding_format"})
_IMAGE: Final = "data:image/"
_encode: Final = msgspec.json.Encoder().encode


class _Billed(msgspec.Struct):
    input_tokens: float = 0
    image_tokens: float = 0
    images: float = 0


class _Meta(msgspec.Struct):
    billed_units: _Billed | None = None


class _Answer(msgspec.Struct):
    embeddings: dict[str, list[Any] | None]
    meta: _Meta | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for Cohere; ``body`` is OpenAI's. Parameters of Cohere's own are sent on.

    :raises InvalidRequest: ``input`` is not made of texts
    """
    written: dict[str, Any] = {"model": terms.model} | _inputs(body)
    wanted = "base64" if body.get("encoding_format") == "base64" else "float"
    written |= {"embedding_types": [wanted], "input_type": "image" if "images" in written else "search_document"}
    if body.get("dimensions") is not None and "dimensions" not in terms.drops:
        written["dimensions" if "dimensions" in terms.allowed else "output_dimension"] = body["dimensions"]
    for name, value in body.items():
        if name in _UNDERSTOOD or name in terms.drops or value is None:
            continue
        if name in _OWN or name in terms.allowed:
            written[name] = value
        else:
            terms.lose(name)
    return UpstreamRequest(path=native_path(base_path, "/embed"), body=_encode(written))


def _inputs(body: dict[str, Any]) -> dict[str, Any]:
    given = body.get("input")
    if given is None and (body.get("inputs") or body.get("images")):
        return {}
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("input must be a text or a list of texts for this model", param="input")
    n_images = sum(text.startswith(_IMAGE) for text in texts)
    if n_images == 0:
        return {"texts": texts}
    return (
        {"images": texts} if n_images == len(texts) else {"inputs": [{"content": [_content(text)]} for text in texts]}
    )


def _content(text: str) -> dict[str, Any]:
    if text.startswith(_IMAGE):
        return {"type": "image_url", "image_url": {"url": text}}
    return {"type": "text", "text": text}


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """Cohere's answer as OpenAI's; of several types of vectors the first. ``request`` is the client's body.

    :raises UpstreamBroken: it is none
    """
    try:
        found = _ANSWER.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer has no embeddings") from None
    kinds = [vectors for vectors in found.embeddings.values() if vectors is not None]
    if not kinds:
        raise UpstreamBroken("The provider's answer has no embeddings")
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(kinds[0])]
    usage = _usage(found.meta)
    reply: dict[str, Any] = {"object": "list", "data": data, "model": request.get("model")}
    if usage is not None:
        reply["usage"] = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.total_tokens}
    return Reply(body=_encode(reply), usage=usage)


def _usage(meta: _Meta | None) -> Usage | None:
    billed = meta.billed_units if meta is not None else None
    if billed is None:
        return None
    n_image_tokens = count(billed.image_tokens)
    n_tokens = count(billed.input_tokens) + n_image_tokens
    return Usage(
        input_tokens=n_tokens,
        total_tokens=n_tokens,
        image_input_tokens=n_image_tokens,
        images=count(billed.images),
    )
