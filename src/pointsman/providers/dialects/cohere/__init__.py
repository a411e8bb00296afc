"""Cohere's API, version 2: chat, embed and rerank. Providers are called in it; clients do not speak it.

Sources: https://docs.cohere.com/reference/chat, https://docs.cohere.com/v2/docs/streaming,
https://docs.cohere.com/v2/docs/tool-use-streaming, https://docs.cohere.com/v2/docs/reasoning,
https://docs.cohere.com/v2/docs/compatibility-api, https://docs.cohere.com/reference/embed,
https://docs.cohere.com/reference/rerank, and the types of Cohere's Python SDK 7.3.

What is unlike other dialects:

1. text beside tool calls is a ``tool_plan``, in both directions;
2. a certain tool cannot be asked for by name: some tool is, of a list with only that one in it;
3. reasoning is on or off and may have a budget of tokens, it has no levels and is not sealed;
4. documents that shall be cited stand beside the messages;
5. what is billed is less than what the model has read: usage is what is billed.
"""

from __future__ import annotations

from typing import Final

from pointsman.providers.dialects.cohere import embeddings, rerank
from pointsman.providers.dialects.cohere.answers import read_answer
from pointsman.providers.dialects.cohere.facts import NAME
from pointsman.providers.dialects.cohere.paths import path, target
from pointsman.providers.dialects.cohere.requests import write_request
from pointsman.providers.dialects.cohere.rerank import decode, encode
from pointsman.providers.dialects.cohere.streams import StreamReader

__all__ = [
    "FRAMING",
    "NAME",
    "decode",
    "embeddings",
    "encode",
    "path",
    "read_answer",
    "rerank",
    "stream_reader",
    "target",
    "write_request",
]

FRAMING: Final = "sse"


def stream_reader() -> StreamReader:
    """A reader for one stream."""
    return StreamReader()
