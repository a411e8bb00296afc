"""The Responses API: one message out, nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.names import DemoModel, find_model
from pointsman.providers.vendors.demo.reply import (
    DemoReply,
    event,
    event_reply,
    flag,
    json_reply,
    new_id,
    read_object,
    whole_number,
)
from pointsman.providers.vendors.demo.words import (
    Said,
    compose,
    content_text,
    count_tokens,
    cut,
    read_turns,
    split_words,
    tool_names,
)

_MAX_TOKENS = 1_000_000


def responses(raw: bytes, now: float) -> DemoReply:
    """``POST /responses``."""
    body = read_object(raw)
    model = find_model(body.get("model"), "chat")
    said = msgspec.structs.replace(_read_input(body), tools=tool_names(body))
    limit = whole_number(body, "max_output_tokens", default=0, low=1, high=_MAX_TOKENS) or None
    text, is_cut = cut(compose(model, said, as_json=_wants_json(body)), stops=[], max_tokens=limit)
    begun = _response(body, model, new_id("resp_", raw, now), now)
    item_id = new_id("msg_", raw, now)
    ended = begun | {
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": [_item(item_id, text, status="incomplete" if is_cut else "completed")],
        "usage": _usage(said.n_tokens, count_tokens(text)),
    }
    if flag(body, "stream"):
        return event_reply(_paced(model, _events(begun, ended, item_id, text)))
    return json_reply(ended, delay=model.first_delay)


def _read_input(body: dict[str, Any]) -> Said:
    given = body.get("input")
    if isinstance(given, str) and given:
        said = Said(last=given, n_texts=1, n_tokens=count_tokens(given))
    elif isinstance(given, list) and given:
        said = read_turns(given, "input")
    else:
        raise InvalidRequest("input must be a text or a list of items", param="input")
    instructions = content_text(body.get("instructions"), "instructions")
    return msgspec.structs.replace(said, n_tokens=said.n_tokens + count_tokens(instructions))


def _wants_json(body: dict[str, Any]) -> bool:
    text = body.get("text")
    form = text.get("format") if isinstance(text, dict) else None
    return isinstance(form, dict) and form.get("type") in ("json_object", "json_schema")


def _response(body: dict[str, Any], model: DemoModel, response_id: str, now: float) -> dict[str, Any]:
    """The Responses object as it is when work begins, with the client's settings told back."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(now),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": model.name,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "user": body.get("user"),
    }


def _item(item_id: str, text: str | None, *, status: str) -> dict[str, Any]:
    content = [] if text is None else [_part(text)]
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(n_in: int, n_out: int) -> dict[str, Any]:
    return {
        "input_tokens": n_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": n_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": n_in + n_out,
    }


def _events(begun: dict[str, Any], ended: dict[str, Any], item_id: str, text: str) -> Iterator[dict[str, Any]]:
    """The events of one message, in OpenAI's order, without their sequence numbers."""
    place = {"item_id": item_id, "output_index": 0, "content_index": 0}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    opened = _item(item_id, None, status="in_progress")
    yield {"type": "response.output_item.added", "output_index": 0, "item": opened}
    yield {"type": "response.content_part.added", "part": _part("")} | place
    for word in split_words(text):
        yield {"type": "response.output_text.delta", "delta": word, "logprobs": []} | place
    yield {"type": "response.output_text.done", "text": text, "logprobs": []} | place
    yield {"type": "response.content_part.done", "part": _part(text)} | place
    yield {"type": "response.output_item.done", "output_index": 0, "item": ended["output"][0]}
    yield {"type": f"response.{ended['status']}", "response": ended}


def _paced(model: DemoModel, events: Iterator[dict[str, Any]]) -> Iterator[tuple[float, bytes]]:
    for number, data in enumerate(events):
        kind = data["type"]
        delay = model.word_delay if kind == "response.output_text.delta" else 0.0
        yield model.first_delay if number == 0 else delay, event(data | {"sequence_number": number}, kind)
