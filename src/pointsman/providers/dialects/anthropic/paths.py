"""Where operations are found."""

from __future__ import annotations

from typing import Final

_PATHS: Final = {"count_tokens": "/messages/count_tokens"}
_MESSAGES: Final = "/messages"


def path(base_path: str, operation: str, model: str, *, is_stream: bool) -> str:  # noqa: ARG001  the model and the stream are in the body
    """Path of an operation: ``count_tokens``, or messages for every other name.

    ``base_path`` may end in ``/v1``, or in ``/messages`` itself as LiteLLM's users write it.
    """
    base = base_path.rstrip("/").removesuffix(_MESSAGES)
    root = base if base.endswith("/v1") else f"{base}/v1"
    return root + _PATHS.get(operation, _MESSAGES)
