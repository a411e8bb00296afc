"""Writing the parts of a conversation as content blocks for a provider."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.anthropic.citations import given_back
from pointsman.providers.dialects.anthropic.facts import NAME
from pointsman.wire.chat import (
    CacheMark,
    Document,
    Foreign,
    Image,
    Part,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

_Block = dict[str, Any]

TEXT_ARGUMENT: Final = "input"
"""The only argument that a tool for free text has here."""

_BAD_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_OPENAIS_FILE: Final = "file-"
"""How ids of files begin that OpenAI keeps; Anthropic's begin with ``file_``."""
_MEDIA_TYPES: Final = {"image/jpg": "image/jpeg"}
_ARGUMENTS: Final = msgspec.json.Decoder(dict[str, Any])
_encode: Final = msgspec.json.Encoder().encode


class Writing(msgspec.Struct, frozen=True, kw_only=True):
    """How parts are written."""

    lose: Callable[[str], None]
    """Called with the place of a part that is left out."""
    has_marks: bool = True
    """Whether cache marks are written."""
    is_claude: bool = True
    """Others give no signatures, and want their reasoning back without."""


def write_parts(parts: list[Part], role: Role, at: str, writing: Writing) -> list[_Block]:
    """Content blocks for the parts of the message at ``at``. Empty texts are left out, since the API refuses them.

    :raises InvalidRequest: a tool call's arguments are no JSON object
    """
    blocks = []
    for index, part in enumerate(parts):
        here = f"{at}.content[{index}]"
        block = _block(part, role, here, writing)
        if block is None:
            continue
        mark = getattr(part, "cache", None)
        if mark is not None and writing.has_marks:
            block = block | {"cache_control": write_mark(mark)}
        blocks.append(block)
    return blocks


def write_mark(mark: CacheMark) -> _Block:
    """A ``cache_control`` object."""
    return {"type": "ephemeral"} if mark.ttl is None else {"type": "ephemeral", "ttl": mark.ttl}


def write_source(part: Image | Document) -> _Block:
    """The ``source`` of an image or a document that is not text."""
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    default = "image/png" if isinstance(part, Image) else "application/pdf"
    media_type = _MEDIA_TYPES.get(part.media_type or default, part.media_type or default)
    return {"type": "base64", "media_type": media_type, "data": part.data or ""}


def _block(part: Part, role: Role, at: str, writing: Writing) -> _Block | None:
    block = None
    match part:
        case Text() | Refusal():
            block = _text(part)
        case Thinking():
            block = _thinking(part, is_claude=writing.is_claude)
        case ToolCall():
            block = _tool_use(part, at)
        case ToolResult():
            block = _tool_result(part, role, at, writing)
        case Image(file_id=str(file_id)) | Document(file_id=str(file_id)) if file_id.startswith(_OPENAIS_FILE):
            writing.lose(at)
        case Image() if role != "assistant":
            block = {"type": "image", "source": write_source(part)}
        case Document() if role != "assistant" and (source := _document_source(part)) is not None:
            block = _document(part, source)
        case Foreign(dialect=dialect) if dialect == NAME:
            block = part.raw
        case _:
            writing.lose(at)
    return block


def _text(part: Text | Refusal) -> _Block | None:
    if not part.text.strip():
        return None
    block: _Block = {"type": "text", "text": part.text}
    citations = given_back(part.annotations) if isinstance(part, Text) else []
    return block | {"citations": citations} if citations else block


def _thinking(part: Thinking, *, is_claude: bool) -> _Block | None:
    """Reasoning of this dialect; other reasoning is of no use to the provider, and it would not take it."""
    seal = part.seal
    if seal is None or seal.origin != NAME or (is_claude and not seal.text):
        return None
    if part.is_redacted:
        return {"type": "redacted_thinking", "data": seal.text}
    return {"type": "thinking", "thinking": part.text, "signature": seal.text}


def _tool_use(part: ToolCall, at: str) -> _Block:
    return {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": _input(part, at)}


def _input(part: ToolCall, at: str) -> dict[str, Any]:
    if part.kind == "custom":
        return {TEXT_ARGUMENT: part.arguments}
    try:
        return _ARGUMENTS.decode(part.arguments or "{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest(
            f"The arguments of the tool call '{part.name}' must be a JSON object for this model", param=at
        ) from None


def _tool_result(part: ToolResult, role: Role, at: str, writing: Writing) -> _Block:
    block: _Block = {"type": "tool_result", "tool_use_id": _id(part.call_id)}
    content = write_parts([*part.parts], role, at, writing)
    if content:
        block["content"] = content
    if part.is_error:
        block["is_error"] = True
    return block


def _document(part: Document, source: _Block) -> _Block:
    block: _Block = {"type": "document", "source": source}
    title = part.title if part.title is not None else part.name
    if title is not None:
        block["title"] = title
    if part.context is not None:
        block["context"] = part.context
    if part.has_citations:
        block["citations"] = {"enabled": True}
    return block


def _document_source(part: Document) -> _Block | None:
    """The API reads PDF and text, and nothing else."""
    if part.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": part.text}
    media_type = part.media_type or "application/pdf"
    if part.data is not None and media_type.startswith("text/"):
        return _text_source(part.data)
    is_readable = media_type == "application/pdf" or part.file_id is not None
    return write_source(part) if is_readable else None


def _text_source(data: str) -> _Block | None:
    try:
        text = base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return {"type": "text", "media_type": "text/plain", "data": text}


def _id(text: str) -> str:
    """Letters, digits, ``_`` and ``-``: what ids of tool calls may have here; the same for a call and its result.

    An id that has others gets a checksum, so that two of them do not become one.
    """
    fitting = _BAD_ID.sub("_", text)
    return fitting if fitting == text else f"{fitting}_{zlib.crc32(text.encode()):08x}"
