"""Embeddings: OpenAI's shape, with other names for the size and the type of the vectors."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.voyage.paths import path_of
from pointsman.providers.translation import Reply, Terms, UpstreamRequest
from pointsman.wire.usage import find_usage

_PATH: Final = "/embeddings"
_OWN: Final = frozenset({"input_type", "truncation", "output_dimension", "output_dtype"})
_UNDERSTOOD: Final = frozenset({"model", "input", "dimensions", "encoding_format"})
_encode: Final = msgspec.json.Encoder().encode


class _Answer(msgspec.Struct):
    data: list[dict[str, Any]]


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for Voyage; ``body`` is OpenAI's. Parameters of Voyage's own are sent on.

    :raises InvalidRequest: ``input`` is not made of texts
    """
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("input must be a text or a list of texts for this model", param="input")
    written: dict[str, Any] = {"model": terms.model, "input": texts}
    if body.get("dimensions") is not None and "dimensions" not in terms.drops:
        written["dimensions" if "dimensions" in terms.allowed else "output_dimension"] = body["dimensions"]
    if body.get("encoding_format") == "base64":  # the other format has no name here
        written["encoding_format"] = "base64"
    for name, value in body.items():
        if name in _UNDERSTOOD or name in terms.drops or value is None:
            continue
        if name in _OWN or name in terms.allowed:
            written[name] = value
        else:
            terms.lose(name)
    return UpstreamRequest(path=path_of(base_path, _PATH), body=_encode(written))


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """Voyage's answer as OpenAI's: it counts the tokens in all only. ``request`` is the client's body.

    :raises UpstreamBroken: it is none
    """
    try:
        found = _ANSWER.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer has no embeddings") from None
    usage = find_usage(answer)
    reply: dict[str, Any] = {"object": "list", "data": found.data, "model": request.get("model")}
    if usage is not None:
        reply["usage"] = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.total_tokens}
    return Reply(body=_encode(reply), usage=usage)
