"""OpenAI's legacy Completions API (``/v1/completions``), for clients only: a prompt becomes one message of a chat.

Source: OpenAI's API reference (platform.openai.com/docs/api-reference/completions) and the types of its Python SDK.
What only a text completion can do (``echo``, ``best_of``, ``suffix``) is carried as an option that no chat has, so that
it is refused or dropped by name. Reasoning and tool calls have no place in a reply and are left out.
"""

from __future__ import annotations

from pointsman.errors import GatewayError
from pointsman.providers.dialects.completions.answers import write_answer
from pointsman.providers.dialects.completions.requests import NAME, read_request
from pointsman.providers.dialects.completions.streams import StreamWriter
from pointsman.providers.translation import ReplyTerms
from pointsman.wire import sse
from pointsman.wire.failure import error_body

__all__ = ["NAME", "error_body", "error_event", "read_request", "stream_writer", "write_answer"]


def stream_writer(terms: ReplyTerms) -> StreamWriter:
    """A writer for one stream."""
    return StreamWriter(terms)


def error_event(error: GatewayError) -> bytes:
    """The event that ends a stream which has begun and fails."""
    return sse.error_event(error_body(error))
