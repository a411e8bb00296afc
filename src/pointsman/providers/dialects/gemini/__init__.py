"""Google's generateContent, as the Gemini API (v1beta) and Vertex AI (v1, v1beta1) speak it.

Outbound it calls Google, inbound it serves google-genai and Gemini CLI. ``embeddings`` and ``embeddings_vertex`` are
further operations of the two APIs. Sources: https://ai.google.dev/api/generate-content,
https://ai.google.dev/gemini-api/docs/thought-signatures, https://ai.google.dev/gemini-api/docs/openai,
https://ai.google.dev/gemini-api/docs/function-calling, https://ai.google.dev/api/embeddings,
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference, and the types of google-genai 3.4.

What is unlike other dialects:

1. calls may have no id: one is made of the id of the answer;
2. an answer that calls tools ends with ``STOP``;
3. signatures stand on calls and texts, mostly not on thoughts; models since Gemini 3 refuse calls without;
4. what is counted for candidates lacks their thoughts;
5. a blocked prompt has no candidates.

Members of ``generationConfig`` and ``toolConfig`` that have no equivalent are ``extras`` with a dotted name.
"""

from __future__ import annotations

from pointsman.providers.dialects.gemini.answers import count_body, read_answer, write_answer
from pointsman.providers.dialects.gemini.errors import error_body, error_event
from pointsman.providers.dialects.gemini.paths import path, resource, root
from pointsman.providers.dialects.gemini.requests import write_request
from pointsman.providers.dialects.gemini.requests_in import read_request
from pointsman.providers.dialects.gemini.seals import NAME
from pointsman.providers.dialects.gemini.streams import stream_reader
from pointsman.providers.dialects.gemini.streams_out import stream_writer

FRAMING = "sse"

__all__ = [
    "FRAMING",
    "NAME",
    "count_body",
    "error_body",
    "error_event",
    "path",
    "read_answer",
    "read_request",
    "resource",
    "root",
    "stream_reader",
    "stream_writer",
    "write_answer",
    "write_request",
]
