"""The answer of generateContent, whole or one event of a stream, as far as it is read.

Members that are not named here are skipped by the decoder.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

NOTHING: Final = Raw(b"null")


class FunctionCall(msgspec.Struct, rename="camel"):
    """A tool call. ``args`` is an object, kept as text."""

    name: str
    args: Raw = Raw(b"{}")
    id: str | None = None


class Blob(msgspec.Struct, rename="camel"):
    """Data in base64."""

    data: str
    mime_type: str = ""


class FileData(msgspec.Struct, rename="camel"):
    """Data elsewhere."""

    file_uri: str
    mime_type: str | None = None


class Part(msgspec.Struct, rename="camel"):
    """One of the data members is set, or none beside a signature alone."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    executable_code: Any = None
    code_execution_result: Any = None
    tool_call: Any = None
    tool_response: Any = None


class Content(msgspec.Struct):
    """A turn."""

    parts: list[Part] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    """One of the answers, or what has come of it."""

    content: Content | None = None
    index: int | None = None
    finish_reason: str | None = None
    grounding_metadata: Any = None
    citation_metadata: Any = None
    url_context_metadata: Any = None
    safety_ratings: Any = None
    logprobs_result: Any = None


class PromptFeedback(msgspec.Struct, rename="camel"):
    """Why there is no candidate."""

    block_reason: str | None = None


class Response(msgspec.Struct, rename="camel"):
    """GenerateContentResponse."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: Raw = NOTHING
    model_version: str | None = None
    response_id: str | None = None
    error: Raw = NOTHING


RESPONSE: Final = msgspec.json.Decoder(Response)
