"""Azure OpenAI: deployments below a resource, and the v1 API that needs neither deployments nor versions.

An address is a resource (``https://NAME.openai.azure.com``), possibly behind a path of the operator's own. It may also
name a deployment already (``.../openai/deployments/NAME``), or the root of the v1 API (``.../openai/v1``).

Sources: learn.microsoft.com/azure/foundry/openai/reference, .../api-version-lifecycle.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pointsman.providers.base import VendorOptions
from pointsman.wire.address import segment
from pointsman.wire.operations import OPERATIONS, RESPONSES

DEFAULT_VERSION = "2025-02-01-preview"
"""LiteLLM's; sent where the operator names none."""
V1_VERSIONS = frozenset({"v1", "latest", "preview"})
V1 = "/openai/v1"
_DEPLOYMENTS = "/openai/deployments/"
_CLOUDFLARE = "/azure-openai/"
"""Cloudflare's gateway names the resource in its own path, and the deployment right after it."""
_SPELLINGS = ("responses/", "o_series/", "gpt5_series/")
"""What LiteLLM's users put before the name of a deployment to say how it is to be called."""
_PATHS = {operation.name: operation.path for operation in OPERATIONS}


def dialect(model: str) -> str:
    """``responses`` where the operator asks for it by ``azure/responses/NAME``, else ``openai``."""
    return "responses" if model.startswith("responses/") else "openai"


def name(model: str) -> str:
    """The name of the deployment."""
    for spelling in _SPELLINGS:
        model = model.removeprefix(spelling)
    return model


def base_url(_options: VendorOptions, api_base: str | None) -> str | None:
    """The operator's address; a resource cannot be guessed."""
    return api_base


def root(base_path: str, _model: str, _options: VendorOptions) -> str:
    """All paths are made by :func:`path`."""
    return base_path


def path(base_path: str, operation: str, model: str, *, is_stream: bool, options: VendorOptions) -> str | None:  # noqa: ARG001  streams have no path of their own
    """Path and query of an operation of the OpenAI wire; ``None`` for others."""
    below = _PATHS.get(operation)
    if below is None:
        return None
    base = base_path.rstrip("/")
    version = options.api_version
    query = f"?api-version={quote(version or DEFAULT_VERSION, safe='')}"
    if _DEPLOYMENTS in base:
        return (base if base.endswith(below) else base + below) + query
    # Responses came to Azure with the v1 API.
    if version in V1_VERSIONS or base.endswith(V1) or (operation == RESPONSES.name and version is None):
        return v1_root(base) + below + ("?api-version=preview" if version == "preview" else "")
    if _CLOUDFLARE in base:
        return f"{base}/{segment(name(model))}{below}{query}"
    base = base.removesuffix("/openai")
    if operation == RESPONSES.name:
        return f"{base}/openai{below}{query}"
    return f"{base}{_DEPLOYMENTS}{segment(name(model))}{below}{query}"


def v1_root(base: str) -> str:
    """Where the v1 API begins, below a resource or what of it was given."""
    resource = base.partition(_DEPLOYMENTS)[0].rstrip("/")
    return resource.removesuffix(V1).removesuffix("/openai") + V1


def called(base: str, model: str) -> str:
    """The name of the deployment: an address that names one goes before the model."""
    return base.partition(_DEPLOYMENTS)[2].partition("/")[0] or name(model)


def adapt(_operation: str, _model: str, body: dict[str, Any]) -> dict[str, Any]:
    """Bodies are OpenAI's."""
    return body
