"""Ollama's own API."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from system.fakes.model import INPUT, OUTPUT, THOUGHT, Asked, Refused, Said, Strict, decoded, require, taken, think
from system.upstream.script import Answer, Received, json_answer

MODEL = "qwen3"
Word = Annotated[str, Meta(min_length=1)]
LINES = ("content-type", "application/x-ndjson")


class Function(Strict):
    name: Word
    arguments: dict[str, Any]
    index: int | UnsetType = UNSET


class ToolCall(Strict):
    function: Function
    id: str | UnsetType = UNSET


class Message(Strict):
    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    thinking: str = ""
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET


class Declared(Strict):
    name: Word
    parameters: dict[str, Any]
    description: str = ""


class Tool(Strict):
    type: Literal["function"]
    function: Declared


class Options(Strict):
    num_predict: int | UnsetType = UNSET
    num_ctx: int | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    stop: list[str] | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET


class Request(Strict):
    model: Word
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool = True
    tools: tuple[Tool, ...] = ()
    format: Literal["", "json"] | dict[str, Any] = ""
    options: Options | UnsetType = UNSET
    think: bool | Literal["low", "medium", "high"] = False
    keep_alive: str | int | UnsetType = UNSET
    logprobs: bool = False
    top_logprobs: int = 0


class EmbedRequest(Strict):
    model: Word
    input: str | list[str]
    dimensions: int | UnsetType = UNSET
    truncate: bool | UnsetType = UNSET
    options: Options | UnsetType = UNSET


def answer(received: Received) -> Answer:
    """What Ollama answers."""
    try:
        require(received.method == "POST", "404 page not found", 404)
        if received.target == "/api/embed":
            asked = taken(received.body, EmbedRequest)
            count = 1 if isinstance(asked.input, str) else len(asked.input)
            return json_answer({"model": asked.model, "embeddings": [[0.25, -0.5]] * count, "prompt_eval_count": 5})
        require(received.target == "/api/chat", "404 page not found", 404)
        request = taken(received.body, Request)
        said = think(_asked(request))
        if not request.stream:
            return json_answer(_line(_message(said, said.text, said.calls, THOUGHT if said.thinks else "")) | _end())
        lines = b"".join(json.dumps(line).encode() + b"\n" for line in _lines(said))
        return Answer(200, (LINES,), (lines,), "chunked")
    except Refused as refused:
        headers = [("retry-after", "7")] if refused.status == 429 else []
        return json_answer({"error": refused.message}, refused.status, headers)


def _asked(request: Request) -> Asked:
    asked = Asked(thinks=bool(request.think), is_stream=request.stream)
    asked.tools = {tool.function.name: tool.function.parameters for tool in request.tools}
    asked.schema = request.format if isinstance(request.format, dict) else None
    open_calls: list[str] = []
    for message in request.messages:
        if message.role == "tool":
            require(bool(open_calls), "a tool message needs a call before it")
            require(message.tool_name == open_calls.pop(0), "tool results are matched by name")
            asked.results.append(message.content)
            continue
        require(not open_calls, "a tool call has no result")
        asked.results = []
        if message.role == "assistant":
            open_calls = [call.function.name for call in message.tool_calls]
        elif message.role == "user":
            asked.turns += 1
            asked.prompt = message.content
            asked.images += [("image/png", decoded(one)) for one in message.images]
        else:
            asked.system += message.content
    require(not open_calls, "a tool call has no result")
    return asked


def _message(said: Said, content: str, calls: list[Any], thinking: str = "") -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if thinking:
        message["thinking"] = thinking
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "function": {"index": said.calls.index(call), "name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    return message


def _line(message: dict[str, Any]) -> dict[str, Any]:
    return {"model": MODEL, "created_at": "2025-10-09T08:53:20.123456Z", "message": message, "done": False}


def _end() -> dict[str, Any]:
    counts = {"prompt_eval_count": INPUT, "eval_count": OUTPUT}
    return {"done": True, "done_reason": "stop", "total_duration": 42, "load_duration": 1, **counts}


def _lines(said: Said) -> list[dict[str, Any]]:
    thoughts = (THOUGHT[:9], THOUGHT[9:]) if said.thinks else ()
    lines = [_line(_message(said, "", [], piece)) for piece in thoughts]
    lines += [_line(_message(said, word, [])) for word in said.words]
    lines += [_line(_message(said, "", [call])) for call in said.calls]
    return [
        *lines,
        {"error": "an error was encountered while running the model"}
        if said.breaks
        else _line(_message(said, "", [])) | _end(),
    ]
