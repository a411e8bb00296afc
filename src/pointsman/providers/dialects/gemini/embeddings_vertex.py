"""Embeddings by predict of Vertex AI."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.gemini.paths import model_path
from pointsman.providers.dialects.gemini.vectors import dimensions_of, own_options, reply, texts_of
from pointsman.providers.translation import Reply, Terms, UpstreamRequest

_OF_INSTANCES: Final = {"taskType": "task_type", "title": "title"}
_OF_PARAMETERS: Final = ("outputDimensionality", "autoTruncate")


class _Statistics(msgspec.Struct):
    token_count: float | None = None


class _Embedding(msgspec.Struct):
    values: list[float]
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Embedding


class _Answer(msgspec.Struct):
    predictions: list[_Prediction]


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def write(body: dict[str, Any], terms: Terms, base_path: str) -> UpstreamRequest:
    """The request for Vertex; ``body`` is OpenAI's. Google's own parameters are sent on.

    :raises InvalidRequest: ``input`` is not made of texts
    """
    options = dimensions_of(body, terms) | own_options(body, (*_OF_INSTANCES, *_OF_PARAMETERS), terms)
    beside = {own: options[name] for name, own in _OF_INSTANCES.items() if name in options}
    wanted: dict[str, Any] = {"instances": [{"content": text} | beside for text in texts_of(body)]}
    parameters = {name: options[name] for name in _OF_PARAMETERS if name in options}
    if parameters:
        wanted["parameters"] = parameters
    path = model_path(base_path, terms.model, "predict")
    return UpstreamRequest(path=path, body=msgspec.json.encode(wanted))


def read(answer: bytes, request: dict[str, Any]) -> Reply:
    """Vertex's answer as OpenAI's; ``request`` is the client's body.

    :raises UpstreamBroken: it is none
    """
    try:
        found = _ANSWER.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBroken("The provider's answer has no embeddings") from None
    embeddings = [prediction.embeddings for prediction in found.predictions]
    counts = [each.statistics.token_count for each in embeddings if each.statistics is not None]
    known = [count for count in counts if count is not None]
    n_tokens = round(sum(known)) if known and len(known) == len(embeddings) else None
    return reply([each.values for each in embeddings], n_tokens, request)
