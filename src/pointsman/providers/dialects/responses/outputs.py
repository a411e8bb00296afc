"""Items of the output, both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from pointsman.providers.custom_tools import text_of
from pointsman.providers.dialects.responses.content import read_annotations
from pointsman.providers.dialects.responses.fields import Members
from pointsman.providers.dialects.responses.seals import NAME
from pointsman.providers.dialects.responses.tools import Declared, flat_name
from pointsman.wire.chat import Foreign, Image, Part, Refusal, Seal, Text, Thinking, ToolCall
from pointsman.wire.logprobs import read_entries


class Item(msgspec.Struct):
    """An item as a provider gives it, as far as it is read; members that are not as they should be are ``None``."""

    type: Any = None
    id: Any = None
    content: Any = None
    summary: Any = None
    encrypted_content: Any = None
    call_id: Any = None
    name: Any = None
    namespace: Any = None
    arguments: Any = None
    input: Any = None
    result: Any = None
    output_format: Any = None


def read_item(raw: Members, logprobs: list[Members] | None = None) -> list[Part]:
    """The parts that an item of a provider's answer is; none for an item that says nothing.

    :param logprobs: takes those of the item's texts
    """
    item = msgspec.convert(raw, Item)
    if item.type == "message":
        return [part for each in dicts(item.content) for part in _read_content(each, logprobs)]
    if item.type == "reasoning":
        thinking = read_thinking(item)
        return [] if thinking is None else [thinking]
    if item.type in ("function_call", "custom_tool_call"):
        return [read_call(item)]
    if item.type == "image_generation_call" and isinstance(item.result, str):
        return [Image(data=item.result, media_type=f"image/{item.output_format or 'png'}")]
    return [Foreign(NAME, raw)] if isinstance(item.type, str) else []


def dicts(value: Any) -> list[Members]:
    """The objects in what should be a list of them."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def read_thinking(item: Item) -> Thinking | None:
    """An item of reasoning; ``None`` when it neither shows nor proves anything."""
    shown = _joined(item.summary) or _joined(item.content)
    seal = Seal(NAME, item.encrypted_content) if isinstance(item.encrypted_content, str) else None
    if not shown and seal is None:
        return None
    return Thinking(shown, seal, is_redacted=not shown, id=_text(item.id))


def read_call(item: Item) -> ToolCall:
    """An item that calls a tool."""
    is_custom = item.type == "custom_tool_call"
    namespace = _text(item.namespace)
    return ToolCall(
        id=_text(item.call_id) or _text(item.id) or "",
        name=flat_name(namespace, _text(item.name) or ""),
        arguments=_text(item.input if is_custom else item.arguments) or "",
        kind="custom" if is_custom else "function",
        namespace=namespace,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _joined(parts: Any) -> str:
    return "\n\n".join(part["text"] for part in dicts(parts) if isinstance(part.get("text"), str))


def _read_content(part: Members, logprobs: list[Members] | None) -> list[Part]:
    kind = part.get("type")
    if kind == "output_text" and isinstance(part.get("text"), str):
        if logprobs is not None:
            logprobs.extend(read_entries(part.get("logprobs")) or ())
        return [Text(part["text"], annotations=read_annotations(dicts(part.get("annotations"))))]
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return [Refusal(part["refusal"])]
    return []


def text_part(text: str, annotations: list[Members], logprobs: list[Members]) -> Members:
    """A text of a message; ``annotations`` and ``logprobs`` as this dialect has them."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs}


def refusal_part(text: str) -> Members:
    """A refusal in a message."""
    return {"type": "refusal", "refusal": text}


def message_item(item_id: str, content: list[Members], status: str) -> Members:
    """A message of the model."""
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def call_item(item_id: str, call_id: str, tool: Declared, arguments: str, status: str) -> Members:
    """The call of a tool as the client has declared it; ``arguments`` are free text for a custom one."""
    item: Members = {"id": item_id, "status": status, "call_id": call_id, "name": tool.name}
    if tool.namespace is not None:
        item["namespace"] = tool.namespace
    if tool.is_custom:
        return {"type": "custom_tool_call", **item, "input": arguments}
    return {"type": "function_call", **item, "arguments": arguments}


def said_to(tool: Declared, kind: str, arguments: str) -> str:
    """What the model has said to the tool, in the form in which the client declared it to take it."""
    if not tool.is_custom:
        return arguments or "{}"  # some models say nothing to a tool without parameters; clients parse this
    return arguments if kind == "custom" else text_of(arguments)


def image_item(item_id: str, image: Image) -> Members:
    """A picture that the model has made."""
    form = (image.media_type or "image/png").removeprefix("image/")
    item = {"id": item_id, "type": "image_generation_call", "status": "completed"}
    return item | {"result": image.data, "output_format": form}


def write_logprobs(entries: list[Members] | None) -> list[Members]:
    """Entries of chat's ``logprobs.content`` as this dialect has them: with all members."""
    return [
        _logprob(entry) | {"top_logprobs": [_logprob(each) for each in dicts(entry.get("top_logprobs"))]}
        for entry in entries or []
    ]


def _logprob(entry: Members) -> Members:
    token = entry.get("token", "")
    given = entry.get("bytes")
    return {
        "token": token,
        "logprob": entry.get("logprob", 0.0),
        "bytes": given if isinstance(given, list) else list(str(token).encode()),
    }
