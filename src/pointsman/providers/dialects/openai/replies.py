"""An answer as clients of the OpenAI wire read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from pointsman.providers.custom_tools import text_of
from pointsman.providers.dialects.openai.customs import custom_names
from pointsman.providers.dialects.openai.finishes import write_finish
from pointsman.providers.dialects.openai.messages import data_url
from pointsman.providers.dialects.openai.reasoning import CONTENT, NAME, member_seal, shown_block
from pointsman.providers.dialects.openai.turns import FIELDS, GOOGLE
from pointsman.providers.dialects.openai.usage import write_usage
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import (
    Answer,
    Audio,
    ChatRequest,
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

_BARE: Final = {"role", "content", "refusal"}
THINK, END_THINK = "<think>", "</think>"
"""Around reasoning that is put into the content."""


def write_answer(answer: Answer, terms: ReplyTerms, *, merges_reasoning: bool = False) -> dict[str, Any]:
    """The reply's body; ``merges_reasoning``: reasoning goes into the content, in ``<think>`` tags."""
    written = {
        "id": answer.id or f"chatcmpl-{terms.unique}",
        "object": "chat.completion",
        "created": terms.created if answer.created is None else answer.created,
        "model": terms.model,
        "choices": [_choice(choice, terms, merges_reasoning=merges_reasoning) for choice in answer.choices],
    }
    if answer.usage is not None:
        written["usage"] = write_usage(answer.usage)
    if answer.dialect == NAME:
        written = answer.extras | written
    return written | answer.options


def knows_functions_only(request: ChatRequest) -> bool:
    """Whether the client has given its tools as ``functions``, and reads ``function_call``."""
    return any(tool.kind == "function" and tool.raw is not None and tool.dialect == NAME for tool in request.tools)


def _choice(choice: Choice, terms: ReplyTerms, *, merges_reasoning: bool) -> dict[str, Any]:
    message = _message(choice.parts, merges_reasoning=merges_reasoning)
    is_legacy = knows_functions_only(terms.request)
    _write_calls(choice, terms, message, is_legacy=is_legacy)
    if message.keys() == _BARE and message["content"] is None and message["refusal"] is None:
        message["content"] = ""
    written = {
        "index": choice.index,
        "message": message,
        "logprobs": None if choice.logprobs is None else {"content": choice.logprobs, "refusal": None},
        "finish_reason": write_finish(choice.finish, has_refusal=message["refusal"] is not None, is_legacy=is_legacy),
    }
    return written | write_reason(choice.stop_sequence, choice.detail)


def write_reason(stop_sequence: str | None, detail: str | None) -> dict[str, Any]:
    """What vLLM and OpenRouter add to the reason for the end."""
    written = {}
    if stop_sequence is not None:
        written["stop_reason"] = stop_sequence
    if detail is not None:
        written["native_finish_reason"] = detail
    return written


def _message(parts: list[Part], *, merges_reasoning: bool) -> dict[str, Any]:
    texts = [part for part in parts if isinstance(part, Text)]
    thoughts = [part for part in parts if isinstance(part, Thinking)]
    refusals = [part.text for part in parts if isinstance(part, Refusal)]
    content = "".join(text.text for text in texts)
    reasoning = "".join(thinking.text for thinking in thoughts)
    if merges_reasoning:
        content = f"{THINK}{reasoning}{END_THINK}{content}" if reasoning else content
        reasoning, thoughts = "", []
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content or None,
        "refusal": "".join(refusals) if refusals else None,
    }
    if reasoning or any(thinking.seal == member_seal(CONTENT) for thinking in thoughts):
        message[CONTENT] = reasoning
    blocks = [block for block in map(shown_block, thoughts) if block is not None]
    if blocks:
        message["thinking_blocks"] = blocks
    annotations = [annotation for text in texts for annotation in text.annotations]
    cited, others = split_annotations(annotations)
    if cited:
        message["annotations"] = cited
    _write_media(parts, message)
    own = _own_fields(parts, texts) | ({"annotations": others} if others else {})
    if own:
        message[FIELDS] = own
    return message


def split_annotations(annotations: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those that chat has, and others: Vercel's SDK refuses an answer with annotations of another type."""
    cited = [each for each in annotations if each.get("type") == "url_citation"]
    return cited, [each for each in annotations if each.get("type") != "url_citation"]


def _write_calls(choice: Choice, terms: ReplyTerms, message: dict[str, Any], *, is_legacy: bool) -> None:
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    if calls and is_legacy:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
    elif calls:
        customs = custom_names(terms.request)
        own = f"call_{terms.unique}{choice.index or ''}"
        message["tool_calls"] = [_call(call, f"{own}{position}", customs) for position, call in enumerate(calls)]


def _call(call: ToolCall, own_id: str, customs: frozenset[str]) -> dict[str, Any]:
    kind, inner = "function", {"name": call.name, "arguments": call.arguments}
    if call.kind == "custom" or call.name in customs:
        text = call.arguments if call.kind == "custom" else text_of(call.arguments)
        kind, inner = "custom", {"name": call.name, "input": text}
    return {"id": call.id or own_id, "type": kind, kind: inner, **write_seal(call.seal)}


def write_seal(seal: Seal | None) -> dict[str, Any]:
    """The signature of a tool call, for clients that know LiteLLM and for those that know Google."""
    if seal is None:
        return {}
    signature = {"thought_signature": shown(seal, GOOGLE)}
    return {FIELDS: signature, "extra_content": {"google": signature}}


def _write_media(parts: list[Part], message: dict[str, Any]) -> None:
    images = [part for part in parts if isinstance(part, Image)]
    if images:
        message["images"] = [write_image(image, position) for position, image in enumerate(images)]
    audio = next((part for part in parts if isinstance(part, Audio)), None)
    if audio is not None:
        message["audio"] = {"id": "", "data": "", "expires_at": 0, "transcript": ""} | write_audio(audio)


def write_image(image: Image, position: int) -> dict[str, Any]:
    """A picture, as OpenRouter and LiteLLM have them in a message."""
    url = image.url if image.data is None else data_url(image.data, image.media_type or "image/png")
    return {"type": "image_url", "image_url": {"url": url}, "index": position}


def write_audio(audio: Audio) -> dict[str, Any]:
    """Sound, or what there is of it."""
    members = {"id": audio.id, "data": audio.data, "expires_at": audio.expires_at, "transcript": audio.transcript}
    return {name: value for name, value in members.items() if value is not None}


def _own_fields(parts: list[Part], texts: list[Text]) -> dict[str, Any]:
    written = write_foreign(part for part in parts if isinstance(part, Foreign | Document))
    signatures = [shown(text.seal, GOOGLE) for text in texts if text.seal is not None]
    return written | ({"thought_signatures": signatures} if signatures else {})


def write_foreign(parts: Iterable[Foreign | Document]) -> dict[str, Any]:
    """Parts that the wire has no place for: lists by the dialect that knows them."""
    lists: dict[str, list[Any]] = {}
    for part in parts:
        if isinstance(part, Foreign):
            lists.setdefault(part.dialect, []).append(part.raw)
        else:
            members = msgspec.to_builtins(part)
            lists.setdefault("documents", []).append({name: value for name, value in members.items() if value})
    return {"parts": lists} if lists else {}
