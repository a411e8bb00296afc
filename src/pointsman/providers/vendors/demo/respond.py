"""One request in, one reply out."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from pointsman.errors import GatewayError, MethodNotAllowed, RouteNotFound
from pointsman.providers.vendors.demo.audio import speech, transcribe
from pointsman.providers.vendors.demo.chat import chat, completions
from pointsman.providers.vendors.demo.images import edit_image, generate_image
from pointsman.providers.vendors.demo.names import MODELS, DemoModel
from pointsman.providers.vendors.demo.reply import DemoReply, error_reply, json_reply
from pointsman.providers.vendors.demo.responses import responses
from pointsman.providers.vendors.demo.vectors import embeddings, moderations, rerank

_Endpoint = Callable[[bytes, float], DemoReply]

_ENDPOINTS: Final[MappingProxyType[str, _Endpoint]] = MappingProxyType(
    {
        "/chat/completions": chat,
        "/completions": completions,
        "/responses": responses,
        "/embeddings": embeddings,
        "/images/generations": generate_image,
        "/images/edits": edit_image,
        "/images/variations": edit_image,
        "/audio/transcriptions": transcribe,
        "/audio/translations": transcribe,
        "/audio/speech": speech,
        "/moderations": moderations,
        "/rerank": rerank,
    }
)


def respond(method: bytes, target: bytes, body: bytes, *, now: float) -> DemoReply:
    """Answers a request as an OpenAI-wire upstream would; errors are replies too.

    ``target`` is a path with or without ``/v1`` before it; ``now`` is Unix time in seconds.
    """
    path = target.partition(b"?")[0].decode("latin-1").removeprefix("/v1")
    try:
        return _route(method, path, body, now)
    except GatewayError as error:
        return error_reply(error)


def _route(method: bytes, path: str, body: bytes, now: float) -> DemoReply:
    if path == "/models" or path.startswith("/models/"):
        if method != b"GET":
            raise MethodNotAllowed
        return _models(path.removeprefix("/models").removeprefix("/"), now)
    endpoint = _ENDPOINTS.get(path)
    if endpoint is None:
        raise RouteNotFound("The demo has no such endpoint")
    if method != b"POST":
        raise MethodNotAllowed
    return endpoint(body, now)


def _models(name: str, now: float) -> DemoReply:
    if not name:
        return json_reply({"object": "list", "data": [_listing(model, now) for model in MODELS]})
    for model in MODELS:
        if model.name == name.removeprefix("demo/"):
            return json_reply(_listing(model, now))
    raise RouteNotFound("The demo has no such model", code="model_not_found")


def _listing(model: DemoModel, now: float) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": int(now), "owned_by": "pointsman-demo"}
