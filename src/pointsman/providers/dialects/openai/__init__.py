"""OpenAI's Chat Completions API, version v1, and the wire that most other servers speak.

Both directions. Sources: OpenAI's API reference (platform.openai.com/docs/api-reference/chat) and the types of its
Python SDK; docs.litellm.ai/docs/reasoning_content and /docs/completion/input for what LiteLLM's clients add;
openrouter.ai/docs (reasoning tokens), api-docs.deepseek.com (thinking mode), docs.mistral.ai (reasoning),
console.groq.com/docs (reasoning) and ai.google.dev/gemini-api/docs/openai for what vendors do otherwise.

Modules, by direction::

    a client's request      asked ← turns ← parts ← fields
    a request to a provider requests ← messages ← models
    a provider's answer     answers, streams
    a reply to a client     replies, chunks
    for several of them     reasoning, finishes, usage
    besides chat            operations
"""

from __future__ import annotations

from typing import Final

from pointsman.errors import GatewayError
from pointsman.providers.dialects.openai.answers import read_answer
from pointsman.providers.dialects.openai.asked import read_request
from pointsman.providers.dialects.openai.chunks import StreamWriter
from pointsman.providers.dialects.openai.operations import decode, encode, path, target
from pointsman.providers.dialects.openai.reasoning import NAME
from pointsman.providers.dialects.openai.replies import write_answer
from pointsman.providers.dialects.openai.requests import write_request
from pointsman.providers.dialects.openai.streams import StreamReader
from pointsman.providers.translation import ReplyTerms
from pointsman.wire import sse
from pointsman.wire.failure import error_body

__all__ = [
    "FRAMING",
    "NAME",
    "decode",
    "encode",
    "error_body",
    "error_event",
    "path",
    "read_answer",
    "read_request",
    "stream_reader",
    "stream_writer",
    "target",
    "write_answer",
    "write_request",
]

FRAMING: Final = "sse"


def stream_reader() -> StreamReader:
    """A reader for one stream."""
    return StreamReader()


def stream_writer(terms: ReplyTerms, *, merges_reasoning: bool = False) -> StreamWriter:
    """A writer for one stream; ``merges_reasoning``: reasoning goes into the content, in ``<think>`` tags."""
    return StreamWriter(terms, merges_reasoning=merges_reasoning)


def error_event(error: GatewayError) -> bytes:
    """The event that ends a stream which has begun and fails."""
    return sse.error_event(error_body(error))
