"""Which module speaks which dialect, and what each operation of a deployment takes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from pointsman.providers.dialects import (
    anthropic,
    cohere,
    completions,
    converse,
    gemini,
    ollama,
    openai,
    responses,
)
from pointsman.providers.dialects.cohere import embeddings as cohere_embeddings
from pointsman.providers.dialects.cohere import rerank as cohere_rerank
from pointsman.providers.dialects.converse import embeddings as converse_embeddings
from pointsman.providers.dialects.converse import rerank as converse_rerank
from pointsman.providers.dialects.deepgram import speech as deepgram_speech
from pointsman.providers.dialects.deepgram import transcription as deepgram_transcription
from pointsman.providers.dialects.elevenlabs import speech as elevenlabs_speech
from pointsman.providers.dialects.elevenlabs import transcription as elevenlabs_transcription
from pointsman.providers.dialects.gemini import embeddings as gemini_embeddings
from pointsman.providers.dialects.jina import rerank as jina_rerank
from pointsman.providers.dialects.ollama import embeddings as ollama_embeddings
from pointsman.providers.dialects.openai import rerank as openai_rerank
from pointsman.providers.dialects.voyage import embeddings as voyage_embeddings
from pointsman.providers.dialects.voyage import rerank as voyage_rerank
from pointsman.providers.translation import Inbound, OtherOperation, Outbound
from pointsman.wire import operations as op


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway can do with a provider of one dialect."""

    name: str
    chat: Outbound | None = None
    """How a conversation is translated."""
    native: frozenset[str] = frozenset()
    """Operations whose bodies pass through, by name."""
    others: Mapping[str, OtherOperation] = {}
    """Operations that have a shape of their own."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Request headers that are always sent, unless the caller has sent them too and they are passed on."""
    forwards: frozenset[bytes] = frozenset()
    """Headers of the caller that concern the upstream where bodies pass through."""


OPENAI_WIRE = frozenset(operation.name for operation in op.OPERATIONS) - {op.RERANK.name}

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        one.name: one
        for one in (
            Dialect(
                name="openai",
                chat=openai,
                native=OPENAI_WIRE,
                others={"rerank": openai_rerank},
                forwards=frozenset({b"openai-beta"}),
            ),
            Dialect(name="responses", chat=responses, native=frozenset({"responses"})),
            Dialect(
                name="anthropic",
                chat=anthropic,
                native=frozenset({"messages", "count_tokens"}),
                headers=((b"anthropic-version", b"2023-06-01"),),
                forwards=frozenset({b"anthropic-version", b"anthropic-beta"}),
            ),
            Dialect(
                name="gemini",
                chat=gemini,
                native=frozenset({"generate_content", "gemini_count_tokens"}),
                others={"embeddings": gemini_embeddings},
            ),
            Dialect(
                name="converse", chat=converse, others={"embeddings": converse_embeddings, "rerank": converse_rerank}
            ),
            Dialect(name="cohere", chat=cohere, others={"embeddings": cohere_embeddings, "rerank": cohere_rerank}),
            Dialect(
                name="jina",
                chat=openai,
                native=frozenset({"embeddings", "chat", "text_completion"}),
                others={"rerank": jina_rerank},
            ),
            Dialect(name="voyage", others={"embeddings": voyage_embeddings, "rerank": voyage_rerank}),
            Dialect(name="ollama", chat=ollama, others={"embeddings": ollama_embeddings}),
            Dialect(
                name="deepgram",
                others={"audio_transcription": deepgram_transcription, "audio_speech": deepgram_speech},
            ),
            Dialect(
                name="elevenlabs",
                others={"audio_transcription": elevenlabs_transcription, "audio_speech": elevenlabs_speech},
            ),
        )
    }
)

INBOUND: Mapping[str, Inbound] = MappingProxyType(
    {
        op.CHAT.name: openai,
        op.COMPLETION.name: completions,
        op.RESPONSES.name: responses,
        op.MESSAGES.name: anthropic,
        op.COUNT_TOKENS.name: anthropic,
        op.GENERATE_CONTENT.name: gemini,
        op.GEMINI_COUNT_TOKENS.name: gemini,
    }
)
"""The dialect of a client, by the operation it has called."""
