"""Clients of each dialect: how they put a stream together, and how they give an answer back in the next request.

This is what SDKs do, so that a whole reply and a streamed one can be looked at in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from matrix.said import ROME

Wire = dict[str, Any]
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_RESULT: Final = "sunny"


def events(stream: bytes) -> Iterator[Wire]:
    """The JSON of each event."""
    for event in stream.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = b"".join(line[6:] for line in event.split(b"\n") if line.startswith(b"data: "))
        if data and data != b"[DONE]":
            yield _decode(data)


def _add(members: Wire, more: Wire) -> None:
    """Texts grow, lists are continued, what is new comes in; an element with an ``index`` is more of that one."""
    for name, value in more.items():
        there = members.get(name)
        if isinstance(value, list):
            _continue(members.setdefault(name, []), value)
        elif isinstance(there, str) and isinstance(value, str) and name not in ("role", "type", "id", "name"):
            members[name] = there + value
        elif isinstance(there, dict) and isinstance(value, dict):
            _add(there, value)
        elif value is not None or name not in members:
            members[name] = value


def _continue(there: list[Any], more: list[Any]) -> None:
    for value in more:
        index = value.get("index") if isinstance(value, dict) else None
        last = next((each for each in there if index is not None and each.get("index") == index), None)
        if last is None:
            there.append(value)
        else:
            _add(last, {name: member for name, member in value.items() if name != "index"})


def _join_chat(stream: bytes) -> Wire:
    message: Wire = {}
    choice: Wire = {"index": 0, "message": message}
    reply: Wire = {"choices": [choice]}
    for chunk in events(stream):
        if chunk.get("usage") is not None:
            reply["usage"] = chunk["usage"]
        for each in chunk["choices"]:
            _add(message, each.pop("delta"))
            _add(choice, {name: value for name, value in each.items() if name != "index"})
    return reply


def _join_completion(stream: bytes) -> Wire:
    choice: Wire = {"text": ""}
    reply: Wire = {"choices": [choice]}
    for chunk in events(stream):
        if chunk.get("usage") is not None:
            reply["usage"] = chunk["usage"]
        for each in chunk["choices"]:
            _add(choice, {name: value for name, value in each.items() if name != "index"})
    return reply


def _join_response(stream: bytes) -> Wire:
    """The last event has it all; what came before must be the same."""
    texts = {"response.output_text.delta": "", "response.function_call_arguments.delta": ""}
    items: list[Wire] = []
    last: Wire = {}
    for number, last in enumerate(events(stream)):
        assert last["sequence_number"] == number
        if last["type"] in texts:
            texts[last["type"]] += last["delta"]
        elif last["type"] == "response.output_item.done":
            items.append(last["item"])
    response: Wire = last["response"]
    assert response["output"] == items
    contents = [part for item in items if item["type"] == "message" for part in item["content"]]
    said = [part["text"] for part in contents if part["type"] == "output_text"]
    assert texts["response.output_text.delta"] == "".join(said)
    asked = [item["arguments"] for item in items if item["type"] == "function_call"]
    assert texts["response.function_call_arguments.delta"] == "".join(asked)
    return response


def _join_message(stream: bytes) -> Wire:
    message: Wire = {}
    block: Wire = {}
    arguments = ""
    for event in events(stream):
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                block = event["content_block"]
                arguments = ""
                message["content"].append(block)
            case "content_block_delta":
                delta = event["delta"]
                if delta["type"] == "input_json_delta":
                    arguments += delta["partial_json"]
                elif delta["type"] == "citations_delta":
                    block.setdefault("citations", []).append(delta["citation"])
                else:
                    _add(block, {name: value for name, value in delta.items() if name != "type"})
            case "content_block_stop" if block["type"] == "tool_use":
                block["input"] = _arguments(arguments)
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
    return message


def _arguments(text: str) -> Any:
    """What a model has written as arguments may be anything."""
    try:
        return _decode(text or "{}")
    except msgspec.DecodeError:
        return text


def _join_contents(stream: bytes) -> Wire:
    parts: list[Wire] = []
    candidate: Wire = {"content": {"role": "model", "parts": parts}}
    reply: Wire = {"candidates": [candidate]}
    for event in events(stream):
        reply |= {name: value for name, value in event.items() if name != "candidates"}
        for each in event["candidates"]:
            for part in each.pop("content", {}).get("parts", ()):
                last = parts[-1] if parts else {}
                is_more = part.keys() == {"text"} and last.keys() == {"text"}
                if is_more:
                    last["text"] += part["text"]
                elif part != {"text": ""}:
                    parts.append(part)
            candidate |= each
    return reply


def _back_to_chat(reply: Wire) -> Wire:
    result = {"role": "tool", "tool_call_id": ROME.id, "content": _RESULT}
    return {"messages": [{"role": "user", "content": "Hi"}, reply["choices"][0]["message"], result]}


def _back_to_responses(reply: Wire) -> Wire:
    output = {"type": "function_call_output", "call_id": ROME.id, "output": _RESULT}
    return {"input": [{"role": "user", "content": "Hi"}, *reply["output"], output]}


def _back_to_messages(reply: Wire) -> Wire:
    result = {"type": "tool_result", "tool_use_id": ROME.id, "content": _RESULT}
    return {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": reply["content"]},
            {"role": "user", "content": [result]},
        ]
    }


def _back_to_contents(reply: Wire) -> Wire:
    response = {"functionResponse": {"id": ROME.id, "name": ROME.name, "response": {"output": _RESULT}}}
    return {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            reply["candidates"][0]["content"],
            {"role": "user", "parts": [response]},
        ]
    }


JOINS: Final[dict[str, Callable[[bytes], Wire]]] = {
    "openai": _join_chat,
    "completions": _join_completion,
    "responses": _join_response,
    "anthropic": _join_message,
    "gemini": _join_contents,
}
"""What makes a whole reply of a streamed one."""
GIVES_BACK: Final[dict[str, Callable[[Wire], Wire]]] = {
    "openai": _back_to_chat,
    "responses": _back_to_responses,
    "anthropic": _back_to_messages,
    "gemini": _back_to_contents,
}
"""What makes of a reply that calls a tool the members of the next request, in which the tool has answered."""
