"""Reading Converse's answers."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.converse import wire
from pointsman.providers.dialects.converse.citations import read_citation
from pointsman.providers.dialects.converse.media import read_image
from pointsman.providers.dialects.converse.models import NAME
from pointsman.providers.dialects.converse.tools import ANSWER
from pointsman.wire.chat import Answer, Choice, Foreign, Part, Seal, Text, Thinking, ToolCall

SERVER_TOOL: Final = "server_tool_use"
_EXTRAS: Final = (
    ("additionalModelResponseFields", "additional_model_response_fields"),
    ("metrics", "metrics"),
    ("trace", "trace"),
    ("performanceConfig", "performance_config"),
)


def read_answer(body: bytes) -> Answer:
    """A provider's answer with status 200.

    :raises UpstreamBroken: it is none
    """
    try:
        response = wire.RESPONSE.decode(body)
        parts = read_parts(response.output.message.content)
    except wire.UNREADABLE:
        raise UpstreamBroken("The provider sent something that is no answer") from None
    reason = response.stop_reason
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    finish, detail = wire.read_finish(reason, has_calls=has_calls)
    stop_sequence = wire.read_stop_sequence(reason, response.additional_model_response_fields)
    tier = response.service_tier
    return Answer(
        choices=[Choice(parts=parts, finish=finish, detail=detail, stop_sequence=stop_sequence)],
        usage=wire.read_usage(response.usage),
        dialect=NAME,
        options={} if tier is None else {"service_tier": tier.type},
        extras={name: value for name, own in _EXTRAS if (value := getattr(response, own)) is not None},
    )


def read_parts(content: list[Raw]) -> list[Part]:
    """Parts of an answer; blocks that are not known, and Amazon's own calls, are handed on as they are.

    Raises one of ``wire.UNREADABLE`` when a block is not what it should be.
    """
    parts: list[Part] = []
    written = 0
    for raw in content:
        part = _part(raw, written)
        if isinstance(part, Text):
            written += len(part.text)
        parts.append(part)
    return parts


def read_reasoning(reasoning: wire.Reasoning) -> Thinking:
    """Reasoning that is shown, with its signature if it has one, or that is encrypted."""
    shown = reasoning.reasoning_text
    if shown is None and reasoning.redacted_content is not None:
        return Thinking("", Seal(NAME, reasoning.redacted_content), is_redacted=True)
    shown = shown or wire.ReasoningText()
    return Thinking(shown.text, Seal(NAME, shown.signature) if shown.signature else None)


def _part(raw: Raw, start: int) -> Part:
    block = wire.BLOCK.decode(raw)
    if block.text is not None:
        return Text(block.text)
    call = block.tool_use
    if call is not None and call.name == ANSWER:
        return Text(bytes(call.input).decode())
    if call is not None and call.type != SERVER_TOOL:
        return ToolCall(id=call.tool_use_id, name=call.name, arguments=bytes(call.input).decode())
    if block.reasoning_content is not None:
        return read_reasoning(block.reasoning_content)
    if block.citations_content is not None:
        text = "".join(piece.text for piece in block.citations_content.content)
        cited = [read_citation(each, start, start + len(text)) for each in block.citations_content.citations]
        return Text(text, annotations=cited)
    image = read_image(block.image) if block.image is not None else None
    return image or Foreign(NAME, _object(raw))


def _object(raw: Raw) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(raw)
    return found
