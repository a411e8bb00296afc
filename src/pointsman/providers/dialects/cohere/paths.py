"""Where operations are found below the address of a deployment.

The address may point at the bare host, at a root (``/v1``, ``/v2``, ``/compatibility/v1``), or at an operation
itself as LiteLLM's users write it (``/v2/chat``, ``/v2/rerank``).
"""

from __future__ import annotations

from typing import Final

from pointsman.wire.operations import OPERATIONS, RERANK, Operation

_OPENAI_ROOT: Final = "/compatibility/v1"
_NATIVE_ROOTS: Final = ("/v1", "/v2")
_NATIVE: Final = ("/chat", "/embed", RERANK.path)
_PATHS: Final = {operation.name: operation.path for operation in OPERATIONS}


def path(base_path: str, operation: str, model: str, *, is_stream: bool) -> str:
    """Path of ``chat``, or of an operation on the OpenAI wire, which Cohere serves beside its own.

    Neither ``model`` nor ``is_stream`` is in it.
    """
    del model, is_stream
    host = _split(base_path)[0]
    return f"{host}/v2/chat" if operation == "chat" else host + _OPENAI_ROOT + _PATHS[operation]


def native_path(base_path: str, below: str) -> str:
    """Path of ``/embed`` or ``/rerank``. Rerank may be asked of version 1, whose answers are the same."""
    host, root = _split(base_path)
    return f"{host}{root if below == RERANK.path else '/v2'}{below}"


def target(base_path: str, operation: Operation) -> bytes:
    """Path of an operation, all but rerank on the OpenAI wire."""
    if operation.name == RERANK.name:
        return native_path(base_path, RERANK.path).encode()
    return (_split(base_path)[0] + _OPENAI_ROOT + operation.path).encode()


def _split(base_path: str) -> tuple[str, str]:
    """What comes before the root, and the native root that is meant."""
    base = base_path.rstrip("/")
    if base.endswith(_OPENAI_ROOT):
        return base.removesuffix(_OPENAI_ROOT), "/v2"
    for below in _NATIVE:
        base = base.removesuffix(below)
    root = next((root for root in _NATIVE_ROOTS if base.endswith(root)), "/v2")
    return base.removesuffix(root), root
