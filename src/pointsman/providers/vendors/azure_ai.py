"""Azure AI Foundry: models of many makers below one resource, and endpoints of single models.

An address is a resource (``https://NAME.services.ai.azure.com``), one of its roots (``.../models``, ``.../openai/v1``,
``.../anthropic``), or a serverless endpoint (``https://NAME.REGION.models.ai.azure.com``), whose path is as given.

Sources: learn.microsoft.com/azure/foundry/foundry-models/concepts/endpoints, learn.microsoft.com/rest/api/aifoundry,
platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from pointsman.providers.base import VendorOptions
from pointsman.wire.operations import COUNT_TOKENS, OPERATIONS, RERANK

DEFAULT_VERSION = "2024-05-01-preview"
"""Of the model inference API below ``/models``, which refuses requests without a version."""
_V1_VERSIONS = frozenset({"v1", "latest", "preview"})
_ROOTS = ("/models", "/openai/v1", "/anthropic")
_PATHS = {operation.name: operation.path for operation in OPERATIONS}


def dialect(model: str) -> str:
    """``anthropic`` for Claude, else ``openai``."""
    return "anthropic" if "claude" in model.lower() else "openai"


def name(model: str) -> str:
    """The name of the deployment, which bodies hold."""
    return model


def base_url(_options: VendorOptions, api_base: str | None) -> str | None:
    """The operator's address; a bare resource stands for its model inference API."""
    if api_base is None:
        return None
    parts = urlsplit(api_base)
    is_bare = parts.path in {"", "/"} and (parts.hostname or "").endswith(".services.ai.azure.com")
    return api_base.rstrip("/") + "/models" if is_bare else api_base.rstrip("/")


def root(base_path: str, _model: str, _options: VendorOptions) -> str:
    """All paths are made by :func:`path`."""
    return base_path


def path(base_path: str, operation: str, model: str, *, is_stream: bool, options: VendorOptions) -> str | None:  # noqa: ARG001  streams have no path of their own
    """Path and query of an operation; ``None`` for those that nothing there has."""
    base = base_path.rstrip("/")
    if dialect(model) == "anthropic":
        below = "/v1/messages/count_tokens" if operation == COUNT_TOKENS.name else "/v1/messages"
        return f"{_resource(base)}/anthropic{below}"
    found = _PATHS.get(operation)
    if found is None:
        return None
    version = options.api_version
    if version in _V1_VERSIONS or base.endswith("/openai/v1"):
        return _resource(base) + "/openai/v1" + found + ("?api-version=preview" if version == "preview" else "")
    if operation == RERANK.name:
        return _rerank(base)
    if version is None and base.endswith("/models"):
        version = DEFAULT_VERSION
    whole = base if base.endswith(found) else base + found
    return whole if version is None else f"{whole}?api-version={quote(version, safe='')}"


def _resource(base: str) -> str:
    for one in _ROOTS:
        base = base.removesuffix(one)
    return base


def _rerank(base: str) -> str:
    """Cohere's own API, in which both a resource and a serverless endpoint take it."""
    if base.endswith("/models"):
        return base.removesuffix("/models") + "/providers/cohere/v2/rerank"
    return base.removesuffix("/v1") + "/v1/rerank"


def adapt(_operation: str, _model: str, body: dict[str, Any]) -> dict[str, Any]:
    """Bodies are OpenAI's or Anthropic's."""
    return body
