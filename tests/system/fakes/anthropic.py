"""Anthropic's Messages API, in both of its versions: the later one has no sampling."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, UnsetType
from system.fakes.model import (
    CACHED,
    INPUT,
    OUTPUT,
    SEAL,
    THOUGHT,
    WRITTEN,
    Asked,
    Refused,
    Said,
    Strict,
    decoded,
    in_order,
    require,
    require_header,
    taken,
    think,
)
from system.upstream.script import Answer, Received, event, json_answer, stream_answer

KEY = "sk-ant-canary-7731"
VERSIONS = ("2023-06-01", "2026-10-21")
TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")
Word = Annotated[str, Meta(min_length=1)]


class CacheControl(Strict):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | UnsetType = UNSET


class Text(Strict, tag="text"):
    text: Word
    cache_control: CacheControl | UnsetType = UNSET
    citations: Raw | UnsetType = UNSET


class Base64(Strict, tag="base64"):
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: Word


class Url(Strict, tag="url"):
    url: Word


class Image(Strict, tag="image"):
    source: Base64 | Url
    cache_control: CacheControl | UnsetType = UNSET


class Thinking(Strict, tag="thinking"):
    thinking: str
    signature: Word


class ToolUse(Strict, tag="tool_use"):
    id: Word
    name: Word
    input: dict[str, Any]
    cache_control: CacheControl | UnsetType = UNSET


class ToolResult(Strict, tag="tool_result"):
    tool_use_id: Word
    content: str | list[Text | Image] = ""
    is_error: bool = False
    cache_control: CacheControl | UnsetType = UNSET


class Message(Strict):
    role: Literal["user", "assistant"]
    content: Word | Annotated[list[Text | Image | Thinking | ToolUse | ToolResult], Meta(min_length=1)]


class Tool(Strict):
    name: Word
    input_schema: dict[str, Any]
    description: str | UnsetType = UNSET
    type: Literal["custom"] = "custom"
    strict: bool = False
    cache_control: CacheControl | UnsetType = UNSET


class ToolChoice(Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | UnsetType = UNSET
    disable_parallel_tool_use: bool = False


class ThinkingOn(Strict, tag="enabled"):
    budget_tokens: Annotated[int, Meta(ge=1024)]
    display: Literal["summarized", "omitted"] | UnsetType = UNSET


class ThinkingOff(Strict, tag="disabled"):
    pass


class Adaptive(Strict, tag="adaptive"):
    display: Literal["summarized", "omitted"] | UnsetType = UNSET


class Format(Strict):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(Strict):
    format: Format | None = None
    effort: Literal["low", "medium", "high", "max"] | UnsetType = UNSET


class Metadata(Strict):
    user_id: str | None = None


class Counted(Strict):
    """What ``count_tokens`` takes."""

    model: Word
    messages: Annotated[list[Message], Meta(min_length=1)]
    system: str | list[Text] = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | UnsetType = UNSET
    thinking: ThinkingOn | ThinkingOff | Adaptive | UnsetType = UNSET
    output_config: OutputConfig | UnsetType = UNSET


class Request(Counted):
    max_tokens: Annotated[int, Meta(ge=1)] = 0
    stream: bool = False
    temperature: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    stop_sequences: tuple[Word, ...] = ()
    metadata: Metadata | UnsetType = UNSET
    service_tier: Literal["auto", "standard_only"] | UnsetType = UNSET


def answer(received: Received) -> Answer:
    """What Anthropic answers."""
    try:
        require(received.method == "POST", "Method not allowed", 405)
        require_header(received.header("x-api-key"), KEY, "invalid x-api-key")
        version = received.header("anthropic-version")
        require(version in VERSIONS, "anthropic-version: header is required")
        require(received.header("content-type") == "application/json", "content-type: must be application/json")
        if received.target == "/v1/messages/count_tokens":
            taken(received.body, Counted)
            return json_answer({"input_tokens": INPUT})
        require(received.target in ("/v1/messages", "/v1/messages?beta=true"), "Not found", 404)
        request = taken(received.body, Request)
        require(request.max_tokens > 0, "max_tokens: Field required")
        is_sampled = (request.temperature, request.top_p, request.top_k) != (UNSET, UNSET, UNSET)
        require(not is_sampled or version == VERSIONS[0], "temperature: Extra inputs are not permitted")
        said = think(_asked(request))
        return _stream(said, request.model) if request.stream else json_answer(_message(said, request.model))
    except Refused as refused:
        return refuse(refused)


def refuse(refused: Refused) -> Answer:
    """An error in Anthropic's shape."""
    headers = [("request-id", "req_upstream")] + ([("retry-after", "7")] if refused.status == 429 else [])
    return json_answer(_error(refused.status, refused.message), refused.status, headers)


def _error(status: int, message: str) -> dict[str, Any]:
    kinds = {
        401: "authentication_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        500: "api_error",
        529: "overloaded_error",
    }
    error = {"type": kinds.get(status, "invalid_request_error"), "message": message}
    return {"type": "error", "error": error, "request_id": "req_upstream"}


def _asked(request: Request) -> Asked:
    thinks = isinstance(request.thinking, ThinkingOn | Adaptive)
    if isinstance(request.thinking, ThinkingOn):
        require(request.thinking.budget_tokens < request.max_tokens, "`max_tokens` must be greater than the budget")
    if thinks:
        require(request.temperature in (UNSET, 1), "`temperature` may only be set to 1 when thinking is enabled")
        forced = request.tool_choice is not UNSET and request.tool_choice.type in ("any", "tool")
        require(not forced, "Thinking may not be enabled when tool_choice forces tool use.")
    asked = Asked(thinks=thinks, is_stream=request.stream)
    asked.system = request.system if isinstance(request.system, str) else " ".join(t.text for t in request.system)
    asked.tools = {tool.name: tool.input_schema for tool in request.tools}
    if request.output_config is not UNSET and request.output_config.format is not None:
        asked.schema = request.output_config.format.schema
    calls: list[str] = []
    require(request.messages[0].role == "user", "messages: first message must use the `user` role")
    for message in request.messages:
        blocks = [Text(message.content)] if isinstance(message.content, str) else message.content
        results = {b.tool_use_id: _result_text(b) for b in blocks if isinstance(b, ToolResult)}
        require(not calls or bool(results), "`tool_use` ids were found without `tool_result` blocks immediately after")
        asked.results = in_order(calls, results)
        calls = [block.id for block in blocks if isinstance(block, ToolUse)]
        require(all(map(TOOL_ID.fullmatch, calls)), "tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        if message.role == "user":
            _take_user(asked, blocks)
        elif thinks and calls:
            _check_thinking(blocks)
    return asked


def _take_user(asked: Asked, blocks: list[Any]) -> None:
    require(not any(isinstance(block, Thinking | ToolUse) for block in blocks), "`user` messages cannot contain these")
    texts = [block.text for block in blocks if isinstance(block, Text)]
    asked.turns += bool(texts)
    asked.prompt = " ".join(texts)
    sources = [block.source for block in blocks if isinstance(block, Image)]
    asked.images += [(s.media_type, decoded(s.data)) if isinstance(s, Base64) else (s.url, b"") for s in sources]


def _check_thinking(blocks: list[Any]) -> None:
    first = blocks[0]
    require(isinstance(first, Thinking), f"Expected `thinking` or `redacted_thinking`, but found `{first}`")
    require(first.signature == SEAL and first.thinking == THOUGHT, "Invalid `signature` in `thinking` block")


def _result_text(result: ToolResult) -> str:
    parts = result.content
    return parts if isinstance(parts, str) else "".join(part.text for part in parts if isinstance(part, Text))


def _usage() -> dict[str, Any]:
    return {
        "input_tokens": INPUT - CACHED - WRITTEN,
        "cache_creation_input_tokens": WRITTEN,
        "cache_read_input_tokens": CACHED,
        "cache_creation": {"ephemeral_5m_input_tokens": WRITTEN, "ephemeral_1h_input_tokens": 0},
        "output_tokens": OUTPUT,
        "service_tier": "standard",
    }


def _message(said: Said, model: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if said.thinks:
        content.append({"type": "thinking", "thinking": THOUGHT, "signature": SEAL})
    if said.text:
        content.append({"type": "text", "text": said.text})
    content += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in said.calls]
    return {
        "id": "msg_upstream1",
        "type": "message",
        "role": "assistant",
        "model": f"{model}-20250929",
        "content": content,
        "stop_reason": "tool_use" if said.calls else "end_turn",
        "stop_sequence": None,
        "usage": _usage(),
    }


def _stream(said: Said, model: str) -> Answer:
    start = _message(said, model) | {"content": [], "stop_reason": None, "usage": _usage() | {"output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if said.thinks:
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in (THOUGHT[:9], THOUGHT[9:])]
        seal = {"type": "signature_delta", "signature": SEAL}
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, [*deltas, seal]))
    if said.text:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in said.words]))
    for call in said.calls:
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *call.pieces)]
        blocks.append(({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, deltas))
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "ping"}] if not index else []
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        if said.breaks:
            return stream_answer(*(event(e, str(e["type"])) for e in (*events, _error(529, "Overloaded"))))
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "tool_use" if said.calls else "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": OUTPUT}})
    events.append({"type": "message_stop"})
    return stream_answer(*(event(json.dumps(e, ensure_ascii=False), str(e["type"])) for e in events))
