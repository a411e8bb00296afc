"""Jina's API, version 1: chat and embeddings are on the OpenAI wire, rerank is of its own shape.

Its own parameters of embeddings (``task``, ``late_chunking``, ``embedding_type``) pass through with the rest of the
body. Source: https://api.jina.ai/docs.
"""

from __future__ import annotations

from typing import Final

from pointsman.providers.dialects.jina import rerank
from pointsman.providers.dialects.jina.rerank import decode, encode, target

__all__ = ["NAME", "decode", "encode", "rerank", "target"]

NAME: Final = "jina"
