"""What a client can ask a model to do, and where on the wire it asks it."""

from __future__ import annotations

from typing import Literal

import msgspec

Mode = Literal[
    "chat",
    "completion",
    "responses",
    "embedding",
    "image_generation",
    "audio_transcription",
    "audio_speech",
    "moderation",
    "rerank",
]


class Operation(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One thing a model does (OpenTelemetry's ``gen_ai.operation.name``)."""

    name: str
    path: str
    """Path below the API root, the same towards the client and towards an OpenAI-dialect upstream."""
    mode: Mode
    """``model_info.mode`` of the deployments that serve it."""
    is_multipart: bool = False
    needs_model: bool = True
    """Whether a request without ``model`` is refused; where it is not, the deployment is chosen by ``mode``."""


CHAT = Operation(name="chat", path="/chat/completions", mode="chat")
COMPLETION = Operation(name="text_completion", path="/completions", mode="completion")
RESPONSES = Operation(name="responses", path="/responses", mode="responses")
MESSAGES = Operation(name="messages", path="/messages", mode="chat")
"""Anthropic's chat."""
COUNT_TOKENS = Operation(name="count_tokens", path="/messages/count_tokens", mode="chat")
GENERATE_CONTENT = Operation(name="generate_content", path=":generateContent", mode="chat")
"""Gemini's chat; its paths name the model."""
GEMINI_COUNT_TOKENS = Operation(name="gemini_count_tokens", path=":countTokens", mode="chat")
EMBEDDINGS = Operation(name="embeddings", path="/embeddings", mode="embedding")
IMAGE_GENERATION = Operation(
    name="image_generation", path="/images/generations", mode="image_generation", needs_model=False
)
IMAGE_EDIT = Operation(
    name="image_edit", path="/images/edits", mode="image_generation", is_multipart=True, needs_model=False
)
IMAGE_VARIATION = Operation(
    name="image_variation",
    path="/images/variations",
    mode="image_generation",
    is_multipart=True,
    needs_model=False,
)
TRANSCRIPTION = Operation(
    name="audio_transcription", path="/audio/transcriptions", mode="audio_transcription", is_multipart=True
)
TRANSLATION = Operation(
    name="audio_translation", path="/audio/translations", mode="audio_transcription", is_multipart=True
)
SPEECH = Operation(name="audio_speech", path="/audio/speech", mode="audio_speech")
MODERATION = Operation(name="moderation", path="/moderations", mode="moderation", needs_model=False)
RERANK = Operation(name="rerank", path="/rerank", mode="rerank")

OPERATIONS: tuple[Operation, ...] = (
    CHAT,
    COMPLETION,
    RESPONSES,
    EMBEDDINGS,
    IMAGE_GENERATION,
    IMAGE_EDIT,
    IMAGE_VARIATION,
    TRANSCRIPTION,
    TRANSLATION,
    SPEECH,
    MODERATION,
    RERANK,
)
"""Those of the OpenAI wire, and rerank."""
CONVERSATIONS: tuple[Operation, ...] = (CHAT, COMPLETION, RESPONSES, MESSAGES, GENERATE_CONTENT)
"""Those that are a conversation in one dialect or another, and can be translated into each other."""
COUNTS: tuple[Operation, ...] = (COUNT_TOKENS, GEMINI_COUNT_TOKENS)
"""Those that only count the tokens of a conversation."""
