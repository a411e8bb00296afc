"""Google Vertex AI: Google's own models, those of partners in the format of their makers, and open ones.

Everything lies below ``/v1/projects/PROJECT/locations/LOCATION``. The publisher is found from the model's name:

1. Gemini and Google's embeddings, in Google's format, below ``publishers/google``;
2. Claude, below ``publishers/anthropic``, in Anthropic's format without ``model`` and with ``anthropic_version``;
3. Mistral and AI21, below ``publishers/mistralai`` and ``publishers/ai21``, in OpenAI's format;
4. every other ``publisher/model``, OpenAI-compatible below ``endpoints/openapi``;
5. a number is an endpoint of the project's own: ``openai/NUMBER`` speaks OpenAI's format, any other Google's.

Without a project it is express mode: an API key, and paths without project and location.

Sources: cloud.google.com/vertex-ai/generative-ai/docs (model-reference/inference, partner-models/claude/use-claude,
maas/call-open-model-apis, start/express-mode), docs.cloud.google.com/vertex-ai/docs/general/locations.
"""

from __future__ import annotations

from typing import Any

from pointsman.providers.base import VendorOptions
from pointsman.wire.address import segment
from pointsman.wire.operations import COUNT_TOKENS, EMBEDDINGS, GEMINI_COUNT_TOKENS, OPERATIONS

DEFAULT_LOCATION = "us-central1"
"""LiteLLM's, where the operator names none."""
ANTHROPIC_VERSION = "vertex-2023-10-16"
_GOOGLE, _ANTHROPIC = "google", "anthropic"
_GEMINI = "gemini"
_WITH_IDS = ("functionCall", "functionResponse", "function_call", "function_response")
"""Members of a part that have an id in the Gemini API and none here."""
_RAW = {"mistral": "mistralai", "codestral": "mistralai", "jamba": "ai21"}
"""Makers whose models are called in OpenAI's format by ``:rawPredict``, by how the names of those begin."""
_OWN_PREFIXES = ("gemini/", "google/", "anthropic/", "mistralai/", "ai21/")
_VERSIONS = ("/v1", "/v1beta1")
_PATHS = {operation.name: operation.path for operation in OPERATIONS}


def dialect(model: str) -> str:
    """``gemini``, ``anthropic`` or ``openai``."""
    publisher = _publisher(name(model))
    return {_GOOGLE: _GEMINI, _ANTHROPIC: "anthropic"}.get(publisher or "", "openai")


def name(model: str) -> str:
    """The model as its publisher calls it; in the OpenAI-compatible API the publisher is part of the name."""
    for prefix in _OWN_PREFIXES:
        model = model.removeprefix(prefix)
    return model


def base_url(options: VendorOptions, api_base: str | None) -> str | None:
    """The operator's address, or the location's: a region, a continent (``us``, ``eu``) or ``global``."""
    if api_base is not None:
        return api_base.rstrip("/")
    location = options.location or DEFAULT_LOCATION
    if location == "global" or options.project is None:
        return "https://aiplatform.googleapis.com"
    if "-" not in location:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def root(base_path: str, model: str, options: VendorOptions) -> str:
    """Where the models of a publisher lie; ``/models/NAME:verb`` follows."""
    return f"{_place(base_path, options)}/publishers/{_publisher(name(model)) or _GOOGLE}"


def path(base_path: str, operation: str, model: str, *, is_stream: bool, options: VendorOptions) -> str | None:
    """Path and query of an operation; ``None`` for those that the model's publisher has not."""
    called = name(model)
    publisher = _publisher(called)
    place = _place(base_path, options)
    if publisher is None:
        below = _PATHS.get(operation)
        endpoint = called.removeprefix("openai/")
        endpoint = endpoint if endpoint.isdecimal() else "openapi"
        return None if below is None else f"{place}/endpoints/{endpoint}{below}"
    if publisher == _ANTHROPIC and operation == COUNT_TOKENS.name:
        return f"{place}/publishers/{publisher}/models/count-tokens:rawPredict"
    if called.isdecimal():
        where = f"{place}/endpoints/{called}"
    else:
        where = f"{place}/publishers/{publisher}/models/{segment(called)}"
    return f"{where}:{_verb(publisher, operation, is_stream=is_stream)}"


def adapt(operation: str, model: str, body: dict[str, Any]) -> dict[str, Any]:
    """What is different here.

    In Claude's body the model stands in the path, unless tokens are counted, and the version in the body. In Gemini's
    calls of functions and their results have no ids: they belong together by name and order.
    """
    called = dialect(model)
    if called == _GEMINI:
        return _without_ids(body)
    if called != _ANTHROPIC:
        return body
    if "anthropic_version" not in body:
        body["anthropic_version"] = ANTHROPIC_VERSION
    if operation != COUNT_TOKENS.name:
        body.pop("model", None)
    return body


def _without_ids(body: dict[str, Any]) -> dict[str, Any]:
    contents = body.get("contents")
    for content in contents if isinstance(contents, list) else (contents,):
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            for name in _WITH_IDS if isinstance(part, dict) else ():
                if isinstance(inner := part.get(name), dict):
                    inner.pop("id", None)
    return body


def _publisher(called: str) -> str | None:
    """Whose model it is, of those that have a format or path of their own."""
    lower = called.lower()
    if "/" in lower:
        return None
    if "claude" in lower:
        return _ANTHROPIC
    return next((maker for start, maker in _RAW.items() if lower.startswith(start)), _GOOGLE)


def _place(base_path: str, options: VendorOptions) -> str:
    """Project and location below the address, unless it names them itself."""
    base = base_path.rstrip("/")
    if "/projects/" in base or "/publishers/" in base:
        return base.partition("/publishers/")[0]
    if not base.endswith(_VERSIONS):
        base += "/v1beta1" if options.api_version == "v1beta1" else "/v1"
    if options.project is None:
        return base
    location = options.location or DEFAULT_LOCATION
    return f"{base}/projects/{segment(options.project)}/locations/{segment(location)}"


def _verb(publisher: str, operation: str, *, is_stream: bool) -> str:
    if publisher != _GOOGLE:
        return "streamRawPredict" if is_stream else "rawPredict"
    if operation in {GEMINI_COUNT_TOKENS.name, COUNT_TOKENS.name}:
        return "countTokens"
    if operation == EMBEDDINGS.name:
        return "predict"
    return "streamGenerateContent?alt=sse" if is_stream else "generateContent"
