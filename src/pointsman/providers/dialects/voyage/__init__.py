"""Voyage AI's API, version 1: embeddings and rerank, each close to a wire that others speak.

Sources: https://docs.voyageai.com/reference/embeddings-api, https://docs.voyageai.com/reference/reranker-api and
Voyage's Python SDK 0.5.
"""

from __future__ import annotations

from typing import Final

from pointsman.providers.dialects.voyage import embeddings, rerank

__all__ = ["NAME", "embeddings", "rerank"]

NAME: Final = "voyage"
