"""Where things are found below the address of a deployment, and what a model's name tells about it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

_METHODS: Final = {
    "chat": "generateContent",
    "generate_content": "generateContent",
    "gemini_count_tokens": "countTokens",
}
_STREAMED: Final = "streamGenerateContent?alt=sse"
_VERSIONED: Final = re.compile(r"/v\d\w*(?:/|\Z)")
_LAST_VERSION: Final = re.compile(r"/v\d\w*\Z")
_VERSION: Final = "/v1beta"
_GENERATION: Final = re.compile(r"gemini-(\d+)")


def path(base_path: str, operation: str, model: str, *, is_stream: bool) -> str:
    """Path and query of ``chat``, ``generate_content`` or ``gemini_count_tokens``."""
    method = _METHODS[operation]
    if is_stream and method == "generateContent":
        method = _STREAMED
    return model_path(base_path, model, method)


def model_path(base_path: str, model: str, method: str) -> str:
    """Path of a method of a model.

    A base without a version gets ``/v1beta``. Whatever ``model`` is, it is one segment of the path: below ``models``,
    or below ``tunedModels`` if it says so.
    """
    base = base_path.rstrip("/")
    if not _VERSIONED.search(base):
        base += _VERSION
    return f"{base}/{resource(model)}:{method}"


def root(base_path: str) -> str:
    """Where the versions of the API begin."""
    return _LAST_VERSION.sub("", base_path.rstrip("/"))


def resource(model: str) -> str:
    """``models/...`` or ``tunedModels/...``, percent-encoded."""
    collection, slash, name = model.partition("/")
    if not slash or collection not in {"models", "tunedModels"}:
        collection, name = "models", model
    return f"{collection}/{quote(name, safe='')}"


def has_levels(model: str) -> bool:
    """Whether the model is of the third generation or later.

    Those are told how much to think by a level instead of a budget, and want their signatures back. Names without a
    number (``gemini-flash-latest``) are of the newest generation.
    """
    found = _GENERATION.search(model)
    return int(found[1]) >= 3 if found else "gemini" in model
