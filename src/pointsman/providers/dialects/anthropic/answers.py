"""Reading a provider's answers, and writing answers for clients."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.dialects.anthropic.blocks import write_source
from pointsman.providers.dialects.anthropic.citations import read_citations, write_citations
from pointsman.providers.dialects.anthropic.errors import read_error
from pointsman.providers.dialects.anthropic.facts import NAME
from pointsman.providers.dialects.anthropic.fields import rest
from pointsman.providers.dialects.anthropic.seals import write_seal_of_next
from pointsman.providers.dialects.anthropic.stops import read_refusal, read_stop, write_stop
from pointsman.providers.dialects.anthropic.usage import read_tier, read_usage, write_tier, write_usage
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import (
    Answer,
    Audio,
    Choice,
    Document,
    Foreign,
    Image,
    Part,
    Refusal,
    Seal,
    Text,
    Thinking,
    ToolCall,
    shown,
)

_KNOWN: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage"}
)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_encode: Final = msgspec.json.Encoder().encode


class _Block(msgspec.Struct):
    """The blocks that mean the same everywhere; members that another type has are not looked at."""

    type: str
    text: str = ""
    citations: Any = None
    thinking: str = ""
    signature: str | None = None
    data: str = ""
    id: str = ""
    name: str = ""
    input: dict[str, Any] = {}


_UNDERSTOOD: Final = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})


def read_answer(body: bytes) -> Answer:
    """A provider's answer with status 200.

    :raises UpstreamBroken: it is none
    :raises UpstreamRejected: it is an error
    """
    try:
        raw = _OBJECT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken("The provider's answer is not a JSON object") from error
    if raw.get("type") == "error" or raw.get("error"):
        raise read_error(raw)
    if not isinstance(raw.get("content"), list):
        raise UpstreamBroken("The provider's answer has no content")
    stop = raw.get("stop_reason")
    finish, detail = read_stop(stop, raw.get("stop_details"))
    sequence = raw.get("stop_sequence")
    tier = read_tier(raw.get("usage"))
    return Answer(
        choices=[
            Choice(
                parts=[*read_blocks(raw["content"]), *read_refusal(raw.get("stop_details"))],
                finish=finish,
                detail=detail,
                stop_sequence=sequence if isinstance(sequence, str) else None,
            )
        ],
        id=_text_of(raw, "id"),
        model=_text_of(raw, "model"),
        usage=read_usage(raw.get("usage")),
        dialect=NAME,
        options={} if tier is None else {"service_tier": tier},
        extras=rest(raw, _KNOWN),
    )


def read_blocks(content: list[Any]) -> list[Part]:
    """Parts of an answer; what only this dialect knows is kept as it is.

    :raises UpstreamBroken: a block is not what its type says
    """
    parts: list[Part] = []
    written = 0
    for raw in content:
        part = _read_block(raw, written)
        if isinstance(part, Text):
            written += len(part.text)
        parts.append(part)
    return parts


def message_id(given: str | None, terms: ReplyTerms) -> str:
    """The id of a reply. Clients take messages with one id for one, and not everybody's ids are unique."""
    return given if given is not None and given.startswith("msg_") else f"msg_{terms.unique}"


def write_answer(answer: Answer, terms: ReplyTerms) -> dict[str, Any]:
    """The reply's body. A reply here has one choice: the first.

    :raises UpstreamBroken: there is none
    """
    if not answer.choices:
        raise UpstreamBroken("The provider's answer is empty")
    choice = answer.choices[0]
    usage = write_usage(answer.usage)
    tier = write_tier(answer.options.get("service_tier"))
    reply = {
        "id": message_id(answer.id, terms),
        "type": "message",
        "role": "assistant",
        "model": terms.model,
        "content": _write_parts(choice.parts, terms),
        **write_stop(choice, has_refusal=any(isinstance(part, Refusal) for part in choice.parts)),
        "usage": usage if tier is None else usage | {"service_tier": tier},
    }
    return reply | answer.extras if answer.dialect == NAME else reply


def _text_of(raw: dict[str, Any], name: str) -> str | None:
    value = raw.get(name)
    return value if isinstance(value, str) else None


def _read_block(raw: Any, start: int) -> Part:
    kind = _text_of(raw, "type") if isinstance(raw, dict) else None
    if kind is not None and kind not in _UNDERSTOOD:
        return Foreign(NAME, raw)
    try:
        block = msgspec.convert(raw, _Block)
    except msgspec.ValidationError as error:
        raise UpstreamBroken("The provider's answer has a block that cannot be read") from error
    match block.type:
        case "text":
            end = start + len(block.text)
            return Text(block.text, annotations=read_citations(block.citations, start, end))
        case "thinking":
            return Thinking(block.thinking, seal=Seal(NAME, block.signature or ""))
        case "redacted_thinking":
            return Thinking("", seal=Seal(NAME, block.data), is_redacted=True)
    return ToolCall(id=block.id, name=block.name, arguments=_encode(block.input).decode())


def _write_parts(parts: list[Part], terms: ReplyTerms) -> list[dict[str, Any]]:
    whole = "".join(part.text for part in parts if isinstance(part, Text))
    blocks = []
    for index, part in enumerate(parts):
        block = write_part(part, whole, f"toolu_{terms.unique}{index}")
        if isinstance(part, Text | ToolCall) and part.seal is not None:
            blocks.append(write_seal_of_next(part.seal))
        if block is not None:
            blocks.append(block)
    return blocks


def write_part(part: Part, whole: str, spare_id: str) -> dict[str, Any] | None:
    """A block for a client; ``None`` for what it cannot be shown.

    ``whole`` is the text that the positions of annotations count in, ``spare_id`` the id of a call that has none.
    """
    block = None
    match part:
        case Text() | Refusal() | Audio() | Document():
            block = _write_text(part, whole)
        case Thinking():
            block = _write_thinking(part)
        case ToolCall():
            block = {"type": "tool_use", "id": part.id or spare_id, "name": part.name, "input": _input(part.arguments)}
        case Image():
            block = {"type": "image", "source": write_source(part)}
        case Foreign(dialect=dialect) if dialect == NAME:
            block = part.raw
    return block


def _write_text(part: Text | Refusal | Audio | Document, whole: str) -> dict[str, Any] | None:
    """A block of text; sounds are shown by what is said in them."""
    text = part.transcript if isinstance(part, Audio) else part.text
    if text is None:
        return None
    citations = write_citations(part.annotations, whole) if isinstance(part, Text) else []
    block = {"type": "text", "text": text}
    return block | {"citations": citations} if citations else block


def _write_thinking(part: Thinking) -> dict[str, Any]:
    seal = "" if part.seal is None else shown(part.seal, NAME)
    if part.is_redacted:
        return {"type": "redacted_thinking", "data": seal}
    return {"type": "thinking", "thinking": part.text, "signature": seal}


def _input(arguments: str) -> dict[str, Any]:
    """What a model wrote as arguments may be no object; it is shown as it is then."""
    try:
        return _OBJECT.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return {"input": arguments}
