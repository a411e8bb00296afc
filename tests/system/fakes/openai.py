"""OpenAI's Chat Completions API, and DeepSeek's, which shows its reasoning and wants it back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from system.fakes.model import (
    CACHED,
    CREATED,
    INPUT,
    OUTPUT,
    REASONED,
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
from system.upstream.script import Answer, Received, error_answer, event, json_answer, stream_answer

KEY = "sk-openai-canary-2291"
MODEL = "gpt-4.1"
DEEPSEEK_MODEL = "deepseek-reasoner"
Word = Annotated[str, Meta(min_length=1)]


class Text(Strict, tag="text"):
    text: str


class ImageUrl(Strict):
    url: Word
    detail: Literal["low", "high", "auto"] | UnsetType = UNSET


class Image(Strict, tag="image_url"):
    image_url: ImageUrl


class Instruction(Strict, tag="system", tag_field="role"):
    content: str | list[Text]
    name: Word | UnsetType = UNSET


class Developer(Strict, tag="developer", tag_field="role"):
    content: str | list[Text]
    name: Word | UnsetType = UNSET


class User(Strict, tag="user", tag_field="role"):
    content: str | Annotated[list[Text | Image], Meta(min_length=1)]
    name: Word | UnsetType = UNSET


class Function(Strict):
    name: Word
    arguments: str


class ToolCall(Strict):
    id: Annotated[str, Meta(min_length=1, max_length=64)]
    type: Literal["function"]
    function: Function


class Assistant(Strict, tag="assistant", tag_field="role"):
    content: str | list[Text] | None = None
    refusal: str | None = None
    name: Word | UnsetType = UNSET
    tool_calls: Annotated[list[ToolCall], Meta(min_length=1)] | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    annotations: list[Any] | UnsetType = UNSET


class ToolMessage(Strict, tag="tool", tag_field="role"):
    tool_call_id: Word
    content: str | list[Text]


class Declared(Strict):
    name: Word
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    strict: bool | None = None


class Tool(Strict):
    type: Literal["function"]
    function: Declared


class JsonSchema(Strict):
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Any]
    description: str | UnsetType = UNSET
    strict: bool | None = None


class Format(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | UnsetType = UNSET


class StreamOptions(Strict):
    include_usage: bool = False


class Request(Strict):
    model: Word
    messages: Annotated[list[Instruction | Developer | User | Assistant | ToolMessage], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    max_completion_tokens: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    temperature: Annotated[float, Meta(ge=0, le=2)] | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    n: int | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    stop: str | Annotated[list[str], Meta(max_length=4)] | UnsetType = UNSET
    stream: bool = False
    stream_options: StreamOptions | UnsetType = UNSET
    tools: Annotated[list[Tool], Meta(min_length=1)] | UnsetType = UNSET
    tool_choice: Any = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    response_format: Format | UnsetType = UNSET
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    user: str | UnsetType = UNSET
    store: bool | None = None
    top_k: int | UnsetType = UNSET
    """Not OpenAI's: for what operators add."""


def answer(received: Received) -> Answer:
    """What OpenAI answers."""
    return _answer(received, shows=False)


def answer_showing(received: Received) -> Answer:
    """What DeepSeek answers."""
    return _answer(received, shows=True)


def _answer(received: Received, *, shows: bool) -> Answer:
    try:
        require_header(received.header("authorization"), f"Bearer {KEY}", "Incorrect API key provided")
        require(received.header("content-type") == "application/json", "Unsupported media type", 415)
        require((received.method, received.target) == ("POST", "/v1/chat/completions"), "Invalid URL", 404)
        request = taken(received.body, Request)
        said = think(_asked(request, shows=shows))
        return _stream(request, said) if request.stream else json_answer(_completion(request, said))
    except Refused as refused:
        return refuse(refused)


def refuse(refused: Refused) -> Answer:
    """An error in OpenAI's shape."""
    kind, code = {
        401: ("invalid_request_error", "invalid_api_key"),
        404: ("invalid_request_error", "model_not_found"),
        429: ("requests", "rate_limit_exceeded"),
        500: ("server_error", None),
        503: ("server_error", "server_is_overloaded"),
    }.get(refused.status, ("invalid_request_error", None))
    headers = [("retry-after", "7")] if refused.status == 429 else []
    return error_answer(refused.status, refused.message, kind=kind, code=code, headers=headers)


def _asked(request: Request, *, shows: bool) -> Asked:
    asked = Asked(is_stream=request.stream, thinks=shows)
    if request.tools is not UNSET:
        asked.tools = {
            tool.function.name: {} if tool.function.parameters is UNSET else tool.function.parameters
            for tool in request.tools
        }
    if request.response_format is not UNSET and request.response_format.type == "json_schema":
        require(request.response_format.json_schema is not UNSET, "Missing 'response_format.json_schema'")
        asked.schema = request.response_format.json_schema.schema  # type: ignore[union-attr]
    calls: list[str] = []
    results: dict[str, str] = {}
    for message in request.messages:
        if isinstance(message, ToolMessage):
            require(message.tool_call_id in calls, "messages with role 'tool' must follow a message with 'tool_calls'")
            results[message.tool_call_id] = _text(message.content)
            continue
        asked.results = in_order(calls, results)
        calls, results = [], {}
        if isinstance(message, Assistant):
            calls = [call.id for call in message.tool_calls] if message.tool_calls is not UNSET else []
            require(bool(calls) or message.content is not None, "content is required unless tool_calls are specified")
            is_proven = message.reasoning_content == THOUGHT or not (shows and calls)
            require(is_proven, "The `reasoning_content` in the thinking mode must be passed back to the API.")
            require(shows or message.reasoning_content is UNSET, "Unrecognized argument: reasoning_content")
        elif isinstance(message, User):
            asked.turns += 1
            asked.prompt = _text(message.content)
            asked.images += _images(message.content)
        else:
            asked.system += _text(message.content)
    asked.results = in_order(calls, results)
    return asked


def _text(content: str | list[Text] | list[Text | Image]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content if isinstance(part, Text))


def _images(content: str | list[Text | Image]) -> list[tuple[str, bytes]]:
    parts = [] if isinstance(content, str) else content
    return [from_data_url(part.image_url.url) for part in parts if isinstance(part, Image)]


def _usage(said: Said) -> dict[str, Any]:
    return {
        "prompt_tokens": INPUT,
        "completion_tokens": OUTPUT,
        "total_tokens": INPUT + OUTPUT,
        "prompt_tokens_details": {"cached_tokens": CACHED, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": REASONED if said.thinks else 0},
    }


def _wire_calls(said: Said) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.text}}
        for call in said.calls
    ]


def _completion(request: Request, said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None, "annotations": []}
    if said.calls:
        message["tool_calls"] = _wire_calls(said)
    if said.thinks:
        message["reasoning_content"] = THOUGHT
    finish = "tool_calls" if said.calls else "stop"
    count = 1 if request.n is UNSET else request.n
    return {
        "id": "chatcmpl-upstream1",
        "object": "chat.completion",
        "created": CREATED,
        "model": f"{request.model}-2025-04-14",
        "choices": [{"index": n, "message": message, "logprobs": None, "finish_reason": finish} for n in range(count)],
        "usage": _usage(said),
        "service_tier": "default",
        "system_fingerprint": "fp_upstream",
    }


def _stream(request: Request, said: Said) -> Answer:
    options = request.stream_options
    has_usage = options is not UNSET and options.include_usage
    head = {
        "id": "chatcmpl-upstream2",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": f"{request.model}-2025-04-14",
        "system_fingerprint": "fp_upstream",
    } | ({"usage": None} if has_usage else {})
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
    if said.thinks:
        deltas += [{"content": None, "reasoning_content": piece} for piece in (THOUGHT[:9], THOUGHT[9:])]
    deltas += [{"content": word} for word in said.words]
    for index, call in enumerate(said.calls):
        function = {"name": call.name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in call.pieces]
    chunks = [head | {"choices": [{"index": 0, "delta": d, "logprobs": None, "finish_reason": None}]} for d in deltas]
    if said.breaks:
        error = {"message": "The server had an error", "type": "server_error", "param": None, "code": None}
        return stream_answer(*(event(chunk) for chunk in chunks), event({"error": error}))
    finish = "tool_calls" if said.calls else "stop"
    chunks.append(head | {"choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish}]})
    if has_usage:
        chunks.append(head | {"choices": [], "usage": _usage(said)})
    return stream_answer(*(event(chunk) for chunk in chunks), event("[DONE]"))
