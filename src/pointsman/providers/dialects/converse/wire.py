"""The answer of Converse and the events of ConverseStream, as far as they are read.

Members that are not named here are skipped by the decoder.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Raw

from pointsman.wire.chat import Finish
from pointsman.wire.usage import Usage

_NOTHING: Final = Raw(b"null")
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class CacheDetail(msgspec.Struct, rename="camel"):
    """What was put into the cache for a time."""

    ttl: str = ""
    input_tokens: _Count = 0


class TokenUsage(msgspec.Struct, rename="camel"):
    """Counts."""

    input_tokens: _Count = 0
    output_tokens: _Count = 0
    total_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_write_input_tokens: _Count | None = None
    cache_details: list[CacheDetail] | None = None


class Tier(msgspec.Struct):
    """Of the service."""

    type: str


class ReasoningText(msgspec.Struct):
    """Reasoning that is shown."""

    text: str = ""
    signature: str | None = None


class Reasoning(msgspec.Struct, rename="camel"):
    """One of the two, and in a stream a piece of one of the three."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None
    text: str | None = None
    signature: str | None = None


class ToolUse(msgspec.Struct, rename="camel"):
    """A call, or the beginning of one."""

    name: str
    tool_use_id: str = ""
    input: Raw = Raw(b"{}")
    type: str | None = None
    """``server_tool_use``: it was Amazon who called it."""


class Piece(msgspec.Struct):
    """A piece of text."""

    text: str = ""


class Cited(msgspec.Struct):
    """Text with its sources."""

    content: list[Piece] = []
    citations: list[dict[str, Any]] = []


class Block(msgspec.Struct, rename="camel"):
    """One of the members is set; none: a block that is not known here."""

    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None
    citations_content: Cited | None = None
    image: Any = None


class Message(msgspec.Struct):
    """The model's turn. Its blocks are kept as text, so that those which are not known can be handed on."""

    content: list[Raw] = []


class Output(msgspec.Struct):
    """What has come of it."""

    message: Message


class Response(msgspec.Struct, rename="camel"):
    """Converse's answer."""

    output: Output
    stop_reason: str | None = None
    usage: Raw = _NOTHING
    additional_model_response_fields: Any = None
    service_tier: Tier | None = None
    metrics: Any = None
    trace: Any = None
    performance_config: Any = None


class ToolInput(msgspec.Struct, gc=False):
    """A piece of a call's arguments."""

    input: str


class Delta(msgspec.Struct, rename="camel"):
    """One of the members is set."""

    text: str | None = None
    tool_use: ToolInput | None = None
    reasoning_content: Reasoning | None = None
    citation: dict[str, Any] | None = None
    tool_result: list[dict[str, Any]] | None = None
    image: Any = None


class DeltaEvent(msgspec.Struct, rename="camel"):
    """contentBlockDelta."""

    delta: Delta
    content_block_index: int = 0


class Start(msgspec.Struct, rename="camel"):
    """One of the members is set."""

    tool_use: ToolUse | None = None
    tool_result: dict[str, Any] | None = None
    image: dict[str, Any] | None = None


class StartEvent(msgspec.Struct, rename="camel"):
    """contentBlockStart."""

    start: Start
    content_block_index: int = 0


class StopEvent(msgspec.Struct, rename="camel"):
    """contentBlockStop."""

    content_block_index: int = 0


class MessageStop(msgspec.Struct, rename="camel"):
    """messageStop."""

    stop_reason: str | None = None
    additional_model_response_fields: Any = None


class Metadata(msgspec.Struct):
    """metadata, which comes last."""

    usage: Raw = _NOTHING


UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises: the second is for text that is not UTF-8."""
RESPONSE: Final = msgspec.json.Decoder(Response)
BLOCK: Final = msgspec.json.Decoder(Block)
_USAGE: Final = msgspec.json.Decoder(TokenUsage | None)
_FINISHES: Final[dict[str | None, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
}
_PLAIN: Final = frozenset({None, "end_turn", "stop_sequence", "tool_use", "max_tokens"})
"""Reasons of which the finish says all."""


def read_finish(reason: str | None, *, has_calls: bool) -> tuple[Finish, str | None]:
    """How an answer ended, with Amazon's own word where that says more.

    Some models say ``end_turn`` where they want tools called, and an answer by a tool of ours ends with ``tool_use``.
    A model that has failed (``malformed_model_output``, ``malformed_tool_use``) has answered, which costs: whether to
    ask again is for the client.
    """
    finish = _FINISHES.get(reason, "stop")
    if finish in ("stop", "tool_calls"):
        finish = "tool_calls" if has_calls else "stop"
    return finish, None if reason in _PLAIN else reason


def read_stop_sequence(reason: str | None, fields: Any) -> str | None:
    """The stop sequence that ended an answer, which the model's own fields tell."""
    found = fields.get("stop_sequence") if reason == "stop_sequence" and isinstance(fields, dict) else None
    return found if isinstance(found, str) else None


def read_usage(raw: Raw) -> Usage | None:
    """The usage of an answer; ``None`` where there is none, or none that can be read.

    The input is counted without what was read from the cache or written to it; the total tells where it is not so.
    """
    try:
        wire = _USAGE.decode(raw)
    except UNREADABLE:
        return None
    if wire is None:
        return None
    cached, written = wire.cache_read_input_tokens or 0, wire.cache_write_input_tokens or 0
    input_tokens = wire.input_tokens
    if wire.total_tokens != input_tokens + wire.output_tokens:
        input_tokens += cached + written
    return Usage(
        input_tokens=input_tokens,
        output_tokens=wire.output_tokens,
        total_tokens=wire.total_tokens or input_tokens + wire.output_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=sum(each.input_tokens for each in wire.cache_details or () if each.ttl == "1h"),
    )
