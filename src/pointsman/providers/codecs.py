"""Which module speaks which dialect."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from pointsman.providers.dialects import cohere, jina, openai
from pointsman.wire.operations import Operation


class Codec(Protocol):
    """A dialect, as a module of functions.

    Bodies on the OpenAI wire pass through whole, so what a dialect adds is where operations live, and rerank,
    which every vendor shapes differently.
    """

    def target(self, base_path: str, operation: Operation) -> bytes:
        """Path of ``operation`` below the path of a deployment's address."""

    def encode(self, body: dict[str, Any]) -> dict[str, Any]:
        """A client's rerank request as the upstream takes it."""

    def decode(self, answer: Any, request: dict[str, Any], *, answer_id: str | None = None) -> dict[str, Any]:
        """The upstream's rerank answer in Cohere's shape; ``request`` is the client's body."""


CODECS: Mapping[str, Codec] = MappingProxyType({"openai": openai, "cohere": cohere, "jina": jina})
