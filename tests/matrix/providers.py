"""Providers of each dialect: the answers that they give, whole and streamed, as their references show them.

Each has ``answer`` and ``stream`` for what was :class:`~matrix.said.Said`, ``None`` where the provider has no such
thing, and ``failure``: how a stream goes on that fails after it has begun.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from matrix.said import (
    INPUT,
    LOGPROB,
    OUTPUT,
    PICTURE,
    REFUSAL,
    SEAL,
    SOURCE,
    THOUGHT,
    TITLE,
    TOKEN,
    Said,
)

Wire = dict[str, Any]
_ENCODER: Final = msgspec.json.Encoder()


class Provider(msgspec.Struct, frozen=True):
    """One dialect's."""

    answer: Callable[[Said], Wire | None]
    stream: Callable[[Said], list[bytes]]
    """Messages as they are on the wire; called where ``answer`` gives something."""
    failure: bytes
    """A message that says that the provider has failed."""


def sse(data: Wire) -> bytes:
    return b"data: " + _ENCODER.encode(data) + b"\n\n"


def typed_sse(data: Wire) -> bytes:
    return b"event: %b\n%b" % (data["type"].encode(), sse(data))


def _logprobs(said: Said) -> Wire | None:
    entry = {"token": TOKEN, "logprob": LOGPROB, "bytes": [72]}
    return {"content": [entry | {"top_logprobs": [entry]}], "refusal": None} if said.logprobs else None


# OpenAI's chat; reasoning and pictures as OpenRouter has them.

_CHAT_ENDS: Final = {"stop": "stop", "stop_sequence": "stop", "length": "length", "content_filter": "content_filter"}


def _chat_usage(said: Said) -> Wire:
    return {
        "prompt_tokens": INPUT,
        "completion_tokens": OUTPUT,
        "total_tokens": INPUT + OUTPUT,
        "prompt_tokens_details": {"cached_tokens": said.cached, "cache_write_tokens": said.written},
        "completion_tokens_details": {"reasoning_tokens": said.reasoned},
    }


def _chat_members(said: Said) -> Wire:
    """What a message has beside content, and a delta too."""
    members: Wire = {}
    if said.refusal:
        members["refusal"] = REFUSAL
    if said.thinking and not said.sealed:
        members["reasoning_content"] = THOUGHT
    if said.sealed:
        detail = {"type": "reasoning.text", "text": THOUGHT, "signature": SEAL, "format": "x", "index": 0}
        members |= {"reasoning": THOUGHT, "reasoning_details": [detail]}
    if said.cited:
        place = {"url": SOURCE, "title": TITLE, "start_index": 0, "end_index": 5}
        members["annotations"] = [{"type": "url_citation", "url_citation": place}]
    if said.picture:
        members["images"] = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}]
    return members


def _chat_end(said: Said) -> Wire:
    end: Wire = {"finish_reason": "tool_calls" if said.calls else _CHAT_ENDS[said.finish]}
    return end | ({"stop_reason": "END"} if said.finish == "stop_sequence" else {})


def chat_answer(said: Said) -> Wire:
    message: Wire = {"role": "assistant", "content": said.text, **_chat_members(said)}
    if said.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}}
            for call in said.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": _logprobs(said), **_chat_end(said)}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [choice],
        "usage": _chat_usage(said),
    }


def _chat_chunk(delta: Wire, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} | more
    return sse({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [choice]})


def chat_stream(said: Said) -> list[bytes]:
    messages = [_chat_chunk({"role": "assistant", "content": ""})]
    members = _chat_members(said)
    annotations = members.pop("annotations", None)
    if members:
        messages.append(_chat_chunk(members))
    if said.text is not None:
        first, second = said.halves
        messages.append(_chat_chunk({"content": first}, logprobs=_logprobs(said)))
        messages.append(_chat_chunk({"content": second}))
    if annotations is not None:
        messages.append(_chat_chunk({"annotations": annotations}))
    for index, call in enumerate(said.calls):
        name = {"name": call.name, "arguments": ""}
        messages.append(
            _chat_chunk({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": name}]})
        )
        messages += [
            _chat_chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}) for piece in call.pieces
        ]
    messages.append(_chat_chunk({}, **_chat_end(said)))
    messages.append(sse({"id": "1", "model": "up", "choices": [], "usage": _chat_usage(said)}))
    return [*messages, b"data: [DONE]\n\n"]


# OpenAI's Responses API.


def _items(said: Said) -> list[Wire]:
    items: list[Wire] = []
    if said.thinking or said.sealed:
        seal = {"encrypted_content": SEAL} if said.sealed else {}
        items.append(
            {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": THOUGHT}], **seal}
        )
    content: list[Wire] = []
    if said.text is not None:
        cited = [{"type": "url_citation", "url": SOURCE, "title": TITLE, "start_index": 0, "end_index": 5}]
        logprobs = _logprobs(said)
        content.append(
            {
                "type": "output_text",
                "text": said.text,
                "annotations": cited if said.cited else [],
                "logprobs": logprobs["content"] if logprobs is not None else [],
            }
        )
    if said.refusal:
        content.append({"type": "refusal", "refusal": REFUSAL})
    if content:
        message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
        items.append(message)
    items += [
        {"id": f"fc_{at}", "type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.text}
        for at, call in enumerate(said.calls)
    ]
    if said.picture:
        picture = {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": PICTURE}
        items.append(picture | {"output_format": "png"})
    return items


def _response(said: Said, output: list[Wire], status: str) -> Wire:
    reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
    reason = reasons.get(said.finish)
    is_done = status == "completed"
    usage = {
        "input_tokens": INPUT,
        "input_tokens_details": {"cached_tokens": said.cached, "cache_write_tokens": said.written},
        "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": said.reasoned},
        "total_tokens": INPUT + OUTPUT,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "up",
        "status": "incomplete" if is_done and reason is not None else status,
        "error": None,
        "incomplete_details": {"reason": reason} if is_done and reason is not None else None,
        "output": output,
        "usage": usage if is_done else None,
    }


def responses_answer(said: Said) -> Wire | None:
    if said.finish == "stop_sequence":
        return None
    return _response(said, _items(said), "completed")


def _item_events(at: int, item: Wire) -> list[Wire]:
    place = {"output_index": at, "item_id": item["id"]}
    empty = {name: value for name, value in item.items() if name not in ("encrypted_content", "result")}
    events: list[Wire] = []
    if item["type"] == "reasoning":
        empty["summary"] = []
        place |= {"summary_index": 0}
        events.append({"type": "response.reasoning_summary_part.added", **place, "part": {"type": "summary_text"}})
        events.append({"type": "response.reasoning_summary_text.delta", **place, "delta": THOUGHT})
    elif item["type"] == "function_call":
        empty["arguments"] = ""
        half = len(item["arguments"]) // 2
        events += [
            {"type": "response.function_call_arguments.delta", **place, "delta": piece}
            for piece in (item["arguments"][:half], item["arguments"][half:])
        ]
    elif item["type"] == "message":
        empty["content"] = []
        for index, part in enumerate(item["content"]):
            events += _part_events({**place, "content_index": index}, part)
    added = {"type": "response.output_item.added", "output_index": at, "item": empty}
    return [added, *events, {"type": "response.output_item.done", "output_index": at, "item": item}]


def _part_events(place: Wire, part: Wire) -> list[Wire]:
    if part["type"] == "refusal":
        return [{"type": "response.refusal.delta", **place, "delta": part["refusal"]}]
    half = len(part["text"]) // 2
    events: list[Wire] = [
        {"type": "response.output_text.delta", **place, "delta": part["text"][:half], "logprobs": part["logprobs"]},
        {"type": "response.output_text.delta", **place, "delta": part["text"][half:], "logprobs": []},
    ]
    return events + [
        {"type": "response.output_text.annotation.added", **place, "annotation_index": at, "annotation": annotation}
        for at, annotation in enumerate(part["annotations"])
    ]


def responses_stream(said: Said) -> list[bytes]:
    items = _items(said)
    events: list[Wire] = [{"type": "response.created", "response": _response(said, [], "in_progress")}]
    for at, item in enumerate(items):
        events += _item_events(at, item)
    response = _response(said, items, "completed")
    events.append({"type": f"response.{response['status']}", "response": response})
    return [typed_sse(event | {"sequence_number": at}) for at, event in enumerate(events)]


# Anthropic's Messages API.

_MESSAGE_ENDS: Final = {"stop": "end_turn", "stop_sequence": "stop_sequence", "length": "max_tokens"}


def _blocks(said: Said) -> list[Wire]:
    blocks: list[Wire] = []
    if said.thinking or said.sealed:
        blocks.append({"type": "thinking", "thinking": THOUGHT, "signature": SEAL})
    if said.text is not None:
        citation = {"type": "web_search_result_location", "url": SOURCE, "title": TITLE, "cited_text": "Hello"}
        cited = [citation | {"encrypted_index": "abc"}] if said.cited else None
        blocks.append({"type": "text", "text": said.text, **({"citations": cited} if cited else {})})
    return blocks + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in said.calls
    ]


def _message_end(said: Said) -> Wire:
    reason = "refusal" if said.refusal else "tool_use" if said.calls else _MESSAGE_ENDS[said.finish]
    details = {"type": "refusal", "category": None, "explanation": REFUSAL} if said.refusal else None
    sequence = "END" if said.finish == "stop_sequence" else None
    return {"stop_reason": reason, "stop_sequence": sequence, "stop_details": details}


def _message_usage(said: Said) -> Wire:
    return {
        "input_tokens": INPUT - said.cached - said.written,
        "cache_read_input_tokens": said.cached,
        "cache_creation_input_tokens": said.written,
        "output_tokens": OUTPUT,
        "output_tokens_details": {"thinking_tokens": said.reasoned},
    }


def _message(said: Said, content: list[Wire], end: Wire) -> Wire:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "up"}
    return message | {"content": content, **end, "usage": _message_usage(said)}


def anthropic_answer(said: Said) -> Wire | None:
    if said.logprobs or said.picture or said.finish == "content_filter":
        return None
    return _message(said, _blocks(said), _message_end(said))


def _deltas(block: Wire) -> tuple[Wire, list[Wire]]:
    """A block as it begins, and its deltas."""
    match block["type"]:
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
            return block | {"thinking": "", "signature": ""}, deltas
        case "tool_use":
            text = _ENCODER.encode(block["input"]).decode()
            pieces = (text[:5], text[5:])
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    half = len(block["text"]) // 2
    deltas = [{"type": "text_delta", "text": piece} for piece in (block["text"][:half], block["text"][half:])]
    deltas += [{"type": "citations_delta", "citation": citation} for citation in block.get("citations", ())]
    return {"type": "text", "text": ""}, deltas


def anthropic_stream(said: Said) -> list[bytes]:
    nothing = {"stop_reason": None, "stop_sequence": None}
    events: list[Wire] = [{"type": "message_start", "message": _message(said, [], nothing)}, {"type": "ping"}]
    for index, block in enumerate(_blocks(said)):
        start, deltas = _deltas(block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": _message_end(said), "usage": _message_usage(said)})
    return list(map(typed_sse, [*events, {"type": "message_stop"}]))
