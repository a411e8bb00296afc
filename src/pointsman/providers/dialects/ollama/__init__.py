"""Ollama's own API: chat and embed, in streams of JSON lines. Providers are called in it; clients do not speak it.

Sources: https://docs.ollama.com/api/chat, https://docs.ollama.com/api/embed, https://docs.ollama.com/api/errors,
https://docs.ollama.com/capabilities/thinking and, in https://github.com/ollama/ollama, the types of its Go client
(``api/types.go``) and what its own OpenAI wire makes of a request (``openai/openai.go``).

What is unlike other dialects:

1. parameters of sampling stand under ``options``, as do those of the runner such as ``num_ctx``;
2. the content of a message is one text; pictures and sound stand beside it, as data only;
3. arguments of a tool call are an object, and come whole;
4. no tool can be demanded, but tools can be withheld;
5. neither answers nor, with older servers, tool calls have ids: those of calls are made of the message's bytes.
"""

from __future__ import annotations

from typing import Final

from pointsman.providers.dialects.ollama import embeddings
from pointsman.providers.dialects.ollama.answers import NAME, read_answer
from pointsman.providers.dialects.ollama.paths import path
from pointsman.providers.dialects.ollama.requests import write_request
from pointsman.providers.dialects.ollama.streams import StreamReader

__all__ = ["FRAMING", "NAME", "embeddings", "path", "read_answer", "stream_reader", "write_request"]

FRAMING: Final = "lines"


def stream_reader() -> StreamReader:
    """A reader for one stream."""
    return StreamReader()
