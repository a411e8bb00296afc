"""Where operations are found below the address of a deployment.

The address may point at the bare host, at ``/api`` or at the OpenAI wire's root ``/v1``.
"""

from __future__ import annotations

from typing import Final

from pointsman.wire.operations import OPERATIONS

_ENDS: Final = ("/api/chat", "/api/embed", "/api", "/v1")
_PATHS: Final = {operation.name: operation.path for operation in OPERATIONS}


def path(base_path: str, operation: str, model: str, *, is_stream: bool) -> str:
    """Path of ``chat``, or of an operation on the OpenAI wire, which Ollama serves beside its own.

    Neither ``model`` nor ``is_stream`` is in it.
    """
    del model, is_stream
    if operation == "chat":
        return native_path(base_path, "chat")
    return f"{_host(base_path)}/v1{_PATHS[operation]}"


def native_path(base_path: str, name: str) -> str:
    """Path of ``chat`` or ``embed``."""
    return f"{_host(base_path)}/api/{name}"


def _host(base_path: str) -> str:
    base = base_path.rstrip("/")
    return base.removesuffix(next((end for end in _ENDS if base.endswith(end)), ""))
