"""What the two embeddings APIs of Google's have in common: OpenAI's side of them."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.schemas import camel
from pointsman.providers.translation import Reply, Terms
from pointsman.wire.usage import Usage, estimate_tokens

_UNDERSTOOD: Final = frozenset({"model", "input", "dimensions", "encoding_format"})
_encode: Final = msgspec.json.Encoder().encode


def texts_of(body: dict[str, Any]) -> list[str]:
    """The texts of ``input``.

    :raises InvalidRequest: there are none; Google takes no tokens
    """
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("input must be a text or a list of texts for this model", param="input")
    return texts


def own_options(body: dict[str, Any], names: tuple[str, ...], terms: Terms) -> dict[str, Any]:
    """Google's own parameters among the members of ``body``, by their names in camel case. Others are lost."""
    own: dict[str, Any] = {}
    for name, value in body.items():
        if name in _UNDERSTOOD or name in terms.drops or value is None:
            continue
        if camel(name) in names:
            own[camel(name)] = value
        else:
            terms.lose(name)
    return own


def dimensions_of(body: dict[str, Any], terms: Terms) -> dict[str, Any]:
    """``outputDimensionality``, if it is asked for."""
    wanted = body.get("dimensions")
    return {} if wanted is None or "dimensions" in terms.drops else {"outputDimensionality": wanted}


def reply(vectors: list[list[float]], n_tokens: int | None, request: dict[str, Any]) -> Reply:
    """OpenAI's answer. Where Google counts no tokens they are estimated."""
    is_base64 = request.get("encoding_format") == "base64"
    if n_tokens is None:
        n_tokens = sum(estimate_tokens(len(text.encode())) for text in texts_of(request))
    data = [
        {"object": "embedding", "index": at, "embedding": _base64(vector) if is_base64 else vector}
        for at, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    answer = {"object": "list", "data": data, "model": request.get("model"), "usage": usage}
    return Reply(body=_encode(answer), usage=Usage(input_tokens=n_tokens, total_tokens=n_tokens))


def _base64(vector: list[float]) -> str:
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
