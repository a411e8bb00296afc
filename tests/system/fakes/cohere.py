"""Cohere's API, version 2: chat, embed and rerank."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from system.fakes.model import (
    INPUT,
    OUTPUT,
    THOUGHT,
    Asked,
    Refused,
    Said,
    Strict,
    from_data_url,
    in_order,
    require,
    require_header,
    taken,
    think,
)
from system.upstream.script import Answer, Received, event, json_answer, stream_answer

KEY = "co-canary-6613"
MODEL = "command-a-reasoning-08-2025"
Word = Annotated[str, Meta(min_length=1)]


class Text(Strict, tag="text"):
    text: str


class Thinking(Strict, tag="thinking"):
    thinking: str


class ImageUrl(Strict):
    url: Word
    detail: Literal["auto", "low", "high"] = "auto"


class Image(Strict, tag="image_url"):
    image_url: ImageUrl


class System(Strict, tag="system", tag_field="role"):
    content: Word | list[Text]


class User(Strict, tag="user", tag_field="role"):
    content: Word | list[Text | Image]


class Function(Strict):
    name: Word
    arguments: str


class ToolCall(Strict):
    id: Word
    type: Literal["function"]
    function: Function


class Assistant(Strict, tag="assistant", tag_field="role"):
    content: Word | list[Text | Thinking] | UnsetType = UNSET
    tool_plan: str | UnsetType = UNSET
    tool_calls: tuple[ToolCall, ...] = ()
    citations: tuple[Any, ...] = ()


class ToolMessage(Strict, tag="tool", tag_field="role"):
    tool_call_id: Word
    content: str | list[Text]


class Declared(Strict):
    name: Word
    parameters: dict[str, Any]
    description: str = ""


class Tool(Strict):
    type: Literal["function"]
    function: Declared


class Format(Strict):
    type: Literal["text", "json_object"]
    json_schema: dict[str, Any] | UnsetType = UNSET


class ThinkingSettings(Strict):
    type: Literal["enabled", "disabled"]
    token_budget: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class Request(Strict):
    model: Word
    messages: Annotated[list[System | User | Assistant | ToolMessage], Meta(min_length=1)]
    stream: bool
    max_tokens: int | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    p: float | UnsetType = UNSET
    k: int | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    stop_sequences: Annotated[list[str], Meta(max_length=5)] | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET
    logprobs: bool = False
    tools: tuple[Tool, ...] = ()
    strict_tools: bool = False
    tool_choice: Literal["REQUIRED", "NONE"] | UnsetType = UNSET
    response_format: Format | UnsetType = UNSET
    thinking: ThinkingSettings | UnsetType = UNSET


class Content(Strict):
    content: list[Text | Image]


class EmbedRequest(Strict):
    model: Word
    input_type: Literal["search_document", "search_query", "classification", "clustering", "image"]
    embedding_types: list[Literal["float", "int8", "base64"]]
    texts: list[str] | UnsetType = UNSET
    inputs: list[Content] | UnsetType = UNSET
    output_dimension: int | UnsetType = UNSET


class RerankRequest(Strict):
    model: Word
    query: Word
    documents: Annotated[list[str], Meta(min_length=1)]
    top_n: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    max_tokens_per_doc: int | UnsetType = UNSET


def answer(received: Received) -> Answer:
    """What Cohere answers."""
    try:
        require_header(received.header("authorization"), f"Bearer {KEY}", "invalid api token")
        if received.target == "/v2/embed":
            return _embeddings(taken(received.body, EmbedRequest))
        if received.target == "/v2/rerank":
            return _ranks(taken(received.body, RerankRequest))
        require((received.method, received.target) == ("POST", "/v2/chat"), "not found", 404)
        request = taken(received.body, Request)
        said = think(_asked(request))
        return _stream(said) if request.stream else json_answer(_whole(said))
    except Refused as refused:
        headers = [("retry-after", "7")] if refused.status == 429 else []
        return json_answer({"id": "e-1", "message": refused.message}, refused.status, headers)


def _embeddings(request: EmbedRequest) -> Answer:
    given = request.inputs if request.texts is UNSET else request.texts
    require(given is not UNSET, "invalid request: texts, images or inputs must be provided")
    vectors = {kind: [[0.25, -0.5]] * len(given) for kind in request.embedding_types}  # type: ignore[arg-type]
    meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 5}}
    return json_answer({"id": "em-1", "embeddings": vectors, "texts": [], "meta": meta})


def _ranks(request: RerankRequest) -> Answer:
    results: list[dict[str, Any]] = [
        {"index": index, "relevance_score": 0.9 if request.query in text else 0.1}
        for index, text in enumerate(request.documents)
    ]
    results.sort(key=lambda one: -one["relevance_score"])
    count = len(results) if request.top_n is UNSET else request.top_n
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return json_answer({"id": "rr-1", "results": results[:count], "meta": meta})


def _asked(request: Request) -> Asked:
    thinks = request.thinking is not UNSET and request.thinking.type == "enabled"
    asked = Asked(thinks=thinks, is_stream=request.stream)
    asked.tools = {tool.function.name: tool.function.parameters for tool in request.tools}
    if request.response_format is not UNSET and request.response_format.json_schema is not UNSET:
        asked.schema = request.response_format.json_schema
    calls: list[str] = []
    results: dict[str, str] = {}
    for message in request.messages:
        if isinstance(message, ToolMessage):
            results[message.tool_call_id] = _text(message.content)
            continue
        asked.results = in_order(calls, results)
        calls, results = [], {}
        if isinstance(message, Assistant):
            calls = [call.id for call in message.tool_calls]
            require(bool(calls) or message.content is not UNSET, "invalid request: message must have content")
        elif isinstance(message, User):
            asked.turns += 1
            asked.prompt = _text(message.content)
            parts = [] if isinstance(message.content, str) else message.content
            asked.images += [from_data_url(part.image_url.url) for part in parts if isinstance(part, Image)]
        else:
            asked.system += _text(message.content)
    asked.results = in_order(calls, results)
    return asked


def _text(content: str | list[Any]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content if isinstance(part, Text))


def _usage() -> dict[str, Any]:
    return {
        "billed_units": {"input_tokens": INPUT, "output_tokens": OUTPUT},
        "tokens": {"input_tokens": INPUT + 500, "output_tokens": OUTPUT + 4},
    }


def _whole(said: Said) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "thinking", "thinking": THOUGHT}] if said.thinks else []
    message: dict[str, Any] = {"role": "assistant"}
    if said.calls:
        message |= {"tool_plan": said.text, "tool_calls": [_call(call) for call in said.calls]}
    else:
        content.append({"type": "text", "text": said.text})
    if content:
        message["content"] = content
    finish = "TOOL_CALL" if said.calls else "COMPLETE"
    return {
        "id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4",
        "finish_reason": finish,
        "message": message,
        "usage": _usage(),
    }


def _call(call: Any) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}}


def _stream(said: Said) -> Answer:
    def sent(kind: str, more: dict[str, Any], index: int | None = None) -> bytes:
        place = {} if index is None else {"index": index}
        return event({"type": kind, **place, **more}, kind)

    def message(more: dict[str, Any]) -> dict[str, Any]:
        return {"delta": {"message": more}}

    head = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    events = [sent("message-start", {"id": "c14c80c3", "delta": {"message": head}})]
    at = 0
    if said.thinks:
        events.append(sent("content-start", message({"content": {"type": "thinking", "thinking": ""}}), at))
        pieces = (THOUGHT[:9], THOUGHT[9:])
        events += [sent("content-delta", message({"content": {"thinking": piece}}), at) for piece in pieces]
        events.append(sent("content-end", {}, at))
        at += 1
    if said.calls:
        events += [sent("tool-plan-delta", message({"tool_plan": word})) for word in said.words]
    else:
        events.append(sent("content-start", message({"content": {"type": "text", "text": ""}}), at))
        events += [sent("content-delta", message({"content": {"text": word}}), at) for word in said.words]
        events.append(sent("content-end", {}, at))
    for index, call in enumerate(said.calls):
        start = _call(call)
        start["function"]["arguments"] = ""
        events.append(sent("tool-call-start", message({"tool_calls": start}), index))
        for piece in call.pieces:
            events.append(sent("tool-call-delta", message({"tool_calls": {"function": {"arguments": piece}}}), index))
        events.append(sent("tool-call-end", {}, index))
    if said.breaks:
        return stream_answer(*events, sent("message-end", {"delta": {"finish_reason": "ERROR", "error": "it broke"}}))
    finish = "TOOL_CALL" if said.calls else "COMPLETE"
    return stream_answer(*events, sent("message-end", {"delta": {"finish_reason": finish, "usage": _usage()}}))
