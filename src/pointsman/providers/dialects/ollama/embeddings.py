"""Embeddings by embed."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.providers.dialects.ollama.answers import count
from pointsman.providers.dialects.ollama.paths import native_path
from pointsman.providers.translation import Reply, Terms, UpstreamRequest
from pointsman.wire.usage import Usage

_SAME: Final = frozenset({"dimensions", "truncate", "keep_alive", "options"})
_UNDERSTOOD: Final = frozenset({"model", "input", "encoding_format"})
_encode: Final = msgspec.json.Encoder().encode


class _Answer(msgspec.Struct):
    embeddings: list[list[float]]
    prompt_eval_count: Any = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for Ollama; ``body`` is OpenAI's. Parameters of Ollama's own are sent on.

    :raises InvalidRequest: ``input`` is not made of texts
    """
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("input must be a text or a list of texts for this model", param="input")
    written: dict[str, Any] = {"model": terms.model, "input": texts}
    for name, value in body.items():
        if name in _UNDERSTOOD or name in terms.drops or value is None:
            continue
        if name in _SAME or name in terms.allowed:
            written[name] = value
        else:
            terms.lose(name)
    return UpstreamRequest(path=native_path(base_path, "embed"), body=_encode(written))


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """Ollama's answer as OpenAI's; ``request`` is the client's body.

    :raises UpstreamBroken: it is none
    """
    try:
        found = _ANSWER.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer has no embeddings") from None
    is_base64 = request.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": at, "embedding": _base64(vector) if is_base64 else vector}
        for at, vector in enumerate(found.embeddings)
    ]
    reply: dict[str, Any] = {"object": "list", "data": data, "model": request.get("model")}
    n_tokens = count(found.prompt_eval_count)
    reply["usage"] = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return Reply(body=_encode(reply), usage=Usage(input_tokens=n_tokens, total_tokens=n_tokens))


def _base64(vector: list[float]) -> str:
    try:
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError:
        raise UpstreamBroken("The provider's answer has a number that is not one of 32 bits") from None
